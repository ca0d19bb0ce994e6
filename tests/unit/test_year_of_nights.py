"""What the benchmark claims of its month is held against what happened: each broken claim is found, alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.year_of_nights import BACK, BROKEN_FEED, SHUFFLED, Day, list_broken_claims

RETRAINED = (8, 18)


def make_month() -> list[Day]:
    """A month in which everything planned happened."""
    lived, champion, published = [], 1, ""
    for number in range(31):
        day = Day(number, growth=10, night=0)
        if number in RETRAINED:
            champion += 1
            day.growth, day.retrained = 11, "promoted"
        if number == BROKEN_FEED:
            day.growth, day.night = 3, None
        if number == SHUFFLED:
            day.shuffled = "refused"
        if number == BACK:
            champion -= 1
            day.rolled_back = str(champion)
        published = published if day.night is None else day.date
        day.champion, day.readers_see = str(champion), published
        lived.append(day)
    return lived


def test_a_month_as_planned_breaks_nothing() -> None:
    assert list_broken_claims(make_month()) == []


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (4, {"night": 4}, "no night"),
        (4, {"readers_see": "2026-01-04"}, "no night"),
        (BROKEN_FEED, {"growth": 10}, "broken feed"),
        (BROKEN_FEED, {"readers_see": ""}, "broken feed"),
        (SHUFFLED, {"shuffled": "promoted"}, "shuffled"),
        (SHUFFLED, {"shuffled": "code 2"}, "shuffled"),
        (BACK, {"rolled_back": ""}, "rollback"),
        (BACK, {"rolled_back": "7"}, "rollback"),
        (RETRAINED[0], {"retrained": "refused"}, "retrainings"),
        (RETRAINED[0], {"retrained": "refused"}, "champion changed"),
    ],
)
def test_each_broken_claim_is_found(number: int, change: dict[str, Any], said: str) -> None:
    lived = make_month()
    lived[number] = dataclasses.replace(lived[number], **change)
    broken = list_broken_claims(lived)
    assert any(said in claim for claim in broken), broken


def test_a_month_of_retrainings_alone_is_not_what_is_claimed() -> None:
    lived = [dataclasses.replace(day, growth=11 if day.growth == 10 else day.growth) for day in make_month()]
    assert list_broken_claims(lived) == ["there was no day that needed the next night only"]


def test_a_rollback_that_left_the_champion_is_found() -> None:
    lived = make_month()
    for number in range(BACK, 31):
        lived[number].champion = lived[BACK - 1].champion
    assert any("rollback" in claim for claim in list_broken_claims(lived))
