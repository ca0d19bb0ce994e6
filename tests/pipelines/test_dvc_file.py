"""dvc.yaml, params.yaml and the commands agree; declared dependencies cover what a stage imports."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cli import COMMANDS
from pipelines.parameters.reading import STAGES

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

EVERYWHERE = (
    "illmrec/__init__.py",
    "illmrec/atomic.py",
    "illmrec/columns.py",
    "pipelines/parameters/section.py",
    "illmrec/features/cpu_torchvision.py",
    "illmrec/errors.py",
    "illmrec/progress.py",
    "illmrec/seeds.py",
    "illmrec/sqlite_file.py",
    "pipelines/__init__.py",
    "pipelines/project/artifacts.py",
    "pipelines/assembly/recommender.py",
    "pipelines/cli.py",
    "pipelines/project/context.py",
    "pipelines/report/curves.py",
    "pipelines/project/failures.py",
    "pipelines/project/layout.py",
    "pipelines/project/lineage.py",
    "pipelines/project/lock.py",
    "pipelines/parameters/reading.py",
    "pipelines/assembly/pictures.py",
    "pipelines/project/termination.py",
    "pipelines/registry/tracking.py",
    "pipelines/stages/__init__.py",
)
"""Wiring that decides where files lie and how parameters are read, not what is computed; no stage depends on it."""


def list_imports(path: Path) -> set[Path]:
    """Return the project's own modules a file imports, inside functions too, type-checking blocks apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for name in names:
        place = ROOT.joinpath(*name.split("."))
        for candidate in (place.with_suffix(".py"), place / "__init__.py"):
            if name.split(".")[0] in ("illmrec", "pipelines") and candidate.is_file():
                files.add(candidate)
    return files


def close_over_imports(start: Path) -> set[str]:
    """Return every project file that a stage's module reaches, assembly included."""
    found, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        # Assembly serves all stages; what a stage takes from it is the library's and declared where it is used.
        if path.relative_to(ROOT).as_posix() not in EVERYWHERE:
            waiting += list_imports(path)
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_command_and_section_have_one_name(stage: str) -> None:
    definition = FILE[stage]["do"]
    command = stage.replace("_", "-")
    assert definition["cmd"] == f"illmrec {command} --dataset ${{key}}"
    assert command in COMMANDS
    assert stage in definition["params"]
    assert f"datasets.${{key}}.{stage}" in definition["params"]


def test_there_is_no_other_stage() -> None:
    assert list(FILE) == list(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_declared_code_covers_what_the_stage_imports(stage: str) -> None:
    declared = [dep for dep in FILE[stage]["do"]["deps"] if dep.startswith(("illmrec", "pipelines"))]
    reached = close_over_imports(ROOT / "pipelines" / "stages" / f"{stage}.py")
    uncovered = {
        name
        for name in reached
        if name not in EVERYWHERE and not any(name == dep or name.startswith(f"{dep}/") for dep in declared)
    }
    assert not uncovered


def test_no_output_persists() -> None:
    assert "persist" not in (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def test_the_sample_preset_is_what_is_in_use() -> None:
    preset = ROOT / "pipelines" / "presets" / "sample.yaml"
    assert preset.read_bytes() == (ROOT / "params.yaml").read_bytes()


STUDIES_FILE = yaml.safe_load((ROOT / "pipelines/studies/dvc.yaml").read_text(encoding="utf-8"))
PARAMETER_FILES = [ROOT / "params.yaml", *sorted((ROOT / "pipelines/presets").glob("*.yaml"))]


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.stem)
def test_parameters_that_the_studies_watch_are_there(path: Path) -> None:
    # DVC runs no stage whose parameters are missing.
    watched = [name for name in STUDIES_FILE["stages"]["study"]["params"] if isinstance(name, str) and "${" not in name]
    assert watched
    assert not set(watched) - set(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_studies_that_the_pipeline_runs_are_known() -> None:
    from pipelines.studies.catalogue import STUDIES

    wanted = yaml.safe_load((ROOT / "pipelines/studies/studies.yaml").read_text(encoding="utf-8"))["studies"]
    assert not set(wanted) - set(STUDIES)
    assert len(set(wanted)) == len(wanted)


@pytest.mark.parametrize(
    "path", [path for path in PARAMETER_FILES if path.stem != "beauty"], ids=lambda path: path.stem
)
def test_every_parameters_file_names_other_encoders_to_compare_with(path: Path) -> None:
    from pipelines.parameters.features import EncodersConfig
    from pipelines.parameters.reading import merge, read_params, validate_section
    from pipelines.parameters.studies import StudyConfig
    from pipelines.studies.backbones_and_encoders import make_cases

    params = read_params(path)
    for dataset in params.datasets:
        as_set, *others = make_cases(params.section(StudyConfig, dataset))
        encoders = params.section(EncodersConfig, dataset)
        assert as_set.encoders == {}
        for case in others:
            changed = validate_section(EncodersConfig, merge(encoders.model_dump(), dict(case.encoders)), case.name)
            assert changed != encoders
