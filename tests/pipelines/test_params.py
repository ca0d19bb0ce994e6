"""``params.yaml``: what is accepted, what is refused and with which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from illmrec.errors import ParameterError
from pipelines.cli import cli
from pipelines.parameters.data import PrepareConfig, SplitConfig
from pipelines.parameters.features import EncodersConfig
from pipelines.parameters.reading import SECTIONS, STAGES, Params, digest_parameters, read_params
from pipelines.parameters.training import TrainConfig

ROOT = Path(__file__).parents[2]
COMMITTED = [ROOT / "params.yaml", *sorted((ROOT / "pipelines" / "presets").glob("*.yaml"))]


def write(folder: Path, shared: dict[str, Any] | None = None, **own: Any) -> Path:
    sections: dict[str, Any] = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "data"}}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump((shared or {}) | {"datasets": {"shop": sections | own}}))
    return path


def read(folder: Path, shared: dict[str, Any] | None = None, **own: Any) -> Params:
    return read_params(write(folder, shared, **own))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_every_committed_file_parses(path: Path) -> None:
    params = read_params(path)
    for dataset in params.datasets:
        assert len(digest_parameters(params, dataset)) == 64


def test_every_stage_and_job_has_a_section_and_a_command() -> None:
    from pipelines.cli import COMMANDS

    assert {name.replace("_", "-") for name in SECTIONS} <= set(COMMANDS)


def test_a_data_set_overrides_the_shared_values_key_by_key(tmp_path: Path) -> None:
    shared = {"train": {"epochs": 3, "seed": 4}, "encoders": {"backbone": {"source": "train", "small": {"width": 8}}}}
    params = read(tmp_path, shared, train={"epochs": 5}, encoders={"backbone": {"small": {"layers": 1}}})
    train = params.section(TrainConfig, "shop")
    assert (train.epochs, train.seed, train.batch_size) == (5, 4, 32)
    backbone = params.section(EncodersConfig, "shop").backbone
    assert (backbone.source, backbone.small.width, backbone.small.layers) == ("train", 8, 1)


def test_lists_replace_lists_and_become_tuples(tmp_path: Path) -> None:
    params = read(tmp_path, {"train": {"features": ["image", "cf"]}}, train={"features": ["text"]})
    assert params.section(TrainConfig, "shop").features == ("text",)


def test_an_empty_section_means_the_defaults(tmp_path: Path) -> None:
    params = read(tmp_path, {"train": None}, train=None)
    assert params.section(TrainConfig, "shop") == TrainConfig()


def test_sections_are_frozen(tmp_path: Path) -> None:
    section = read(tmp_path).section(SplitConfig, "shop")
    with pytest.raises(ValueError, match="frozen"):
        section.seed = 3


def test_the_digest_covers_every_section_and_only_meaning(tmp_path: Path) -> None:
    plain = digest_parameters(read(tmp_path), "shop")
    assert digest_parameters(read(tmp_path, {"train": {"epochs": TrainConfig().epochs}}), "shop") == plain
    changed = [
        read(tmp_path, train={"epochs": 4}),
        read(tmp_path, {"report": {"users": 3}}),
        read(tmp_path, split={"seed": 1}),
    ]
    assert len({plain, *(digest_parameters(params, "shop") for params in changed)}) == 4


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown parameter": ({"train": {"epoch": 3}}, "unknown parameter 'epoch' in train", "'epochs'"),
    "unknown inner parameter": (
        {"encoders": {"image": {"small": {"steeps": 3}}}}, "'image.small.steeps'", "'steps'",
    ),
    "unknown without a likeness": (
        {"split": {"qqq": 1}},
        "unknown parameter 'qqq'",
        "Known: method, cutoff, test_share, negatives, seed.",
    ),
    "unknown section": ({"trian": {}}, "unknown section", "'train'"),
    "number written as text": ({"train": {"learning_rate": "1e-3"}}, "learning_rate is '1e-3'", "1.0e-3"),
    "text for a number": ({"train": {"epochs": "many"}}, "epochs is 'many'", ""),
    "text for a choice": ({"train": {"window": "first"}}, "window is 'first'", ""),
    "float for an int": ({"train": {"epochs": 2.5}}, "epochs is 2.5", ""),
    "truth value for an int": ({"train": {"epochs": True}}, "epochs is True", ""),
    "out of range": ({"train": {"batch_size": 0}}, "batch_size is 0", ""),
    "a share above one": ({"prepare": {"format": "own", "folder": "x", "max_rejected_share": 1.5}}, "is 1.5", ""),
    "an unknown feature type": ({"train": {"features": ["image", "sound"]}}, "features.1 is 'sound'", ""),
    "no feature types": ({"train": {"features": []}}, "features is ()", ""),
    "nothing left of an item": ({"train": {"representation": "title", "title_tokens": 0}}, "nothing of an item", ""),
    "pictures hidden that keep their slot": (
        {"train": {"image_dropout": 0.1, "missing_image": "feature"}}, "image_dropout hides what", "",
    ),
    "adapters in a spread model": (
        {"train": {"shard_backbone": True, "lora": {"rank": 4}}}, "cannot train adapters", "",
    ),
    "a list for a section": ({"train": [1]}, "must be a mapping", ""),
    "a required value missing": ({"prepare": {"format": "own"}}, "lacks `folder`", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named(case: str, tmp_path: Path) -> None:
    own, message, hint = REFUSED[case]
    with pytest.raises(ParameterError) as caught:
        read(tmp_path, **own)
    assert message in str(caught.value)
    assert str(tmp_path / "params.yaml") in str(caught.value)
    assert hint in caught.value.hint
    if not hint:
        assert "1.0e-3" not in caught.value.hint, "a hint about numbers where no number is"


def test_python_reads_1e_3_as_text_as_yaml_does(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("train: {}", "train: {learning_rate: 1e-3}"))
    with pytest.raises(ParameterError) as caught:
        read_params(path)
    assert "'1e-3'" in str(caught.value)
    assert "1.0e-3" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "non-empty mapping `datasets`"),
        ("[1, 2]", "non-empty mapping `datasets`"),
        ("datasets: {}", "non-empty mapping `datasets`"),
        ("datasets: [a]", "non-empty mapping `datasets`"),
        ("datasets: {shop: 3}", "datasets.shop must be a mapping"),
        ("datasets: {'../x': {}}", "must be letters"),
        ("datasets: {shop: {prepare: {}}}", "datasets.shop lacks validate"),
        ("a: [", "is not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_files_of_another_shape_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        read_params(path)
    assert message in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_missing_under_a_data_set_is_named(stage: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    values = yaml.safe_load(path.read_text())
    del values["datasets"]["shop"][stage]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ParameterError, match=f"lacks {stage}") as caught:
        read_params(path)
    assert f"`{stage}: {{}}`" in caught.value.hint


def test_an_unknown_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no data set 'other'") as caught:
        read(tmp_path).section(PrepareConfig, "other")
    assert "shop" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no parameters file"):
        read_params(tmp_path / "params.yaml")


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_wrong_parameter_ends_a_command_with_2_and_no_traceback(tmp_path: Path) -> None:
    write(tmp_path, train={"epoch": 3})
    ended = run(tmp_path, "split", "--dataset", "shop")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "unknown parameter 'epoch'" in ended.stderr
    assert "next: Did you mean 'epochs'?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_section_refuses_keys_it_does_not_know(tmp_path: Path) -> None:
    for name in SECTIONS:
        shared = {name: {"no_such_key": 1}}
        with pytest.raises(ParameterError, match="no_such_key"):
            read(tmp_path, shared)


def test_help_needs_no_parameters(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["--root", str(tmp_path), "split", "--help"]).exit_code == 0
