"""Bad inputs through the console script's own function: one message with what, where and what next; no traceback.

An exception that is not a typed error leaves ``main`` and fails the test, as it would end in a traceback.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from illmrec.evaluation.table import MetricsTable, write_metrics
from pipelines import cli
from tests.own_project import copy_project

Damage = Callable[[Path, pytest.MonkeyPatch], Any]

USAGE, DATA, MODEL, LOCKED, NOTHING, MACHINE = 2, 3, 4, 5, 6, 7
P = "artifacts/shop"
NIGHT = "recommend --dataset shop --date 2026-02-01"


@dataclass(frozen=True)
class Case:
    """A command line, what was broken before, and what the message must say."""

    line: str
    code: int
    told: tuple[str, ...]
    damage: Damage = lambda root, patch: None


def remove(*names: str) -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        for name in names:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def write(name: str, content: str | bytes = b"junk\x00\xff") -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        for path in sorted(root.glob(name)) or [root / name]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def cut(name: str) -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        (path,) = root.glob(name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def flip(name: str) -> Damage:
    """Change one bit in the middle of a file that the registry keeps, and forget the copy that was downloaded."""

    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        shutil.rmtree(root / "work/releases", ignore_errors=True)
        for path in root.glob(name):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

    return damage


def drop(name: str, column: str) -> Damage:
    return lambda root, patch: pl.read_parquet(root / name).drop(column).write_parquet(root / name)


def cast(name: str, column: str, kind: Any) -> Damage:
    return lambda root, patch: (
        pl.read_parquet(root / name).with_columns(pl.col(column).cast(kind)).write_parquet(root / name)
    )


def change(old: str, new: str, name: str = "params.yaml") -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert old in text
        (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def use_own(files: dict[str, str | bytes], *, broken: bool = True) -> Damage:
    """Put a catalog of one's own in the place of the data set's: six users who took six items each."""
    rows = "".join(f"u{user},i{item},{1_600_000_000 + item}\n" for user in range(6) for item in range(6))
    sound: dict[str, str | bytes] = {"interactions.csv": "user_id,item_id,timestamp\n" + rows}
    sound["items.csv"] = "item_id,title\n" + "".join(f"i{item},thing {item}\n" for item in range(6))

    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        (root / "data/own").mkdir()
        for name, content in (sound | files).items():
            made = content if isinstance(content, bytes) else content.encode()
            (root / "data/own" / name).write_bytes(made)
        change("{format: amazon, folder: data/shop,", "{format: own, folder: data/own,")(root, patch)

    return damage


def hold(name: str) -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        path = root / "work/locks" / name
        path.write_text("4242")
        file = path.open("r+")
        fcntl.flock(file, fcntl.LOCK_EX)
        patch.setattr(sys.modules[__name__], "_held", file)

    return damage


_held: Any = None


def fail_with(number: int, where: str) -> Damage:
    """Let a call of the system fail, as on a full or foreign disk."""

    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        def failing(*arguments: Any, **options: Any) -> None:
            raise OSError(number, os.strerror(number), str(root / P))

        patch.setattr(where, failing)

    return damage


def run_out_of_memory(root: Path, patch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    patch.setattr("pipelines.stages.split.make_split", failing)


def forget_aliases(root: Path, patch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("DELETE FROM registered_model_aliases")


def every(*damages: Damage) -> Damage:
    return lambda root, patch: [damage(root, patch) for damage in damages]


SPLIT = "split --dataset shop"
PREPARE = "prepare --dataset shop"
REGISTER = "register --dataset shop"
EVALUATE = "evaluate --dataset shop"
HEADER = "user_id,item_id,timestamp\n"
LATEST = "exports/shop/latest.json"
BAD_PARQUET = "is not readable as Parquet"

CASES: dict[str, Case] = {
    # --- what was typed
    "unknown command": Case("trian", USAGE, ("'trian'", "Did you mean 'train'?")),
    "unknown subcommand": Case("registry lst --dataset shop", USAGE, ("'lst'", "Did you mean 'list'?")),
    "unknown option": Case("train --datset shop", USAGE, ("'--datset'", "Did you mean '--dataset'?")),
    "option without a value": Case("split --dataset", USAGE, ("'--dataset' requires an argument",)),
    "required option left out": Case("train", USAGE, ("Missing option '--dataset'",)),
    "month 13": Case("recommend --dataset shop --date 2026-13-01", USAGE, ("'2026-13-01'", "'%Y-%m-%d'")),
    "a day in words": Case("recommend --dataset shop --date tomorrow", USAGE, ("'tomorrow'", "'%Y-%m-%d'")),
    "unknown engine": Case(f"{NIGHT} --engine spark", USAGE, ("'spark'", "'local', 'ray'")),
    "unknown section": Case("config show --dataset shop --section trian", USAGE, ("'trian'", "'train'")),
    "unknown study": Case("study overal --dataset shop", USAGE, ("'overal'", "'overall'")),
    "unknown shell": Case("completion powershell", USAGE, ("'powershell'", "'bash', 'zsh', 'fish'")),
    "no process at all": Case("repro --jobs 0", USAGE, ("0 is not in the range",)),
    "quiet and verbose": Case("-q -v preset list", USAGE, ("--verbose and --quiet contradict each other",)),
    "no such folder to add from": Case("catalog add nowhere --dataset shop", USAGE, ("'nowhere' does not exist",)),
    "adding to a publisher's catalog": Case(
        "catalog add {root}/work --dataset shop", DATA, ("of format 'amazon', expected 'own'", "docs/your-catalog.md")
    ),
    "unknown data set": Case("split --dataset shp", USAGE, ("no data set 'shp'", "params.yaml: shop")),
    "unknown data set of results": Case("results --dataset shp", USAGE, ("no data set 'shp'", "Data sets: shop")),
    "unknown data set of repro": Case("repro --dataset shp", USAGE, ("no data set 'shp'", "shop")),
    "unknown preset": Case("preset use papr", USAGE, ("no preset 'papr'", "Did you mean 'paper'?")),
    "preset over an edited file": Case("preset use paper", USAGE, ("params.yaml", "was edited", "--force")),
    "unknown user": Case(
        "recommendations --dataset shop --user nobody", DATA, ("no user 'nobody'", "letter for letter")
    ),
    "another folder as root": Case(
        "--root {root}/data split --dataset shop", USAGE, ("data/params.yaml", "no parameters file", "--params")
    ),
    # --- params.yaml
    "no parameters file": Case(SPLIT, USAGE, ("params.yaml", "no parameters file", "--params"), remove("params.yaml")),
    "parameters cut off": Case(SPLIT, USAGE, ("params.yaml, row 1", "not valid YAML"), write("params.yaml", "a: [")),
    "parameters with a tab": Case(
        SPLIT, USAGE, ("params.yaml, row 2", "indent with spaces"), write("params.yaml", "datasets:\n\tshop: {}")
    ),
    "parameters not UTF-8": Case(
        SPLIT, USAGE, ("params.yaml", "Save the file as UTF-8"), write("params.yaml", b"\xff\xfe")
    ),
    "parameters without data sets": Case(SPLIT, USAGE, ("`datasets`", "preset use"), write("params.yaml", "train: {}")),
    "a key given twice": Case(
        SPLIT,
        USAGE,
        ("params.yaml, row ", "'validate' stands in line "),
        change("    validate: {}", "    validate: {}\n    validate: {min_users: 3}"),
    ),
    "unknown parameter": Case(
        SPLIT, USAGE, ("'epoch' in train", "Did you mean 'epochs'?"), change("epochs: 2,", "epoch: 2,")
    ),
    "number written as a word": Case(
        SPLIT, USAGE, ("epochs is 'many'", "docs/parameters.md"), change("epochs: 2,", "epochs: many,")
    ),
    "number that YAML reads as text": Case(
        SPLIT, USAGE, ("'1e-3'", "1.0e-3"), change("epochs: 2,", "learning_rate: 1e-3,")
    ),
    "out of range": Case(SPLIT, USAGE, ("batch_size is 0", "greater"), change("batch_size: 16,", "batch_size: 0,")),
    "a share of nothing": Case(
        SPLIT, USAGE, ("test_share is 0.0",), change("{negatives: 20}", "{method: global_time, test_share: 0.0}")
    ),
    "unknown format": Case(
        PREPARE, USAGE, ("format is 'shopify'", "'own'"), change("format: amazon", "format: shopify")
    ),
    "a stage left out": Case(SPLIT, USAGE, ("lacks export", "`export: {}`"), change("    export: {}\n", "")),
    "a section that is a list": Case(
        SPLIT, USAGE, ("export must be a mapping",), change("    export: {}", "    export: [1]")
    ),
    "a data set's name with a slash": Case(
        SPLIT, USAGE, ("'../shop' must be letters",), change("  shop:", "  ../shop:")
    ),
    # --- raw files
    "no raw folder": Case(PREPARE, DATA, ("data/shop", "illmrec sample"), remove("data/shop")),
    "raw folder of another format": Case(
        PREPARE, DATA, ("expected transactions_train.csv", "Sample_5.json.gz"), change("format: amazon", "format: hm")
    ),
    "gzip cut off": Case(PREPARE, DATA, ("Sample_5.json.gz, row", "fetch it again"), cut("data/shop/*_5.json.gz")),
    "no gzip at all": Case(PREPARE, DATA, ("Sample_5.json.gz", "fetch it again"), write("data/shop/*_5.json.gz")),
    "gzip of something else": Case(
        PREPARE,
        DATA,
        ("Sample_5.json.gz", "max_rejected_share"),
        write("data/shop/*_5.json.gz", gzip.compress(b"x\n" * 50)),
    ),
    "core above everybody": Case(
        PREPARE, DATA, ("user_core 3000", "Lower prepare.user_core"), change("user_core: 3", "user_core: 3000")
    ),
    "CSV without a column": Case(
        PREPARE,
        DATA,
        ("interactions.csv", "'item_id'"),
        use_own({"interactions.csv": "user_id,item,timestamp\nu,i,1\n"}),
    ),
    "CSV not UTF-8": Case(
        PREPARE,
        DATA,
        ("interactions.csv, row 2", "not UTF-8"),
        use_own({"interactions.csv": HEADER.encode() + b"\xff,i,1\n"}),
    ),
    "CSV that is empty": Case(PREPARE, DATA, ("interactions.csv", "is empty"), use_own({"interactions.csv": ""})),
    "dates that are none": Case(
        PREPARE,
        DATA,
        ("interactions.csv, row 2", "max_rejected_share"),
        use_own({"interactions.csv": HEADER + "u,i,31/12/2025\n" * 9}),
    ),
    "items without ids": Case(PREPARE, DATA, ("items.csv", "'item_id'"), use_own({"items.csv": "id,title\n1,x\n"})),
    "Parquet that is none": Case(
        PREPARE,
        DATA,
        ("interactions.parquet",),
        every(use_own({"interactions.parquet": "no"}), remove("data/own/interactions.csv")),
    ),
    "the same table twice": Case(
        PREPARE, DATA, ("interactions.csv", "interactions.parquet"), use_own({"interactions.parquet": "no"})
    ),
    # --- commands out of order
    "split before prepare": Case(SPLIT, USAGE, ("interactions.parquet", "illmrec prepare"), remove(f"{P}/prepared")),
    "split before validate": Case(SPLIT, USAGE, ("gate.json", "illmrec validate"), remove(f"{P}/quality")),
    "encoders before prepare": Case(
        "encoders --dataset shop", USAGE, ("items.parquet", "illmrec prepare"), remove(f"{P}/prepared")
    ),
    "pictures before encoders": Case(
        "embed-images --dataset shop", USAGE, ("encoders.json", "illmrec encoders"), remove(f"{P}/encoders")
    ),
    "texts before encoders": Case(
        "embed-text --dataset shop", USAGE, ("encoders.json", "illmrec encoders"), remove(f"{P}/encoders")
    ),
    "feature gate before features": Case(
        "validate-features --dataset shop", USAGE, ("features/image", "illmrec embed-images"), remove(f"{P}/features")
    ),
    "SASRec before split": Case(
        "train-cf --dataset shop", USAGE, ("sequences.parquet", "illmrec split"), remove(f"{P}/split")
    ),
    "train before pictures": Case(
        "train --dataset shop", USAGE, ("values.npy", "illmrec embed-images"), remove(f"{P}/features/image")
    ),
    "train before SASRec": Case(
        "train --dataset shop", USAGE, ("values.npy", "illmrec train-cf"), remove(f"{P}/features/cf")
    ),
    "evaluate before train": Case(EVALUATE, USAGE, ("model", "illmrec train"), remove(f"{P}/model")),
    "export before train": Case("export --dataset shop", USAGE, ("model", "illmrec train"), remove(f"{P}/model")),
    "register before export": Case(REGISTER, USAGE, ("head.json", "illmrec export"), remove(f"{P}/head")),
    "register before evaluate": Case(REGISTER, USAGE, ("illmrec evaluate",), remove(f"{P}/evaluation")),
    "promote before register": Case(
        "promote --dataset shop", MODEL, ("no challenger", "illmrec register"), forget_aliases
    ),
    "a night before promote": Case(NIGHT, MODEL, ("no champion", "illmrec promote"), forget_aliases),
    "drift before promote": Case("drift --dataset shop", MODEL, ("no champion", "illmrec promote"), forget_aliases),
    "report before prepare": Case("report --dataset shop", USAGE, ("prepared", "illmrec prepare"), remove("artifacts")),
    "reading before a night": Case(
        "recommendations --dataset shop", DATA, ("latest.json", "nothing is published yet"), remove("exports")
    ),
    "study before the split": Case(
        "study overall --dataset shop", USAGE, ("sequences.parquet", "illmrec split"), remove(f"{P}/split")
    ),
    # --- damaged artifacts
    "items damaged": Case(
        SPLIT, DATA, ("items.parquet", BAD_PARQUET, "illmrec prepare"), write(f"{P}/prepared/items.parquet")
    ),
    "items cut off": Case(
        "validate --dataset shop", DATA, ("items.parquet", BAD_PARQUET), cut(f"{P}/prepared/items.parquet")
    ),
    "interactions without times": Case(
        SPLIT, DATA, ("interactions.parquet", "'timestamp'"), drop(f"{P}/prepared/interactions.parquet", "timestamp")
    ),
    "times as text": Case(
        SPLIT,
        DATA,
        ("'timestamp' is String, expected Int64",),
        cast(f"{P}/prepared/interactions.parquet", "timestamp", pl.String),
    ),
    "items without titles": Case(
        "embed-text --dataset shop", DATA, ("lacks the column 'title'",), drop(f"{P}/prepared/items.parquet", "title")
    ),
    "pictures' table damaged": Case(
        "embed-images --dataset shop",
        DATA,
        ("images.parquet", "illmrec prepare"),
        write(f"{P}/prepared/images.parquet"),
    ),
    "source record damaged": Case(
        "embed-images --dataset shop", DATA, ("source.json", "illmrec prepare"), write(f"{P}/prepared/source.json")
    ),
    "gate's result damaged": Case(SPLIT, DATA, ("gate.json", "illmrec validate"), write(f"{P}/quality/gate.json")),
    "gate's result is a list": Case(SPLIT, DATA, ("gate.json",), write(f"{P}/quality/gate.json", "[]")),
    "data refused by the gate": Case(
        SPLIT,
        DATA,
        ("did not pass the quality gate", "section `validate`"),
        write(f"{P}/quality/gate.json", '{"passed": false}'),
    ),
    "encoders' record damaged": Case(
        "embed-images --dataset shop",
        MODEL,
        ("encoders.json", "illmrec encoders"),
        write(f"{P}/encoders/encoders.json"),
    ),
    "encoders' record without a role": Case(
        "embed-text --dataset shop", MODEL, ("lacks text",), write(f"{P}/encoders/encoders.json", "{}")
    ),
    "encoders' record without a revision": Case(
        "embed-text --dataset shop",
        MODEL,
        ("text encoder lacks name, revision",),
        write(f"{P}/encoders/encoders.json", '{"text": {}}'),
    ),
    "language model cut off": Case(
        "train --dataset shop",
        MODEL,
        ("weights are sha256:", "illmrec encoders"),
        cut(f"{P}/encoders/backbone/model.safetensors"),
    ),
    "histories damaged": Case(
        "train-cf --dataset shop", DATA, ("sequences.parquet", "illmrec split"), write(f"{P}/split/sequences.parquet")
    ),
    "candidates damaged": Case(
        EVALUATE, DATA, ("negatives.parquet", "illmrec split"), write(f"{P}/split/negatives.parquet")
    ),
    "targets without items": Case(
        EVALUATE, DATA, ("targets.parquet", "'item_index'"), drop(f"{P}/split/targets.parquet", "item_index")
    ),
    "split's summary damaged": Case(
        EVALUATE, DATA, ("summary.json", "illmrec split"), write(f"{P}/split/summary.json")
    ),
    "features cut off": Case(
        "train --dataset shop", MODEL, ("features/image", "dvc repro"), cut(f"{P}/features/image/values.npy")
    ),
    "mask cut off": Case(
        "train --dataset shop", MODEL, ("features/text", "dvc repro"), cut(f"{P}/features/text/present.npy")
    ),
    "features' header damaged": Case(
        EVALUATE, MODEL, ("features/image", "dvc repro"), write(f"{P}/features/image/header.json")
    ),
    "features of another catalog": Case(
        EVALUATE,
        MODEL,
        ("belongs to another catalog", "dvc repro"),
        lambda root, patch: pl.read_parquet(path := root / P / "prepared/items.parquet")[1:].write_parquet(path),
    ),
    "SASRec cut off": Case(EVALUATE, MODEL, ("cf_model", "damaged"), cut(f"{P}/cf_model/tensors.safetensors")),
    "model's state damaged": Case(EVALUATE, MODEL, ("shop/model", "illmrec train"), write(f"{P}/model/state.json")),
    "model's tensors cut off": Case(
        "export --dataset shop", MODEL, ("shop/model", "illmrec train"), cut(f"{P}/model/tensors.safetensors")
    ),
    "ONNX cut off": Case(REGISTER, MODEL, ("head.onnx", "sha256"), cut(f"{P}/head/head.onnx")),
    "head's record damaged": Case(REGISTER, MODEL, ("head.json", "illmrec export"), write(f"{P}/head/head.json")),
    "head's record empty": Case(
        REGISTER, MODEL, ("head.json", "lacks onnx_sha256"), write(f"{P}/head/head.json", "{}")
    ),
    "metrics damaged": Case(
        REGISTER, MODEL, ("metrics.parquet", "illmrec evaluate"), write(f"{P}/evaluation/metrics.parquet")
    ),
    "metrics that no rank gives": Case(
        REGISTER,
        MODEL,
        ("the ranks give", "illmrec evaluate"),
        lambda root, patch: write_metrics(root / P / "evaluation/metrics.parquet", MetricsTable([])),
    ),
    "metrics of an earlier release": Case(
        REGISTER,
        USAGE,
        ("made by an earlier release", "illmrec evaluate"),
        lambda root, patch: (root / P / "evaluation/metrics.parquet").rename(root / P / "evaluation/metrics.json"),
    ),
    "profile of nothing": Case(
        "drift --dataset shop", DATA, ("profile.json", "of form None"), write(f"{P}/quality/profile.json", "{}")
    ),
    "curves damaged": Case(
        "report --dataset shop", DATA, ("train.csv", "illmrec train"), write(f"{P}/curves/train.csv")
    ),
    "study's results damaged": Case(
        "results", MODEL, ("studies/overall", "illmrec study"), write(f"{P}/studies/overall/results.json")
    ),
    "no file of candidates": Case(
        EVALUATE,
        DATA,
        ("nowhere.csv", "evaluate.candidates"),
        change("{bootstrap_samples: 50}", "{candidates: nowhere.csv}"),
    ),
    "no file of summaries": Case(
        "summarize --dataset shop",
        DATA,
        ("nowhere.csv",),
        change("summarize: {}", "summarize: {source: file, file: nowhere.csv}"),
    ),
    # --- registry and exports
    "registry is no database": Case(
        "registry list --dataset shop", MODEL, ("store of runs", "backup"), write("mlflow.db")
    ),
    "registry no database, at night": Case(NIGHT, MODEL, ("store of runs", "illmrec doctor"), write("mlflow.db")),
    "registry cut off": Case("promote --dataset shop", MODEL, ("store of runs", "backup"), cut("mlflow.db")),
    "registry's files gone": Case(
        NIGHT, MODEL, ("version 1 of illmrec-shop", "Register again"), remove("mlartifacts", "work/releases")
    ),
    "registered head changed": Case(NIGHT, MODEL, ("head.onnx", "onnx_sha256"), flip("mlartifacts/**/*.onnx")),
    "address of no store": Case(
        "promote --dataset shop",
        MODEL,
        ("nonsense://x", "MLFLOW_TRACKING_URI"),
        lambda root, patch: patch.setenv("MLFLOW_TRACKING_URI", "nonsense://x"),
    ),
    "audit log damaged": Case(
        "rollback --dataset shop", MODEL, ("shop-aliases.jsonl", "backup"), write("work/registry/*")
    ),
    "nothing to promote": Case("promote --dataset shop", NOTHING, ("is champion already", "illmrec register")),
    "nothing to roll back to": Case("rollback --dataset shop", NOTHING, ("first champion", "illmrec registry list")),
    "users' table damaged": Case(
        NIGHT, DATA, ("users.parquet", "illmrec prepare"), write(f"{P}/prepared/users.parquet")
    ),
    "pointer damaged": Case(
        "recommendations --dataset shop", DATA, ("latest.json", "illmrec recommend"), write(LATEST)
    ),
    "pointer to elsewhere": Case(
        "recommendations --dataset shop",
        DATA,
        ("manifest.json", "illmrec recommend"),
        write(LATEST, '{"run": "../../x"}'),
    ),
    "a part changed": Case(
        "recommendations --dataset shop",
        DATA,
        ("part-00000.parquet", "differs from the manifest"),
        write("exports/**/part-00000.parquet"),
    ),
    # --- the machine
    "lock held": Case(PREPARE, LOCKED, ("shop-prepare.lock", "process 4242", "Wait for it"), hold("shop-prepare.lock")),
    "lock of the night held": Case(NIGHT, LOCKED, ("shop-recommend.lock", "4242"), hold("shop-recommend.lock")),
    "disk full": Case(
        SPLIT, MACHINE, ("no space left on device", "Free some space"), fail_with(errno.ENOSPC, "os.fsync")
    ),
    "disk read-only": Case(
        SPLIT, MACHINE, ("read-only file system", "permissions"), fail_with(errno.EROFS, "os.fsync")
    ),
    "folder of somebody else": Case(
        PREPARE, MACHINE, ("permission denied", "--root"), fail_with(errno.EACCES, "pathlib.Path.mkdir")
    ),
    "too many open files": Case(SPLIT, MACHINE, ("too many open files", "ulimit"), fail_with(errno.EMFILE, "os.fsync")),
    "a file where a folder is needed": Case(
        PREPARE, MACHINE, ("not a directory", "move it away"), write("artifacts", "x")
    ),
    "memory used up": Case(SPLIT, MACHINE, ("memory is used up", "3 TiB"), run_out_of_memory),
}


def run_main(root: Path, line: str, patch: pytest.MonkeyPatch) -> int:
    arguments = [word.replace("{root}", str(root)) for word in shlex.split(line)]
    patch.setattr(sys, "argv", ["illmrec", "--root", str(root), *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize("name", CASES)
def test_bad_input_ends_with_a_message_and_no_traceback(
    name: str,
    project: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = CASES[name]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = copy_project(project[0], tmp_path / "project")
    with monkeypatch.context() as patch:
        case.damage(root, patch)
        code = run_main(root, case.line, patch)
    printed = capsys.readouterr()
    assert code == case.code, printed.err
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert "error: " in printed.err.lower()
    assert "\n  next: " in printed.err or "Try 'illmrec" in printed.err, printed.err
    for part in case.told:
        assert part in printed.err


def test_there_are_more_than_forty_different_cases() -> None:
    assert len({(case.line, case.told) for case in CASES.values()}) > 100


def test_the_undamaged_project_is_refused_nothing(
    project: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_project(project[0], tmp_path / "project")
    assert run_main(root, SPLIT, monkeypatch) == 0
    assert run_main(root, "recommendations --dataset shop", monkeypatch) == 0


def test_what_a_command_exits_with_is_what_the_process_exits_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(tmp_path, "doctor --json", monkeypatch) == 1
    assert '"problems": 1' in capsys.readouterr().out


def test_an_unknown_failure_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("pipelines.commands.preset.find_preset", failing)
    with pytest.raises(ZeroDivisionError):
        run_main(tmp_path, "preset use sample", monkeypatch)


def test_a_reader_that_leaves_is_told_nothing(project: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root = copy_project(project[0], tmp_path / "project")
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "--root", str(root)]
    process = subprocess.Popen(
        [*command, "recommendations", "--dataset", "shop"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(60) in (0, 1)
