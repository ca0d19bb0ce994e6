"""What growth asks for: nothing, the next night as it is, or a retraining."""

from __future__ import annotations

import dataclasses

import pytest

from pipelines.growth.judging import EXIT_CODES, DataState, judge_growth
from pipelines.parameters.data import GrowthConfig

THEN = DataState(
    items=frozenset(f"i{number}" for number in range(100)),
    users=frozenset(f"u{number}" for number in range(50)),
    interactions=1000,
    missing_images=0.1,
    last=1_700_000_000,
)


def ids(letter: str, count: int) -> frozenset[str]:
    return frozenset(f"{letter}{number}" for number in range(count))


def test_the_same_data_ask_for_nothing() -> None:
    growth = judge_growth(THEN, THEN, [], GrowthConfig())
    assert (growth.answer, EXIT_CODES[growth.answer]) == ("nothing", 6)


@pytest.mark.parametrize(
    "change",
    [
        {"items": ids("i", 105)},
        {"items": ids("i", 95)},
        {"interactions": 1010},
        {"last": THEN.last + 1},
        {"missing_images": 0.12, "items": ids("i", 101)},
    ],
)
def test_small_changes_are_taken_up_by_the_next_night(change: dict[str, object]) -> None:
    growth = judge_growth(THEN, dataclasses.replace(THEN, **change), [], GrowthConfig())  # type: ignore[arg-type]
    assert (growth.answer, EXIT_CODES[growth.answer]) == ("index", 10)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"items": ids("i", 112)}, "new items 10.7%, above 10.0%"),
        ({"users": ids("u", 63)}, "new users 20.6%, above 20.0%"),
        ({"interactions": 1201}, "new interactions 20.1%, above 20.0%"),
        ({"missing_images": 0.21}, "items that lost their picture 11.0%, above 10.0%"),
    ],
)
def test_each_bound_asks_for_a_retraining_alone(change: dict[str, object], reason: str) -> None:
    growth = judge_growth(THEN, dataclasses.replace(THEN, **change), [], GrowthConfig())  # type: ignore[arg-type]
    assert (growth.answer, EXIT_CODES[growth.answer]) == ("retrain", 11)
    assert growth.reasons == (reason,)


def test_drift_asks_for_a_retraining_without_any_growth() -> None:
    growth = judge_growth(THEN, THEN, ["category (distance 0.400)"], GrowthConfig())
    assert growth.answer == "retrain"
    assert "category" in growth.reasons[0]


def test_bounds_are_parameters() -> None:
    now = dataclasses.replace(THEN, items=ids("i", 112))
    assert judge_growth(THEN, now, [], GrowthConfig(max_new_items=0.2)).answer == "index"
