"""``illmrec summarize``: extracts, files and a language model of RANDOM weights, through the command line."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from illmrec import columns
from illmrec.atomic import digest_file, digest_folder
from illmrec.errors import DataError, LockedError, MissingArtifactError, ModelError, ParameterError
from illmrec.features.summarizing.extracts import count_words
from illmrec.features.summarizing.writer import SummaryWriter
from pipelines.parameters.reading import STAGES
from pipelines.project.layout import Layout
from pipelines.project.lock import hold_lock
from tests.integration.conftest import expect_error, run_ok

ITEMS = 12
SILENT = (0, 7)
"""Items without a description."""

LONG = "Thing number {n} is a lamp. It is blue. Delivery takes some days. Foot {n} is turned from oak{n} and ash{n}."


def describe(n: int) -> str:
    return "" if n in SILENT else LONG.format(n=n)


def write_project(root: Path, **options: Any) -> Path:
    """Write a prepared catalog and its parameters."""
    root.mkdir(exist_ok=True)
    write_items(root, [describe(n) for n in range(ITEMS)])
    set_options(root, **options)
    return root


def set_options(root: Path, **options: Any) -> None:
    sections = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "data"}, "summarize": options}
    (root / "params.yaml").write_text(json.dumps({"datasets": {"shop": sections}}))


def write_items(root: Path, descriptions: list[str]) -> None:
    table = pl.DataFrame(
        {
            "item_id": [f"i{n:02}" for n in range(len(descriptions))][::-1],  # catalog order is not the ids' order
            "title": "lamp",
            "brand": "",
            "category": [["Light"]] * len(descriptions),
            "description": descriptions,
            "image_ref": "",
            "image_status": "ok",
        },
        schema=columns.ITEMS,
    )
    path = root / "artifacts" / "shop" / "prepared" / "items.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path)


def item_id(n: int) -> str:
    return f"i{ITEMS - 1 - n:02}"


def read_table(root: Path) -> list[str]:
    """Return the summaries, after a look at everything else that holds for every source."""
    folder = root / "artifacts" / "shop" / "summaries"
    assert sorted(path.name for path in folder.iterdir()) == ["summaries.parquet", "summary.json"]
    table = pl.read_parquet(folder / "summaries.parquet")
    items = pl.read_parquet(root / "artifacts" / "shop" / "prepared" / "items.parquet")
    assert table.schema == pl.Schema(columns.SUMMARIES)
    assert table["item_id"].to_list() == items["item_id"].to_list()
    assert table["summary"].null_count() == 0
    return table["summary"].to_list()


def read_facts(root: Path) -> dict[str, Any]:
    facts = json.loads((root / "artifacts" / "shop" / "summaries" / "summary.json").read_text())
    assert all(isinstance(value, str | int | float) for value in facts.values()), "flat"
    return facts


def digest(root: Path) -> str:
    return digest_folder(root / "artifacts" / "shop" / "summaries")


def extract(n: int) -> str:
    return "" if n in SILENT else f"Thing number {n} is a lamp. Foot {n} is turned from oak{n} and ash{n}."


def test_an_extract_per_item_in_catalog_order(tmp_path: Path) -> None:
    root = write_project(tmp_path, max_words=14)
    printed = run_ok(root, "summarize")
    assert read_table(root) == [extract(n) for n in range(ITEMS)]
    assert printed == read_facts(root)
    assert printed == {
        "method": "extractive",
        "max_words": 14,
        "items": 12,
        "items_without_description": 2,
        "summaries": 10,
        "mean_words_before": 21.0,
        "mean_words_after": 14.0,
    }


def test_extracting_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    run_ok(root, "summarize")
    before = digest(root)
    run_ok(root, "summarize")
    assert digest(root) == before
    assert not (root / "work" / "summary-cache").exists()
    set_options(root, max_words=5)
    run_ok(root, "summarize")
    assert digest(root) != before
    assert max(map(count_words, read_table(root))) == 5


def test_a_catalog_without_any_description_has_empty_summaries(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    write_items(root, [""] * 3)
    facts = run_ok(root, "summarize")
    assert read_table(root) == ["", "", ""]
    assert (facts["summaries"], facts["mean_words_before"], facts["mean_words_after"]) == (0, 0.0, 0.0)


def test_extracting_imports_no_torch(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    code = (
        "import sys; from pipelines.cli import cli; cli(sys.argv[1:], standalone_mode=False);"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    run_process(root, code)
    assert read_facts(root)["summaries"] == 10


def run_process(root: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, "--root", str(root), "summarize", "--dataset", "shop", "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended


def test_prepare_comes_first_and_one_run_at_a_time(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    with hold_lock(Layout(root, "shop").lock("summarize")):
        assert isinstance(expect_error(root, "summarize"), LockedError)
    (root / "artifacts" / "shop" / "prepared" / "items.parquet").unlink()
    error = expect_error(root, "summarize")
    assert isinstance(error, MissingArtifactError)
    assert "illmrec prepare --dataset shop" in error.hint


def write_file(root: Path, rows: list[tuple[str, str]]) -> None:
    with (root / "given.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item_id", "summary"), *rows])


def test_a_file_says_what_items_are_and_extracts_fill_the_gaps(tmp_path: Path) -> None:
    root = write_project(tmp_path, source="file", file="given.csv", max_words=14)
    long = "word " * 30
    rows = [(item_id(1), "A <b>small</b> lamp, blue"), (item_id(2), long), ("stranger", "x"), (item_id(3), " ")]
    write_file(root, [*rows, (item_id(0), "A lamp that nobody described")])
    facts = run_ok(root, "summarize")
    expected = [extract(n) for n in range(ITEMS)]
    expected[:3] = ["A lamp that nobody described", "A small lamp, blue", ("word " * 14).strip()]
    assert read_table(root) == expected
    assert facts == read_facts(root)
    assert facts == {
        "method": "file",
        "file": "given.csv",
        "file_sha256": digest_file(root / "given.csv"),
        "unknown_ids": 1,
        "extractive_fallbacks": 8,
        "cut": 1,
        "max_words": 14,
        "items": 12,
        "items_without_description": 2,
        "summaries": 11,
        "mean_words_before": 21.0,
        "mean_words_after": (8 * 14 + 4 + 14) / 10,
    }
    before = digest(root)
    run_ok(root, "summarize")
    assert digest(root) == before


def test_a_bad_file_stops_the_run_and_leaves_what_was_there(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    run_ok(root, "summarize")
    before = digest(root)
    set_options(root, source="file", file="given.csv")
    for text, message in ((None, "no file of summaries"), ("item_id,text\n1,x\n", "lacks the column 'summary'")):
        if text is not None:
            (root / "given.csv").write_text(text)
        error = expect_error(root, "summarize")
        assert isinstance(error, DataError)
        assert message in str(error)
        assert str(root / "given.csv") in str(error)
        assert error.hint
    assert digest(root) == before


@pytest.mark.parametrize(("source", "name"), [("file", "file"), ("model", "name")])
def test_a_source_that_is_not_named_is_asked_for(source: str, name: str, tmp_path: Path) -> None:
    error = expect_error(write_project(tmp_path, source=source), "summarize")
    assert isinstance(error, ParameterError)
    assert f"summarize.{name} is missing" in str(error)
    assert error.hint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_items: pl.DataFrame) -> Path:
    """Save a Llama with random weights that writes many different tokens."""
    from benchmarks.tiny import save_language_model

    return save_language_model(tmp_path_factory.mktemp("model"), tiny_items, width=64, layers=2, heads=4)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the batches that a model is asked for from now on."""
    batches: list[list[str]] = []
    plain = SummaryWriter.write

    def write(self: SummaryWriter, texts: Sequence[str]) -> list[str]:
        batches.append(list(texts))
        return plain(self, texts)

    monkeypatch.setattr(SummaryWriter, "write", write)
    return batches


