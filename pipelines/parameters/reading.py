"""The only reader of ``params.yaml``.

A file has one section per stage or job with the defaults of all data sets, and ``datasets``, where each data set
overrides what differs::

    train: {epochs: 10}
    datasets:
      amazon:
        prepare: {format: amazon, folder: data/amazon}
        train: {epochs: 3}

Every stage's key must stand under every data set, if only as ``{}``: DVC tracks exactly these keys.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from illmrec.errors import ParameterError
from pipelines import graph
from pipelines.parameters.data import DriftConfig, GrowthConfig, PrepareConfig, SplitConfig, ValidateConfig
from pipelines.parameters.features import (
    EmbedImagesConfig,
    EmbedTextConfig,
    EncodersConfig,
    SummarizeConfig,
    ValidateFeaturesConfig,
)
from pipelines.parameters.operation import PromoteConfig, RecommendConfig, RegisterConfig, ReportConfig, RetrainConfig
from pipelines.parameters.section import Section
from pipelines.parameters.studies import RivalsConfig, StudyConfig
from pipelines.parameters.training import EvaluateConfig, ExportConfig, TrainCfConfig, TrainConfig

ALL: tuple[type[Section], ...] = (
    *(PrepareConfig, ValidateConfig, SplitConfig, EncodersConfig, EmbedImagesConfig, EmbedTextConfig, SummarizeConfig),
    *(ValidateFeaturesConfig, TrainCfConfig, TrainConfig, EvaluateConfig, ExportConfig),
    *(DriftConfig, RegisterConfig, PromoteConfig, GrowthConfig, RetrainConfig, RecommendConfig, ReportConfig),
    *(StudyConfig, RivalsConfig),
)
"""Every section of the file."""
SECTIONS: dict[str, type[Section]] = {section.key: section for section in ALL}
STAGES: dict[str, type[Section]] = {stage.name: SECTIONS[stage.name] for stage in graph.STAGES}
JOBS: dict[str, type[Section]] = {name: section for name, section in SECTIONS.items() if name not in STAGES}

SectionType = TypeVar("SectionType", bound=Section)


@dataclass(frozen=True)
class Params:
    """A validated parameters file."""

    path: Path
    values: dict[str, Any]

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets, in the file's order."""
        return list(self.values["datasets"])

    def section(self, kind: type[SectionType], dataset: str) -> SectionType:
        """Return one section for one data set: shared defaults overridden by the data set's own values."""
        name = kind.key
        if dataset not in self.values["datasets"]:
            hint = f"Data sets in {self.path}: {', '.join(self.datasets)}."
            raise ParameterError(f"there is no data set {dataset!r}.", path=self.path, hint=hint)
        merged = merge(self.values.get(name) or {}, self.values["datasets"][dataset].get(name) or {})
        return validate_section(kind, merged, f"{name} (data set {dataset})", self.path)


def digest_parameters(params: Params, dataset: str) -> str:
    """Return a sha256 over every resolved section of one data set."""
    resolved = {name: params.section(kind, dataset).model_dump(mode="json") for name, kind in SECTIONS.items()}
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


def flatten(params: Params, dataset: str) -> dict[str, str]:
    """Return section.key -> value as JSON of every parameter of one data set, defaults included."""
    found: dict[str, str] = {}
    for name, kind in SECTIONS.items():
        _flatten_into(found, name, params.section(kind, dataset).model_dump(mode="json"))
    return found


def _flatten_into(found: dict[str, str], prefix: str, value: object) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten_into(found, f"{prefix}.{key}", inner)
    else:
        found[prefix] = json.dumps(value, ensure_ascii=False)


def read_params(path: Path) -> Params:
    """Read and validate a parameters file.

    Raises:
        ParameterError: when the file is missing, is not YAML, or holds an unknown or wrong parameter in any section of
            any data set; the message names the parameter, the value got and the value expected.
    """
    if not path.is_file():
        raise ParameterError("there is no parameters file.", path=path, hint="Run inside a project, or pass --params.")
    values = _read_yaml(path)
    if not isinstance(values, dict) or not isinstance(values.get("datasets"), dict) or not values["datasets"]:
        hint = "docs/your-catalog.md shows a data set; `illmrec preset use sample` writes a complete file."
        raise ParameterError("must be a mapping with a non-empty mapping `datasets`.", path=path, hint=hint)
    _refuse_unknown(values, [*SECTIONS, "datasets"], "section", path)
    for dataset, overrides in values["datasets"].items():
        _check_dataset(str(dataset), overrides, path)
    params = Params(path, values)
    for dataset in params.datasets:
        for kind in SECTIONS.values():
            params.section(kind, dataset)
    return params


