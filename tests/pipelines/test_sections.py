from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipelines.parameters.data import PrepareConfig, SplitConfig, ValidateConfig
from pipelines.parameters.reading import SECTIONS
from pipelines.parameters.section import Section
from pipelines.parameters.training import EvaluateConfig, TrainCfConfig, TrainConfig

WITHOUT_DEFAULTS = {PrepareConfig: {"format": "own", "folder": "data"}}


def build(kind: type[Section]) -> Section:
    return kind(**WITHOUT_DEFAULTS.get(kind, {}))


def sections() -> list[type[Section]]:
    """Return every section class, inner ones included."""
    found: list[type[Section]] = []
    waiting = list(SECTIONS.values())
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            found.append(kind)
            annotations = [field.annotation for field in kind.model_fields.values()]
            waiting += [a for a in annotations if isinstance(a, type) and issubclass(a, Section)]
    return found


@pytest.mark.parametrize("kind", sections(), ids=lambda kind: kind.__name__)
def test_every_parameter_is_described(kind: type[Section]) -> None:
    undescribed = [
        name
        for name, field in kind.model_fields.items()
        if not field.description and not (isinstance(field.annotation, type) and issubclass(field.annotation, Section))
    ]
    assert undescribed == []
    assert kind.__doc__


@pytest.mark.parametrize("kind", sections(), ids=lambda kind: kind.__name__)
def test_sections_are_frozen_and_closed(kind: type[Section]) -> None:
    section = build(kind)
    name = next(iter(kind.model_fields))
    with pytest.raises(ValidationError):
        setattr(section, name, getattr(section, name))
    with pytest.raises(ValidationError):
        kind(**WITHOUT_DEFAULTS.get(kind, {}), no_such_parameter=1)


def test_defaults_are_the_papers() -> None:
    train, cf = TrainConfig(), TrainCfConfig()
    assert (train.preset, train.learning_rate, train.batch_size, train.shared_width, train.adaptor_hidden) == (
        "paper", 1e-3, 32, 512, 512,
    )  # fmt: skip
    assert train.features == ("image", "cf", "text")
    assert train.alignment_weight == 1.0
    assert (cf.width, cf.blocks, cf.heads, cf.max_length, cf.dropout) == (50, 2, 1, 50, 0.2)
    assert SplitConfig().negatives == 100
    prepare = build(PrepareConfig)
    assert (prepare.user_core, prepare.item_core) == (5, 5)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TrainConfig, {"learning_rate": 0.0}),
        (TrainConfig, {"learning_rate": -1.0}),
        (TrainConfig, {"alignment_weight": -0.1}),
        (TrainConfig, {"epochs": "3"}),
        (TrainConfig, {"features": ()}),
        (EvaluateConfig, {"confidence": 1.0}),
        (EvaluateConfig, {"cutoffs": (0,)}),
        (ValidateConfig, {"max_html_share": 1.1}),
        (TrainCfConfig, {"dropout": -0.1}),
    ],
)
def test_values_out_of_range_are_refused(kind: type[Section], values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        kind(**values)