def use_model(root: Path, model: Path, **options: Any) -> Path:
    """Write a project that asks a local model, linked into it."""
    write_project(root)
    if not (root / "model").exists():
        (root / "model").symlink_to(model)
    defaults = {"source": "model", "name": "model", "max_new_tokens": 24, "batch_size": 4, "max_words": 2}
    set_options(root, **(defaults | options))
    return root


def test_a_model_writes_once_and_an_unchanged_run_asks_it_for_nothing(
    tmp_path: Path, model: Path, asked: list[list[str]]
) -> None:
    root = use_model(tmp_path, model)
    facts = run_ok(root, "summarize")
    assert [len(batch) for batch in asked] == [4, 4, 2]
    assert sorted(text for batch in asked for text in batch) == sorted(describe(n) for n in range(ITEMS) if describe(n))
    summaries, before = read_table(root), digest(root)
    assert [n for n in range(ITEMS) if not summaries[n]] == [*SILENT]
    assert len(set(summaries)) > 5, "all the same proves nothing"
    assert max(map(count_words, summaries)) == 2
    assert facts["written"] == 10
    assert facts["cut"] > 0
    known = read_facts(root)
    assert known == {name: value for name, value in facts.items() if name != "written"}
    assert (known["method"], known["model"], known["extractive_fallbacks"]) == ("model", "model", 0)
    assert known["revision"] == f"sha256:{digest_folder(model)}"
    asked.clear()
    assert run_ok(root, "summarize")["written"] == 0
    assert asked == []
    assert digest(root) == before
    # From an empty store it writes the same again.
    for path in (root / "work" / "summary-cache").iterdir():
        path.unlink()
    assert run_ok(root, "summarize")["written"] == 10
    assert digest(root) == before


