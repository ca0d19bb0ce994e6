"""The table of metrics: what is asked is found or refused by name, and what is damaged is not read."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from illmrec.data.histories import pack_rows
from illmrec.errors import DataError, ModelError
from illmrec.evaluation.headline import summarise_evaluation
from illmrec.evaluation.metrics import HIT_10, MRR, NDCG_10, Metric
from illmrec.evaluation.protocol import Cases, Ranked
from illmrec.evaluation.summary import Difference, Estimate, Resampling, compare_models, estimate_means
from illmrec.evaluation.table import (
    CASES,
    INTACT,
    LISTS,
    SCHEMA,
    Measurement,
    MetricsTable,
    measure_difference,
    measure_mean,
    measure_single,
    read_metrics,
    write_metrics,
)
from illmrec.evaluation.tables import average_metrics, summarise_ranks, summarise_variants

HOW = Resampling(samples=50, confidence=0.9, permutations=100, seed=0)
GAP = Difference(Estimate(-0.1, -0.2, 0.1), 0.25, 0.5)
ROWS = [
    measure_mean(NDCG_10, Estimate(0.3, 0.2, 0.4), model="a"),
    measure_mean(NDCG_10, Estimate(0.4, 0.3, 0.5), model="b"),
    measure_mean(NDCG_10, Estimate(0.5, 0.4, 0.6), model="a", protocol="sampled"),
    measure_mean(MRR, Estimate(0.1, 0.05, 0.2), model="a"),
    measure_difference(NDCG_10, GAP, model="a", against="b"),
    measure_mean(NDCG_10, Estimate(0.2, 0.1, 0.3), model="a", variant="noise", place="prompt"),
    measure_mean(NDCG_10, Estimate(0.25, 0.1, 0.3), model="a", variant=INTACT),
    measure_difference(NDCG_10, GAP, model="a", variant="noise", place="prompt", against=INTACT),
    measure_single(Metric("coverage", 10), 0.75, model="a", protocol=LISTS),
    measure_single(Metric("users"), 7, protocol=CASES),
    measure_single(Metric("repeat_share"), 0.5, protocol=CASES),
]
TABLE = MetricsTable(ROWS, path=Path("metrics.parquet"), hint="Run it again.")


def test_a_row_is_the_columns_of_the_table() -> None:
    assert [field.name for field in fields(Measurement)] == list(SCHEMA)


def test_what_is_not_named_is_null() -> None:
    assert TABLE.value(NDCG_10, model="a") == 0.3
    assert TABLE.value(NDCG_10, model="a", protocol="sampled") == 0.5
    assert TABLE.value(NDCG_10, model="a", variant="noise", place="prompt") == 0.2
    assert TABLE.interval(NDCG_10, model="b") == Estimate(0.4, 0.3, 0.5)
    assert TABLE.compare(NDCG_10, model="a", against="b") == GAP
    assert TABLE.count("users") == 7
    assert TABLE.find(HIT_10, model="a") is None
    assert TABLE.find(NDCG_10) is None
    assert TABLE.find(NDCG_10, model="a", variant="noise") is None


def test_rows_are_chosen_by_what_is_named_alone() -> None:
    assert TABLE.select() == ROWS
    assert [row.value for row in TABLE.select(NDCG_10, against=None)] == [0.3, 0.4, 0.5, 0.2, 0.25]
    assert [row.value for row in TABLE.select(model="a", variant=None, against=None, protocol="full")] == [0.3, 0.1]
    assert [row.metric for row in TABLE.select(model=None)] == ["users", "repeat_share"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: TABLE.value(HIT_10, model="a"), "there is no a, full, hit@10"),
        (
            lambda: TABLE.interval(NDCG_10, model="a", variant="noise", place="both", against=INTACT),
            "there is no a with noise in both minus intact, full, ndcg@10",
        ),
        (lambda: TABLE.interval(Metric("coverage", 10), model="a", protocol=LISTS), "coverage@10 has no interval"),
        (lambda: TABLE.compare(NDCG_10, model="a"), "a, full, ndcg@10 has no p-value"),
        (lambda: TABLE.count("targets"), "there is no cases, targets"),
        (lambda: TABLE.count("repeat_share"), "cases, repeat_share is 0.5, expected a whole number"),
    ],
)
def test_what_is_not_there_is_refused_by_name(ask: object, message: str) -> None:
    assert callable(ask)
    with pytest.raises(DataError) as caught:
        ask()
    assert message in str(caught.value)
    assert str(caught.value).startswith("metrics.parquet: ")
    assert caught.value.hint == "Run it again."


@pytest.mark.parametrize("name", ["value", "low", "high", "p", "p_holm"])
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_number_that_is_none_makes_no_table(name: str, broken: float) -> None:
    with pytest.raises(DataError, match=r"a minus b, full, ndcg@10 is (nan|inf), expected a number"):
        MetricsTable([replace(ROWS[4], **{name: broken})])


def test_two_rows_of_the_same_make_no_table() -> None:
    with pytest.raises(DataError, match="two rows of a, full, ndcg@10"):
        MetricsTable([ROWS[0], replace(ROWS[0], value=0.31)])


def test_a_table_is_read_as_it_was_written_bit_for_bit(tmp_path: Path) -> None:
    third = replace(ROWS[1], value=1 / 3, low=np.nextafter(1 / 3, 0), high=np.nextafter(1 / 3, 1))
    for name in ("one", "two"):
        write_metrics(tmp_path / name, MetricsTable([third, *ROWS[2:]]))
    assert read_metrics(tmp_path / "one").rows == (third, *ROWS[2:])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert dict(pl.read_parquet_schema(tmp_path / "one")) == SCHEMA


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: frame.drop("place"), "has the columns"),
        (lambda frame: frame.with_columns(pl.col("cutoff").cast(pl.Int64)), "has the columns"),
        (lambda frame: frame.with_columns(value=pl.lit(None, pl.Float64)), "has rows without value"),
        (lambda frame: frame.with_columns(metric=pl.lit(None, pl.String)), "has rows without metric"),
        (lambda frame: frame.with_columns(value=pl.lit(float("nan"))), "expected a number"),
        (lambda frame: pl.concat([frame, frame]), "two rows"),
    ],
)
def test_a_damaged_table_is_not_read(tmp_path: Path, damage: object, message: str) -> None:
    assert callable(damage)
    path = tmp_path / "metrics.parquet"
    damage(TABLE.to_frame()).write_parquet(path)
    with pytest.raises(ModelError, match=message) as caught:
        read_metrics(path, "Run it again.", ModelError)
    assert (caught.value.path, caught.value.hint) == (path, "Run it again.")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not Parquet"])
def test_what_is_no_parquet_is_not_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not readable as Parquet"):
        read_metrics(path)


CASES_OF_FOUR = Cases(np.arange(4), pack_rows([[], [], [], []]), pack_rows([[0], [1], [2], [3]]))
RANKS = {"a": np.array([1.0, 2.0, 30.0, 4.0]), "b": np.array([5.0, 6.0, 7.0, 80.0])}


def test_every_model_pair_and_protocol_has_its_rows() -> None:
    tied, lists = np.array([True, False, False, False]), np.zeros((4, 0), dtype=np.int32)
    ranked = {name: Ranked({"full": ranks, "sampled": ranks / 2}, tied, lists) for name, ranks in RANKS.items()}
    users = np.ones(4, dtype=np.bool_)
    named = {"full": users, "sampled": users & (np.arange(4) < 2)}
    table = MetricsTable(summarise_ranks(ranked, CASES_OF_FOUR, named, (5, 10), HOW))
    assert len(table) == 2 * 3 * 7 + 2
    assert table.value(HIT_10, model="a") == 3 / 4
    assert table.value(MRR, model="b", protocol="sampled") == np.mean([2 / 5, 2 / 6])
    assert table.value(Metric("tied_share"), model="a") == 1 / 4
    values = {name: average_metrics(ranks, CASES_OF_FOUR, (5, 10)) for name, ranks in RANKS.items()}
    for (model, metric), estimate in estimate_means(values, HOW).items():
        assert table.interval(metric, model=model) == estimate
    for (first, second, metric), difference in compare_models(values, [("a", "b")], HOW).items():
        assert table.compare(metric, model=first, against=second) == difference


def test_variants_are_compared_with_the_intact_model() -> None:
    table = MetricsTable(summarise_variants("m", RANKS["a"], {("noise", "both"): RANKS["b"]}, CASES_OF_FOUR, HOW))
    assert len(table) == 9
    gap = table.compare(MRR, model="m", variant="noise", place="both", against=INTACT).estimate
    assert gap.value == pytest.approx(np.mean(1 / RANKS["b"] - 1 / RANKS["a"]))
    assert table.value(MRR, model="m", variant=INTACT) == np.mean(1 / RANKS["a"])


@pytest.mark.parametrize(("cutoffs", "k"), [((5, 10, 20), 10), ((5, 20), 20), ((3,), 3)])
def test_the_summary_is_of_ten_or_of_the_largest_cutoff(cutoffs: tuple[int, ...], k: int) -> None:
    rows = [measure_single(Metric("targets_without_image_share"), 0.123456, protocol=CASES)]
    for cutoff in cutoffs:
        ndcg = Metric("ndcg", cutoff)
        rows += [measure_single(Metric("coverage", cutoff), 0.01 * cutoff, model="a", protocol=LISTS)]
        rows += [measure_difference(ndcg, GAP, model="a", against="b")]
        rows += [measure_mean(ndcg, Estimate(0.001 * cutoff, 0, 1), model=model) for model in ("a", "b", "c")]
        rows += [measure_mean(Metric("hit", cutoff), Estimate(0.5, 0, 1), model=model) for model in ("a", "b", "c")]
    means = dict.fromkeys((f"ndcg{k}", "rival_ndcg", "pop_ndcg"), 0.001 * k)
    means |= dict.fromkeys((f"hit{k}", "rival_hit", "pop_hit"), 0.5)
    gap = {"gap": -0.1, "gap_low": -0.2, "gap_high": 0.1}
    expected = means | gap | {"coverage": pytest.approx(0.01 * k), "no_picture": 0.1235}
    assert summarise_evaluation(MetricsTable(rows), "a", "b", "c") == expected
