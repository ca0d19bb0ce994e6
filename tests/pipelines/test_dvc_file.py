"""dvc.yaml, the one list of stages, parameters and commands agree."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from pipelines.cli import COMMANDS, load_command
from pipelines.graph import STAGES, Stage
from pipelines.parameters.reading import SECTIONS

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_is_what_the_list_declares(stage: Stage) -> None:
    definition = FILE[stage.name]["do"]
    assert definition["cmd"] == f"illmrec {stage.command} --dataset ${{key}}"
    assert stage.command in COMMANDS
    sections = (stage.name, *stage.sections)
    assert definition["params"] == [*sections, *(f"datasets.${{key}}.{section}" for section in sections)]
    assert tuple(list_outputs(definition)) == tuple(f"artifacts/${{key}}/{output}" for output in stage.outputs)
    code, *inputs = definition["deps"]
    raw = [f"${{item.{stage.name}.folder}}"] if stage.readers else []
    assert inputs == [*raw, *(f"artifacts/${{key}}/{place}" for place in stage.inputs)]
    files = {code.replace(f"${{item.{stage.name}.format}}", form) for form in stage.formats or ("",)}
    assert files == {f"artifacts/code/{name}.json" for name in stage.verbs}


def list_outputs(definition: dict[str, Any]) -> Iterator[str]:
    """Yield the paths of outputs, metrics and plots."""
    for entry in (entry for kind in ("outs", "metrics", "plots") for entry in definition.get(kind, [])):
        yield entry if isinstance(entry, str) else next(iter(entry))


def test_stages_come_in_the_order_of_the_list_behind_the_one_that_says_what_code_they_reach() -> None:
    assert list(FILE) == ["code", *(stage.name for stage in STAGES)]
    assert FILE["code"] == {"cmd": "illmrec code", "deps": ["illmrec", "pipelines"], "outs": ["artifacts/code"]}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_input_is_an_output_of_an_earlier_stage(stage: Stage) -> None:
    earlier = STAGES[: STAGES.index(stage)]
    for place in stage.inputs:
        assert any(other.makes(place) for other in earlier), place


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_has_a_verb_a_section_and_a_command(stage: Stage) -> None:
    for verb in (verb for verbs in stage.verbs.values() for verb in verbs):
        module, _, name = verb.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), verb
    assert stage.name in SECTIONS
    assert load_command(stage.command).name == stage.command


def test_the_formats_of_raw_files_are_those_of_the_section() -> None:
    from pipelines.parameters.data import PrepareConfig

    assert STAGES[0].formats == get_args(PrepareConfig.model_fields["format"].annotation)


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
    from pipelines.studies.catalogue import STUDIES, list_study_verbs

    wanted = yaml.safe_load((ROOT / "pipelines/studies/studies.yaml").read_text(encoding="utf-8"))["studies"]
    assert not set(wanted) - set(STUDIES)
    assert STUDIES_FILE["stages"]["study"]["deps"][0] == "artifacts/code/study-${item.name}.json"
    assert set(list_study_verbs()) == {f"study-{name}" for name in STUDIES}
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