def test_one_changed_description_is_one_asked_for(tmp_path: Path, model: Path, asked: list[list[str]]) -> None:
    root = use_model(tmp_path, model)
    run_ok(root, "summarize")
    summaries, before = read_table(root), digest(root)
    asked.clear()
    descriptions = [describe(n) for n in range(ITEMS)]
    write_items(root, [*descriptions[:5], "A red lamp of brass.", *descriptions[6:]])
    assert run_ok(root, "summarize")["written"] == 1
    assert asked == [["A red lamp of brass."]]
    changed = read_table(root)
    assert [n for n in range(ITEMS) if changed[n] != summaries[n]] == [5]
    # Back again, in another order and with a twin: nothing to ask for.
    write_items(root, descriptions)
    assert run_ok(root, "summarize")["written"] == 0
    assert digest(root) == before
    write_items(root, [*descriptions[::-1], descriptions[1]])
    assert run_ok(root, "summarize")["written"] == 0
    assert read_table(root) == [*summaries[::-1], summaries[1]]
    assert len(asked) == 1


def test_what_changes_the_answer_asks_anew_and_what_does_not_does_not(
    tmp_path: Path, model: Path, asked: list[list[str]]
) -> None:
    root = use_model(tmp_path, model)
    run_ok(root, "summarize")
    use_model(root, model, batch_size=3)
    assert run_ok(root, "summarize")["written"] == 0
    for options in ({"max_words": 5}, {"max_new_tokens": 11}, {"precision": "bf16"}):
        use_model(root, model, **options)
        assert run_ok(root, "summarize")["written"] == 10, options


def test_nothing_to_ask_for_loads_no_model(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = use_model(tmp_path, model)
    run_ok(root, "summarize")
    before = digest(root)
    monkeypatch.setattr(SummaryWriter, "__init__", lambda *arguments, **options: pytest.fail("it was loaded"))
    run_ok(root, "summarize")
    assert digest(root) == before


def test_where_a_model_writes_nothing_the_extract_stands_in(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SummaryWriter, "write", lambda self, texts: [("" if "oak3" in text else "x") for text in texts])
    root = use_model(tmp_path, model, max_words=14)
    facts = run_ok(root, "summarize")
    assert facts["extractive_fallbacks"] == 1
    assert read_table(root) == ["" if n in SILENT else extract(3) if n == 3 else "x" for n in range(ITEMS)]


def test_killed_while_it_writes_it_redoes_at_most_one_batch(tmp_path: Path, model: Path) -> None:
    root = use_model(tmp_path, model)
    # A model that is killed while it writes its third batch, and one that is not.
    code = (
        "import os, signal, sys; from illmrec.features.summarizing import writer as summary_writer\n"
        "class Fake:\n"
        "    def __init__(self, *arguments, **options): self.calls = 0\n"
        "    def write(self, texts):\n"
        "        self.calls += 1\n"
        "        if self.calls == LAST: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return [text.split()[2] for text in texts]\n"
        "summary_writer.SummaryWriter = Fake\n"
        "from pipelines.cli import cli; cli(sys.argv[1:], standalone_mode=False)"
    )
    killed = run_process(root, code.replace("LAST", "3"))
    assert killed.returncode == -signal.SIGKILL
    assert not (root / "artifacts" / "shop" / "summaries").exists()
    again = run_process(root, code.replace("LAST", "99"))
    assert json.loads(again.stdout)["written"] == 10 - 2 * 4
    assert read_table(root) == ["" if n in SILENT else str(n) for n in range(ITEMS)]


def test_a_hub_model_needs_a_revision_and_is_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    root = write_project(tmp_path / "project", source="model", name="someone/model")
    error = expect_error(root, "summarize")
    assert isinstance(error, ModelError)
    assert "no pinned revision" in str(error)
    assert "revision" in error.hint
    set_options(root, source="model", name="someone/model", revision="0" * 40)
    error = expect_error(root, "summarize")
    assert isinstance(error, ModelError)
    assert f"hf download someone/model --revision {'0' * 40}" in error.hint
    assert "allow_network" not in error.hint


def test_weights_in_a_format_that_can_run_code_are_refused(tmp_path: Path, model: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file

    pickled = shutil.copytree(model, tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    error = expect_error(use_model(tmp_path / "project", pickled), "summarize")
    assert isinstance(error, ModelError)
    assert "safetensors" in error.hint
