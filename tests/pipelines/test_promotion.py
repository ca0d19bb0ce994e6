"""Who may become champion: tests of non-inferiority on ranks of known quality, bounds, and figures that are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.parameters.operation import PromoteConfig
from pipelines.registry.ranks import POPULARITY_RANK, SCHEMA, read_ranks
from pipelines.registry.verdicts import (
    Comparison,
    Figures,
    average_by_key,
    judge,
    judge_cold_items,
    judge_figures,
    judge_popularity,
    judge_quality,
    list_reasons,
    pair_users,
    read_figures,
    share_of_pairs,
)

ITEMS = 1000
QUICK = {"bootstrap_samples": 400}
FULL = Figures(coverage=0.5, latency_ms=10.0, memory_mb=100.0, fallback_share=0.1, machine="one")


def make_ranks(
    ranks: np.ndarray, *, unseen: np.ndarray | None = None, first: int = 0, popular: np.ndarray | None = None
) -> pl.DataFrame:
    """Ranks of a version; popularity has every target near the end, unless other ranks are given."""
    n = len(ranks)
    return pl.DataFrame(
        {
            "user_key": [f"u{first + user:05d}" for user in range(n)],
            "item_id": [f"i{user % 50}" for user in range(n)],
            "rank": ranks.astype(float),
            "unseen": np.zeros(n, dtype=bool) if unseen is None else unseen,
            "popularity_rank": np.full(n, float(ITEMS)) if popular is None else popular.astype(float),
        },
        schema=SCHEMA,
    )


def draw_ranks(rng: np.random.Generator, users: int, skill: float) -> np.ndarray:
    """A share of the users is served well, the others as if nothing were known of them."""
    good = np.ceil(rng.exponential(6.0, users)).clip(1, ITEMS)
    blind = rng.integers(1, ITEMS + 1, users)
    return np.where(rng.random(users) < skill, good, blind)


def refused(config: PromoteConfig, challenger: pl.DataFrame, champion: pl.DataFrame) -> bool:
    found = Comparison(challenger, champion, "paired")
    return bool(list_reasons(judge(config, FULL, FULL, challenger, lambda: found), config.required))


def test_a_model_trained_on_shuffled_labels_is_refused_for_every_seed() -> None:
    # Labels shuffled between users leave popularity and nothing else: some users are served well by chance.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        champion = make_ranks(draw_ranks(rng, 400, 0.30))
        shuffled = make_ranks(draw_ranks(rng, 400, 0.10))
        assert refused(PromoteConfig(**QUICK), shuffled, champion), seed


class Contest:
    """A catalog of 200 items and users with a taste each, who take what is popular and what they like."""

    def __init__(self, seed: int, users: int = 400, items: int = 200) -> None:
        self.rng = np.random.default_rng(seed)
        self.popularity = np.log((1.0 + self.rng.permutation(items)) ** -0.8)
        self.taste = 3.0 * (self.rng.random((users, items)) < 0.05)
        wish = self.popularity + self.taste + self.rng.gumbel(size=self.taste.shape)
        self.targets = wish.argmax(axis=1)

    def rank(self, scores: np.ndarray) -> np.ndarray:
        return 1 + (scores > scores[np.arange(len(scores)), self.targets][:, None]).sum(axis=1)

    def make_version(self, taste_known: float) -> pl.DataFrame:
        """A model that knows popularity, so much of the taste, and errs by itself."""
        noise = self.rng.normal(0.0, 0.3, self.taste.shape)
        popular = self.rank(np.broadcast_to(self.popularity, self.taste.shape))
        return make_ranks(self.rank(self.popularity + taste_known * self.taste + noise), popular=popular)


def test_a_model_of_shuffled_labels_is_refused_for_every_seed_though_the_champion_knows_hardly_more() -> None:
    # What learns from shuffled labels learns popularity. Against a champion that is little else it loses nothing worth
    # the margin, so the comparison of the two alone lets it through: that is the control.
    config, let_through = PromoteConfig(margin=0.2, **QUICK), 0
    for seed in range(20):
        contest = Contest(seed)
        champion, shuffled = contest.make_version(0.02), contest.make_version(0.0)
        let_through += judge_quality(Comparison(shuffled, champion, "paired"), config).outcome == "holds"
        assert judge_popularity(shuffled, config).outcome == "fails", seed
        assert refused(config, shuffled, champion), seed
    assert let_through >= 10


def test_an_honest_challenger_is_above_popularity_for_every_seed() -> None:
    for seed in range(20):
        contest = Contest(seed)
        champion, challenger = contest.make_version(0.5), contest.make_version(0.5)
        assert judge_popularity(challenger, PromoteConfig(**QUICK)).outcome == "holds", seed
        assert not refused(PromoteConfig(**QUICK), champion, champion), seed


def test_popularity_itself_never_passes_and_its_equal_passes_at_the_stated_rate() -> None:
    config = PromoteConfig(confidence=0.9, bootstrap_samples=200)
    popular = np.arange(1, 301) % 20 + 1
    assert judge_popularity(make_ranks(popular, popular=popular), config).outcome == "fails"
    rng, rounds, passed = np.random.default_rng(0), 400, 0
    for _ in range(rounds):  # both ranks of a user are drawn alike, so neither is the better
        ranks, other = rng.integers(1, 31, (2, 200))
        passed += judge_popularity(make_ranks(ranks, popular=other), config).outcome == "holds"
    assert abs(passed / rounds - 0.1) < 3.3 * np.sqrt(0.1 * 0.9 / rounds)


def test_the_margin_above_popularity_may_be_a_share_or_a_difference() -> None:
    ranks = make_ranks(np.full(300, 2), popular=np.full(300, 3))  # 1/2 against 1/3
    for kind, inside, outside in (("relative", 0.4, 0.6), ("absolute", 0.1, 0.2)):
        for margin, outcome in ((inside, "holds"), (outside, "fails")):
            config = PromoteConfig(metric="full/mrr", margin_kind=kind, popularity_margin=margin, **QUICK)
            assert judge_popularity(ranks, config).outcome == outcome, (kind, margin)


def test_the_first_version_must_be_above_popularity_too() -> None:
    ranks = make_ranks(np.full(300, 4), popular=np.full(300, 3))
    reasons = list_reasons(judge(PromoteConfig(), FULL, None, ranks, lambda: "no champion"), PromoteConfig().required)
    assert [reason.split(":")[0] for reason in reasons] == ["popularity"]
    assert "0.4307 against 0.5000 of popularity, difference -0.0693 [-0.0693, -0.0693] over 300 users" in reasons[0]


def test_popularity_is_not_checked_without_its_ranks_or_by_wish(tmp_path: Path) -> None:
    ranks = make_ranks(np.full(300, 2))
    ranks.drop(POPULARITY_RANK).write_parquet(tmp_path / "ranks.parquet")
    old = read_ranks(tmp_path / "ranks.parquet")  # of a release that did not keep them
    assert judge_popularity(old, PromoteConfig()).outcome == "not checked"
    assert judge_popularity(None, PromoteConfig()).outcome == "not checked"
    assert judge_quality(Comparison(ranks, old, "paired"), PromoteConfig(**QUICK)).outcome == "holds"
    verdict = judge_popularity(ranks, PromoteConfig(popularity_margin=None))
    assert verdict.describe() == "popularity: not checked; promote.popularity_margin is null"
    assert list_reasons([judge_popularity(old, PromoteConfig())], ("popularity",)) == [
        "popularity: required, but not checked; the version was registered without popularity's ranks"
    ]
    assert "popularity" in PromoteConfig().required
    assert "popularity" not in PromoteConfig(popularity_margin=None).required


def test_an_identical_model_passes_for_every_seed() -> None:
    for seed in range(20):
        ranks = make_ranks(draw_ranks(np.random.default_rng(seed), 400, 0.3))
        assert not refused(PromoteConfig(**QUICK), ranks, ranks), seed


def test_a_model_that_is_worse_by_exactly_the_margin_passes_at_the_stated_rate() -> None:
    # Each user's metric is multiplied by 1 - margin on average, with noise: the true loss is the margin itself.
    config = PromoteConfig(margin=0.1, confidence=0.9, bootstrap_samples=200)
    rounds, passed = 400, 0
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        theirs = rng.exponential(0.2, 200)
        ours = 0.9 * theirs + rng.normal(0.0, 0.1, 200)
        passed += _passes(ours, theirs, config)
    # 3.3 standard deviations of a binomial around the stated 10%
    assert abs(passed / rounds - 0.1) < 3.3 * np.sqrt(0.1 * 0.9 / rounds)


def test_an_equal_model_of_another_seed_mostly_passes_where_there_are_enough_users() -> None:
    config = PromoteConfig(margin=0.1, **QUICK)
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(40):
        taste = rng.exponential(0.2, 2000)
        ours, theirs = (taste + rng.normal(0.0, 0.1, 2000) for _ in range(2))
        passed += _passes(ours, theirs, config)
    assert passed >= 36


def _passes(ours: np.ndarray, theirs: np.ndarray, config: PromoteConfig) -> bool:
    from pipelines.registry.verdicts import bound_gap

    return bound_gap(ours, theirs, config, paired=True, margin=config.margin)[0] >= 0.0


def test_pairs_are_by_user_and_target_whatever_the_order() -> None:
    champion = make_ranks(np.array([1, 2, 40, 7]))
    challenger = make_ranks(np.array([1, 3, 4, 9]))[::-1]
    other_target = challenger.with_columns(
        item_id=pl.when(pl.col("user_key") == "u00000").then(pl.lit("else")).otherwise("item_id")
    )
    ours, theirs = pair_users(Comparison(other_target, champion, "paired"), "full/mrr")
    assert ours.tolist() == pytest.approx([1 / 3, 1 / 4, 1 / 9])
    assert theirs.tolist() == pytest.approx([1 / 2, 1 / 40, 1 / 7])
    assert share_of_pairs(other_target, champion) == 0.75


def test_a_user_with_several_targets_counts_once() -> None:
    ranks = make_ranks(np.array([1, 2, 1])).with_columns(user_key=pl.Series(["a", "a", "b"]))
    assert average_by_key(ranks, "full/mrr").tolist() == [0.75, 1.0]
    assert average_by_key(ranks, "full/hit@1").tolist() == [0.5, 1.0]


def test_the_margin_may_be_absolute() -> None:
    champion, challenger = make_ranks(np.full(300, 2)), make_ranks(np.full(300, 3))  # 1/2 against 1/3
    found = Comparison(challenger, champion, "paired")
    settings = {"metric": "full/mrr", "margin_kind": "absolute", **QUICK}
    assert judge_quality(found, PromoteConfig(margin=0.2, **settings)).outcome == "holds"
    assert judge_quality(found, PromoteConfig(margin=0.1, **settings)).outcome == "fails"
    relative = {"metric": "full/mrr", **QUICK}
    assert judge_quality(found, PromoteConfig(margin=0.2, **relative)).outcome == "fails"
    assert judge_quality(found, PromoteConfig(margin=0.4, **relative)).outcome == "holds"


def test_an_unpaired_comparison_says_so_and_can_be_forbidden() -> None:
    ranks = make_ranks(np.full(300, 2))
    found = Comparison(ranks, make_ranks(np.full(200, 2), first=900), "unpaired", "data moved on")
    verdict = judge_quality(found, PromoteConfig(**QUICK))
    assert verdict.outcome == "holds"
    assert verdict.found.startswith("unpaired (data moved on)")
    refusing = PromoteConfig(unpaired="refuse", **QUICK)
    verdicts = judge(refusing, FULL, FULL, ranks, lambda: found)
    assert verdicts[0].outcome == "not checked"
    assert list_reasons(verdicts, refusing.required)[0].startswith("quality: required, but not checked")


def test_an_unpaired_comparison_is_wider_than_a_paired_one() -> None:
    rng = np.random.default_rng(3)
    taste = draw_ranks(rng, 400, 0.3)
    ours, theirs = make_ranks(taste), make_ranks((taste + rng.integers(0, 2, 400)).clip(1, ITEMS))
    config = PromoteConfig(margin=0.1, metric="full/ndcg@10", **QUICK)
    worse = Comparison(theirs, ours, "paired")
    assert judge_quality(Comparison(ours, theirs, "paired"), config).outcome == "holds"
    assert judge_quality(Comparison(ours, theirs, "unpaired"), config).outcome == "fails"
    assert judge_quality(worse, PromoteConfig(margin=0.0, **QUICK)).outcome == "fails"


def test_cold_items_refuse_a_challenger_that_is_clearly_worse_on_them() -> None:
    cold = np.arange(400) < 100
    champion = make_ranks(np.full(400, 2), unseen=cold)
    worse = make_ranks(np.where(cold, 500, 1), unseen=cold)
    config = PromoteConfig(**QUICK)
    assert judge_quality(Comparison(worse, champion, "paired"), config).outcome == "holds"
    assert judge_cold_items(Comparison(worse, champion, "paired"), config).outcome == "fails"
    assert judge_cold_items(Comparison(champion, champion, "paired"), config).outcome == "holds"
    few = judge_cold_items(Comparison(worse, champion, "paired"), PromoteConfig(min_cold_targets=101, **QUICK))
    assert few.outcome == "not checked"
    assert "100 targets, of 101" in few.found


@pytest.mark.parametrize(
    ("check", "figures"),
    [
        ("coverage", {"coverage": 0.34}),
        ("latency", {"latency_ms": 20.1}),
        ("memory", {"memory_mb": 150.1}),
        ("fallback", {"fallback_share": 0.51}),
    ],
)
def test_each_figure_refuses_alone(check: str, figures: dict[str, float]) -> None:
    config = PromoteConfig()
    challenger = Figures(**{**vars(FULL), **figures})
    assert [v.check for v in judge_figures(challenger, FULL, config) if v.outcome == "fails"] == [check]
    assert not [v for v in judge_figures(FULL, FULL, config) if v.outcome != "holds"]


@pytest.mark.parametrize("check", ["coverage", "latency", "memory", "fallback"])
def test_a_missing_figure_is_named_and_refuses_where_required(check: str) -> None:
    lacking = {"coverage": "coverage", "latency": "latency_ms", "memory": "memory_mb", "fallback": "fallback_share"}
    challenger = Figures(**{**vars(FULL), lacking[check]: None})
    verdicts = judge_figures(challenger, FULL, PromoteConfig())
    assert [v.check for v in verdicts if v.outcome == "not checked"] == [check]
    reasons = list_reasons(verdicts, PromoteConfig().required)
    assert any(reason.startswith(f"{check}: required, but not checked") for reason in reasons)
    assert not list_reasons(verdicts, tuple(v.check for v in verdicts if v.check != check))  # type: ignore[misc]


def test_latency_of_another_machine_is_no_bound() -> None:
    slow = Figures(**{**vars(FULL), "latency_ms": 1000.0, "machine": "another"})
    assert {v.check: v.outcome for v in judge_figures(slow, FULL, PromoteConfig())}["latency"] == "holds"
    bounded = judge_figures(slow, FULL, PromoteConfig(max_latency_ms=500.0))
    assert {v.check: v.outcome for v in bounded}["latency"] == "fails"


def test_the_first_version_is_judged_by_bounds_alone() -> None:
    ranks = make_ranks(np.full(300, 2))

    def compare() -> Comparison:
        raise AssertionError("there is nothing to compare with")

    assert not list_reasons(judge(PromoteConfig(), FULL, None, ranks, compare), PromoteConfig().required)
    config = PromoteConfig(min_metric=0.9)
    assert list_reasons(judge(config, FULL, None, ranks, compare), config.required) == [
        "quality: fails; full/ndcg@10 is 0.6309; needed: at least 0.9"
    ]


@pytest.mark.parametrize("value", ["", "fast", "nan", "inf"])
def test_a_tag_that_is_no_number_is_a_missing_figure(value: str) -> None:
    assert read_figures({"serving/latency_ms_per_user": value}).latency_ms is None