class _StrictLoader(yaml.SafeLoader):
    """A loader that refuses a key given twice, where YAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; raises ConstructorError at the second of two equal keys."""
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen and key != "<<":
                told = f"the key {key!r} stands in line {seen[key]} already"
                raise yaml.constructor.ConstructorError(None, None, told, key_node.start_mark)
            seen[str(key)] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise ParameterError(f"is not valid YAML: {error}.", path=path, hint="Save the file as UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        row = error.problem_mark.line + 1 if error.problem_mark else None
        hint = "Correct that line; indent with spaces, and write `key: value` with a space."
        raise ParameterError(f"is not valid YAML: {error.problem}.", path=path, row=row, hint=hint) from None
    except yaml.YAMLError as error:
        raise ParameterError(f"is not valid YAML: {error}", path=path, hint="Correct the file.") from None


_LOOK = "docs/your-catalog.md shows a data set."


def _check_dataset(dataset: str, overrides: object, path: Path) -> None:
    if not dataset.replace("-", "").replace("_", "").isalnum():
        raise ParameterError(
            f"data set name {dataset!r} must be letters, digits, '-' and '_'.", path=path, hint="Rename it."
        )
    if not isinstance(overrides, dict):
        raise ParameterError(
            f"datasets.{dataset} must be a mapping of sections, got {overrides!r}.", path=path, hint=_LOOK
        )
    _refuse_unknown(overrides, list(SECTIONS), f"section of data set {dataset}", path)
    missing = [stage for stage in STAGES if stage not in overrides]
    if missing:
        hint = f"Write `{missing[0]}: {{}}` under datasets.{dataset} to use the defaults."
        raise ParameterError(f"datasets.{dataset} lacks {', '.join(missing)}.", path=path, hint=hint)
    if "folder" not in (overrides["prepare"] or {}):
        # dvc.yaml makes the folder a dependency and reads it from here.
        raise ParameterError(f"datasets.{dataset}.prepare lacks `folder`.", path=path, hint="Name the raw folder.")


def _refuse_unknown(values: dict[Any, Any], known: list[str], what: str, path: Path) -> None:
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
            raise ParameterError(f"unknown {what} {key!r}.", path=path, hint=hint)
        if value is not None and not isinstance(value, dict):
            hint = f"Write `{key}: {{}}`, or its keys below it, indented."
            raise ParameterError(f"{key} must be a mapping, got {value!r}.", path=path, hint=hint)


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the keys of ``override``, inner mappings key by key."""
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _freeze_lists(value: Any) -> Any:
    """Turn YAML's lists into the tuples that frozen sections hold."""
    if isinstance(value, dict):
        return {key: _freeze_lists(inner) for key, inner in value.items()}
    return tuple(_freeze_lists(inner) for inner in value) if isinstance(value, list) else value


def validate_section(
    kind: type[SectionType], values: dict[str, Any], name: str, path: Path | None = None
) -> SectionType:
    """Return a section of the values given.

    Args:
        kind: the section's class.
        values: its keys.
        name: what to call it in a message.
        path: file the values are from, for the message.

    Raises:
        ParameterError: when a key is unknown, missing or wrong, or keys contradict each other.
    """
    try:
        return kind.model_validate(_freeze_lists(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _known_fields(kind, first["loc"][:-1])
            close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
            raise ParameterError(f"unknown parameter {key!r} in {name}.", path=path, hint=hint) from None
        reference = f"docs/parameters.md has every key of `{kind.key or kind.__name__}`, its type and its range."
        hint = "YAML reads 1e-3 as text; write 1.0e-3." if _looks_like_number(first["input"]) else reference
        if not key:  # keys contradict each other
            raise ParameterError(
                f"{name}: {first['msg'].removeprefix('Value error, ')}.", path=path, hint=reference
            ) from None
        if first["type"] == "missing":
            raise ParameterError(f"{name} lacks the parameter {key!r}.", path=path, hint=reference) from None
        raise ParameterError(f"{name}.{key} is {first['input']!r}: {first['msg']}.", path=path, hint=hint) from None


def _looks_like_number(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _known_fields(kind: type[Section], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        annotation = kind.model_fields[str(part)].annotation
        inner = annotation if isinstance(annotation, type) else get_args(annotation)[0]
        if not issubclass(inner, Section):
            return []
        kind = inner
    return list(kind.model_fields)
