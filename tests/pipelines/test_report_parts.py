"""The report's parts: funnel, chosen users, verdict, axes, charts."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from illmrec.errors import DataError
from illmrec.evaluation.metrics import NDCG_10
from illmrec.evaluation.summary import Estimate
from pipelines.assembly.pictures import Picture
from pipelines.report.charts import (
    Line,
    draw_funnel_bar,
    draw_gaps,
    draw_lines,
    draw_shares,
    measure_reach,
    thin_points,
)
from pipelines.report.figures import signed
from pipelines.report.funnel import build_funnel
from pipelines.report.gallery import choose_users, shorten
from pipelines.report.gather import Curves
from pipelines.report.knockouts import KnockoutRow
from pipelines.report.reading import Facts
from pipelines.report.render import draw_curves
from pipelines.report.results import MetricRow, judge_rows
from pipelines.report.svg import Axis, element, linear_ticks, log_ticks, make_axis
from pipelines.report.thumbnails import make_thumbnails

COUNTS = {
    "users_with_interactions": 12,
    "users": 10,
    "items_with_interactions": 9,
    "items": 8,
    "items_without_row": 1,
    "items_without_image": 2,
    "empty_titles": 3,
    "empty_descriptions": 4,
}
SUMMARY = COUNTS | {
    "raw_interaction_rows": 100,
    "duplicate_interactions_dropped": 4,
    "repeated_interactions_dropped": 5,
    "interactions_before_core": 88,
    "interactions_below_core": 8,
    "interactions": 80,
}
SPLIT = {"users": 10, "train_interactions": 57, "test_targets": 10, "negatives_per_user": 7}


def facts(values: dict[str, float]) -> Facts:
    return Facts(Path("summary.json"), values, "illmrec prepare")


def test_every_raw_row_is_accounted_for() -> None:
    steps = build_funnel(facts(SUMMARY), facts(SPLIT)).steps
    rows = {step.label: step.rows for step in steps}
    assert rows["Malformed"] == 3
    assert rows["Put aside"] == 3
    raw, *others = steps
    assert raw.rows == sum(step.rows for step in others if step.kind in {"dropped", "part"})


def test_a_split_by_time_has_as_many_targets_as_it_says() -> None:
    split = SPLIT | {"method": "global_time", "cutoff": "2014-07-01 00:00:00 UTC", "test_targets": 4}
    steps = build_funnel(facts(SUMMARY), facts(split)).steps
    assert [(step.label, step.rows) for step in steps[-4:]] == [
        ("Put aside", 9), ("Training", 57), ("Validation targets", 10), ("Test targets", 4),
    ]  # fmt: skip
    assert "2014-07-01" in steps[-3].why


@pytest.mark.parametrize(
    ("summary", "split"),
    [
        (SUMMARY | {"interactions_before_core": 99, "interactions": 91}, SPLIT),
        (SUMMARY | {"interactions": 70}, SPLIT),
        (SUMMARY, SPLIT | {"train_interactions": 61}),
        (SUMMARY | {"interactions": True}, SPLIT),
        ({key: value for key, value in SUMMARY.items() if key != "users"}, SPLIT),
    ],
)
def test_counts_that_do_not_add_up_are_refused(summary: dict[str, float], split: dict[str, float]) -> None:
    with pytest.raises(DataError):
        build_funnel(facts(summary), facts(split))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "1"])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="expected a number"):
        facts({"share": value}).number("share")


def test_the_first_picture_of_an_item_stands_for_it(tmp_path: Path) -> None:
    colours = {"a": (200, 0, 0), "b": (0, 0, 200), "c": (0, 200, 0)}
    for name, colour in colours.items():
        Image.new("RGB", (20, 10), colour).save(tmp_path / f"{name}.jpg", comment="hidden")
    pictures = [Picture(tmp_path / f"{name}.jpg", "", item, 1000) for name, item in (("a", 4), ("b", 4), ("c", 5))]
    thumbnails = make_thumbnails(pictures, {4, 9}, 10)
    assert set(thumbnails) == {4}
    content = base64.b64decode((thumbnails[4] or "").removeprefix("data:image/jpeg;base64,"))
    assert b"hidden" not in content
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (10, 5)
        assert image.getpixel((5, 2)) == pytest.approx(colours["a"], abs=8)


@pytest.mark.parametrize(
    ("hits", "misses", "count", "expected"),
    [
        (50, 50, 12, (6, 6)),
        (2, 98, 12, (2, 10)),
        (98, 2, 12, (10, 2)),
        (3, 0, 12, (3, 0)),
        (0, 3, 2, (0, 2)),
        (9, 9, 1, (1, 0)),
    ],
)
def test_chosen_users_are_hits_and_misses(hits: int, misses: int, count: int, expected: tuple[int, int]) -> None:
    ranks = np.array([10.0] * hits + [10.5] * misses)
    chosen = choose_users(len(ranks), ranks, count, "shop")
    assert (int((ranks[chosen] <= 10).sum()), int((ranks[chosen] > 10).sum())) == expected
    assert len(set(chosen.tolist())) == len(chosen)


def test_the_choice_depends_on_its_name_alone() -> None:
    first, again, other = (choose_users(1000, None, 10, name).tolist() for name in ("a", "a", "b"))
    assert first == again
    assert first != other


def make_row(low: float, high: float, popularity: float = 0.1) -> MetricRow:
    models = {
        name: Estimate(value, 0, 1) for name, value in (("illmrec", 0.2), ("sasrec", 0.3), ("popularity", popularity))
    }
    return MetricRow(NDCG_10, models, Estimate((low + high) / 2, low, high))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-0.2, -0.1, "worse"), (-0.1, 0.1, "cannot be told apart"), (0.0, 0.2, "cannot"), (0.1, 0.2, "better")],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, word: str) -> None:
    assert word in judge_rows((make_row(low, high),), 0.95)[0]


def test_popularity_ahead_is_said() -> None:
    assert len(judge_rows((make_row(-0.2, -0.1),), 0.95)) == 2
    assert "most popular" in judge_rows((make_row(-0.2, -0.1, popularity=0.2),), 0.95)[-1]


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        (-0.0098, 0.0045, ["\N{MINUS SIGN}0.010", "\N{MINUS SIGN}0.005", "0.000", "+0.005"]),
        (-0.19, 0.02, ["\N{MINUS SIGN}0.2", "\N{MINUS SIGN}0.1", "0.0"]),
        (-1.9, 3.1, ["\N{MINUS SIGN}2", "0", "+2"]),
    ],
)
def test_no_two_ticks_of_differences_are_written_alike(low: float, high: float, written: list[str]) -> None:
    row = KnockoutRow("prompt", "shuffled", Estimate(0.1, 0.0, 0.2), Estimate((low + high) / 2, low, high), 1.0)
    picture = draw_gaps([row], "differences")
    texts = re.findall(r">([^<>]+)</text>", picture)
    assert texts[: len(written)] == written


def test_no_model_is_best_where_all_are_the_same() -> None:
    same = {name: Estimate(0.0, 0.0, 0.0) for name in ("illmrec", "sasrec", "popularity")}
    assert MetricRow(NDCG_10, same, Estimate(0.0, 0.0, 0.0)).best == set()


def test_all_models_that_tie_are_best() -> None:
    assert make_row(0, 1, popularity=0.3).best == {"sasrec", "popularity"}


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "+0.1235"), (-0.5, "\N{MINUS SIGN}0.5000"), (0.0, "0.0000"), (-0.00001, "0.0000")]
)
def test_signed_numbers(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\n\tb\x00c\x1b", "a b c"), ("x" * 30, "x" * 9 + "…"), ("x" * 10, "x" * 10), (" " * 99 + "x", "…")],
)
def test_catalog_text_is_short_and_on_one_line(text: str, shown: str) -> None:
    assert shorten(text, 10) == shown


def test_elements_escape_text_and_attributes() -> None:
    drawn = element("text", '<b>&"', aria_label='"><script>', class_="a", x=1.5)
    assert drawn == '<text aria-label="&#34;&gt;&lt;script&gt;" class="a" x="1.5">&lt;b&gt;&amp;&#34;</text>'
    assert element("g", Markup("<rect></rect>")) == "<g><rect></rect></g>"


def test_ticks_are_round_and_within() -> None:
    assert linear_ticks(0, 114, 5) == [0, 50, 100]
    assert linear_ticks(-0.1, 0.3, 4) == [-0.1, 0, 0.1, 0.2, 0.3]
    assert log_ticks(4, 250) == [5, 10, 20, 50, 100, 200]
    assert log_ticks(1e-6, 1e3) == [10.0**power for power in range(-6, 4)]


def test_axes_place_values() -> None:
    axis = make_axis([3.0, 9.5], 0, 100, zero=True)
    assert (axis.low, axis.high, axis.place(5)) == (0, 10, 50)
    assert Axis(1, 100, 0, 10, log=True).place(10) == pytest.approx(5)
    assert make_axis([2.0, 2.0], 0, 1).low < 2 < make_axis([2.0, 2.0], 0, 1).high
    assert not make_axis([0.0, 5.0], 0, 1, log=True).log


def test_long_curves_are_averaged() -> None:
    points = [(float(x), float(x % 2)) for x in range(10_000)]
    thinned = thin_points(points, 100)
    assert len(thinned) == 100
    assert {y for _, y in thinned} == {0.5}
    assert thin_points(points[:7], 7) == tuple(points[:7])


def test_lines_pass_through_their_points() -> None:
    drawn = draw_lines([Line("<a>", "total", ((0.0, 0.0), (100.0, 10.0)))], "x", "step", mark=50.0)
    assert 'points="48.0,192.0 368.0,28.0"' in drawn
    assert "&lt;a&gt;" in drawn
    assert 'x1="208" x2="208"' in drawn


def test_shares_of_both_signs_stack_away_from_zero() -> None:
    shares = {"image": 3.0, "cf": -1.0, "text": 1.0}
    assert measure_reach([shares, {"image": -2.0}]) == (-2.0, 4.0)
    bars = re.findall(
        r'<rect x="([\d.]+)" y="2" width="([\d.]+)" height="8" class="fill (\w+)">', draw_shares(shares, (-2.0, 4.0))
    )
    unit = 98 / 6
    zero = 1 + 2 * unit
    placed = {name: (float(x), float(width)) for x, width, name in bars}
    assert placed["image"] == pytest.approx((zero, 3 * unit), abs=1e-3)
    assert placed["cf"] == pytest.approx((zero - unit, unit), abs=1e-3)
    assert placed["text"] == pytest.approx((zero + 3 * unit, unit), abs=1e-3)


def test_bars_show_small_counts_and_no_empty_ones() -> None:
    assert 'width="50"' in draw_funnel_bar(5, 10, "kept")
    assert 'width="0.6"' in draw_funnel_bar(1, 1_000_000, "dropped")
    assert 'width="0"' in draw_funnel_bar(0, 10, "dropped")
    assert 'width="0"' in draw_funnel_bar(0, 0, "dropped")


@pytest.mark.parametrize(("highest", "logarithmic"), [(29.0, False), (60.0, True)])
def test_an_axis_is_logarithmic_where_values_are_far_apart(highest: float, logarithmic: bool) -> None:
    points = tuple((float(step), highest / step) for step in (1, 5, 29))
    points += ((30.0, 1.0),)
    charts = dict(draw_curves(Curves({"loss": points, "retrieval": points, "validation": points}, None)))
    assert list(charts) == [
        "Total loss (logarithmic)" if logarithmic else "Total loss",
        "Retrieval loss of summed scores",
        "Validation NDCG@10, full catalog",
    ]


def test_zeros_and_negative_values_need_a_plain_axis() -> None:
    charts = draw_curves(Curves({"loss": ((1.0, 500.0), (2.0, 0.0), (3.0, -1.0))}, None))
    assert [caption for caption, _ in charts] == ["Total loss"]
