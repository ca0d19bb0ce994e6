from __future__ import annotations

from fractions import Fraction
from math import log2

import numpy as np
import pytest

from illmrec.evaluation.metrics import MRR, Metric, average_by_user, compute_metrics, hit_rate, ndcg, reciprocal_rank

RANKS = np.array([1.0, 2.0, 3.0, 5.0, 5.5, 6.0, 100.0])


def test_hit_rate_is_one_up_to_the_cutoff() -> None:
    assert hit_rate(RANKS, 5).tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert hit_rate(RANKS, 1).tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert hit_rate(RANKS, 100).mean() == 1.0


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    # log2 of 2, 4, 8 and 16 are 1, 2, 3 and 4.
    ranks = np.array([1.0, 3.0, 7.0, 15.0])
    assert ndcg(ranks, 20).tolist() == [float(Fraction(1, n)) for n in (1, 2, 3, 4)]
    assert ndcg(ranks, 7).tolist() == [1.0, 0.5, float(Fraction(1, 3)), 0.0]
    assert ndcg(np.array([1.5]), 5)[0] == pytest.approx(1 / log2(2.5), abs=1e-15)


def test_reciprocal_rank_has_no_cutoff() -> None:
    assert reciprocal_rank(RANKS).tolist() == [1, 1 / 2, 1 / 3, 1 / 5, 2 / 11, 1 / 6, 1 / 100]


def test_reciprocal_rank_with_a_cutoff_forgets_what_is_below() -> None:
    assert reciprocal_rank(RANKS, 5).tolist() == [1, 1 / 2, 1 / 3, 1 / 5, 0, 0, 0]


def test_users_with_several_targets_count_as_one() -> None:
    values = np.array([1.0, 0.0, 0.0, 0.5])
    found = average_by_user(values, np.array([0, 0, 0, 1]), 2)
    assert found.tolist() == [float(Fraction(1, 3)), 0.5]


def test_a_hand_made_table_of_means() -> None:
    metrics = compute_metrics(np.array([1.0, 3.0, 8.0, 7.0]), (5, 10))
    means = {str(name): values.mean() for name, values in metrics.items()}
    assert set(means) == {"hit@5", "hit@10", "ndcg@5", "ndcg@10", "mrr@5", "mrr@10", "mrr"}
    assert means["mrr@5"] == pytest.approx(float((1 + Fraction(1, 3)) / 4), abs=1e-15)
    assert means["hit@5"] == 2 / 4
    assert means["hit@10"] == 1.0
    assert means["ndcg@5"] == float(Fraction(3, 2) / 4)
    assert means["ndcg@10"] == pytest.approx((1 + 1 / 2 + 1 / log2(9) + 1 / 3) / 4, abs=1e-15)
    assert means["mrr"] == pytest.approx(float((1 + Fraction(1, 3) + Fraction(1, 8) + Fraction(1, 7)) / 4), abs=1e-15)


@pytest.mark.parametrize(
    ("text", "metric"), [("ndcg@10", Metric("ndcg", 10)), ("mrr", MRR), ("hit@1", Metric("hit", 1))]
)
def test_a_metric_is_read_as_it_is_written(text: str, metric: Metric) -> None:
    assert Metric.parse(text) == metric
    assert str(metric) == text
