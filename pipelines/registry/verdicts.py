"""May a challenger take the champion's place? One verdict per question, from ranks and figures alone.

``quality`` is a test of non-inferiority: the challenger must be shown to lose less than the margin, it is not enough
that nobody can show that it loses more. With the margin taken as a share of the champion's metric, the mean over users
of ``challenger - (1 - margin) * champion`` must be above zero, judged by the lower end of its bootstrap interval.

``popularity`` asks what no comparison with a champion can: whether the challenger has learned anything of single users.
Where a champion is hardly better than a list of popular items, a model that knows popularity alone loses nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.evaluation.bounds import OneSided, bound_difference
from illmrec.evaluation.metrics import Metric, PerUser, compute_metrics
from pipelines.parameters.operation import PromoteConfig
from pipelines.registry.ranks import POPULARITY_RANK, RANK, UNSEEN, USER_KEY

Outcome = Literal["holds", "fails", "not checked"]


@dataclass(frozen=True)
class Verdict:
    """The answer to one question.

    Args:
        check: what was asked.
        outcome: how it went.
        found: what was found, in words and figures.
        needed: what would have held.
    """

    check: str
    outcome: Outcome
    found: str
    needed: str = ""

    def describe(self) -> str:
        """Return it in one line."""
        return f"{self.check}: {self.outcome}; {self.found}" + (f"; needed: {self.needed}" if self.needed else "")


@dataclass(frozen=True)
class Figures:
    """What a version says about serving it; None where it says nothing.

    Args:
        coverage: share of the catalog in all users' ten best items.
        latency_ms: milliseconds a user.
        memory_mb: megabytes of weights, features and projected items.
        fallback_share: share of items without a picture.
        machine: what the latency was measured on.
    """

    coverage: float | None = None
    latency_ms: float | None = None
    memory_mb: float | None = None
    fallback_share: float | None = None
    machine: str = ""


@dataclass(frozen=True)
class Comparison:
    """Ranks of both versions, and how they may be compared.

    Args:
        challenger: rows of :data:`pipelines.registry.ranks.SCHEMA`.
        champion: the same; for ``unpaired`` of other users, targets or items.
        kind: ``paired``: registered ranks of the same contest; ``re-evaluated``: the champion ranked the challenger's
            targets just now; ``unpaired``: neither was possible.
        note: why it is not the kind before.
    """

    challenger: pl.DataFrame
    champion: pl.DataFrame
    kind: Literal["paired", "re-evaluated", "unpaired"]
    note: str = ""


def judge(
    config: PromoteConfig,
    challenger: Figures,
    champion: Figures | None,
    ranks: pl.DataFrame | None,
    compare: Callable[[], Comparison | str],
) -> list[Verdict]:
    """Return all verdicts.

    Args:
        config: the bounds.
        challenger: its figures.
        champion: its figures; None where there is no champion: then bounds alone decide.
        ranks: the challenger's ranks; None where it has none.
        compare: returns both versions' ranks, or why there are none.
    """
    verdicts = [judge_level(ranks, config)]
    if champion is not None and verdicts[0].outcome == "holds":
        found = compare()
        if isinstance(found, str):
            verdicts = [Verdict("quality", "not checked", found), Verdict("cold_items", "not checked", found)]
        else:
            verdicts = [judge_quality(found, config), judge_cold_items(found, config)]
    verdicts.insert(1, judge_popularity(ranks, config))
    return [*verdicts, *judge_figures(challenger, champion, config)]


def judge_level(ranks: pl.DataFrame | None, config: PromoteConfig) -> Verdict:
    """Judge the challenger by itself."""
    if ranks is None:
        return Verdict("quality", "not checked", "the version was registered without ranks")
    value = float(average_by_key(ranks, config.metric).mean())
    outcome: Outcome = "holds" if value >= config.min_metric else "fails"
    return Verdict("quality", outcome, f"{config.metric} is {value:.4f}", f"at least {config.min_metric:g}")


def judge_quality(found: Comparison, config: PromoteConfig) -> Verdict:
    """Judge whether the challenger is shown to lose less than the margin."""
    if found.kind == "unpaired" and config.unpaired == "refuse":
        return Verdict("quality", "not checked", f"no paired comparison is possible: {found.note}")
    ours, theirs = pair_users(found, config.metric)
    low, value, high = bound_gap(ours, theirs, config, paired=found.kind != "unpaired")
    lost = config.margin * (float(theirs.mean()) if config.margin_kind == "relative" else 1.0)
    slack, _, _ = bound_gap(ours, theirs, config, paired=found.kind != "unpaired", margin=config.margin)
    note = f" ({found.note})" if found.note else ""
    shown = (
        f"{found.kind}{note}: {config.metric} {ours.mean():.4f} against {theirs.mean():.4f}, difference {value:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] over {len(ours)} users"
    )
    needed = f"lower end above {-lost:+.4f}, the margin"
    return Verdict("quality", "holds" if slack >= 0.0 else "fails", shown, needed)


def judge_popularity(ranks: pl.DataFrame | None, config: PromoteConfig) -> Verdict:
    """Judge whether the challenger is shown to rank better than a list of popular items, which needs no champion."""
    margin = config.popularity_margin
    if margin is None:
        return Verdict("popularity", "not checked", "promote.popularity_margin is null")
    if ranks is None or not ranks.height or ranks[POPULARITY_RANK].null_count():
        return Verdict("popularity", "not checked", "the version was registered without popularity's ranks")
    ours = average_by_key(ranks, config.metric)
    popular = average_by_key(ranks.with_columns(pl.col(POPULARITY_RANK).alias(RANK)), config.metric)
    low, value, high = bound_gap(ours, popular, config, paired=True)
    above, _, _ = bound_gap(ours, popular, config, paired=True, margin=-margin)
    least = margin * (float(popular.mean()) if config.margin_kind == "relative" else 1.0)
    shown = (
        f"{config.metric} {ours.mean():.4f} against {popular.mean():.4f} of popularity, difference {value:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] over {len(ours)} users"
    )
    return Verdict("popularity", "holds" if above > 0.0 else "fails", shown, f"lower end above {least:+.4f}")


def judge_cold_items(found: Comparison, config: PromoteConfig) -> Verdict:
    """Judge whether the challenger is clearly worse on targets that training never saw."""
    if found.kind == "unpaired":
        return Verdict("cold_items", "not checked", "no paired comparison is possible")
    cold = found.challenger.filter(pl.col(UNSEEN))
    if cold.height < config.min_cold_targets:
        return Verdict("cold_items", "not checked", f"{cold.height} targets, of {config.min_cold_targets} needed")
    part = Comparison(cold, found.champion, found.kind)
    ours, theirs = pair_users(part, config.metric)
    if not len(ours):
        return Verdict("cold_items", "not checked", "no common targets")
    low, value, high = bound_gap(ours, theirs, config, paired=True)
    lost = config.cold_margin * (float(theirs.mean()) if config.margin_kind == "relative" else 1.0)
    _, _, best = bound_gap(ours, theirs, config, paired=True, margin=config.cold_margin)
    shown = f"difference {value:+.4f} [{low:+.4f}, {high:+.4f}] over {len(ours)} users"
    return Verdict("cold_items", "holds" if best >= 0.0 else "fails", shown, f"upper end above {-lost:+.4f}")


def judge_figures(challenger: Figures, champion: Figures | None, config: PromoteConfig) -> list[Verdict]:
    """Judge coverage, latency, memory and fallback share."""
    old = champion or Figures()
    coverage_floor = max(config.min_coverage, (old.coverage or 0.0) * (1.0 - config.max_coverage_loss))
    same_machine = challenger.machine == old.machine
    latency = _ceiling(config.max_latency_ms, old.latency_ms if same_machine else None, config.max_latency_ratio)
    memory = _ceiling(config.max_memory_mb, old.memory_mb, config.max_memory_ratio)
    verdicts = [
        _judge_bound("coverage", challenger.coverage, coverage_floor, "at least"),
        _judge_bound("latency", challenger.latency_ms, latency, "at most", " ms a user"),
        _judge_bound("memory", challenger.memory_mb, memory, "at most", " MB"),
        _judge_bound("fallback", challenger.fallback_share, config.max_fallback_share, "at most"),
    ]
    if champion is None:
        return verdicts
    return [
        _note_missing(verdict, value)
        for verdict, value in zip(
            verdicts, (old.coverage, old.latency_ms, old.memory_mb, old.fallback_share), strict=True
        )
    ]


def _ceiling(bound: float | None, old: float | None, ratio: float) -> float:
    return min(np.inf if bound is None else bound, np.inf if old is None else old * ratio)


def _judge_bound(
    check: str, value: float | None, bound: float, side: Literal["at least", "at most"], unit: str = ""
) -> Verdict:
    if value is None:
        return Verdict(check, "not checked", "the version says nothing of it")
    kept = value >= bound if side == "at least" else value <= bound
    needed = "no bound" if not np.isfinite(bound) else f"{side} {bound:.4g}{unit}"
    return Verdict(check, "holds" if kept else "fails", f"{value:.4g}{unit}", needed)


def _note_missing(verdict: Verdict, old: float | None) -> Verdict:
    """Say so where the champion has no such figure, and the check therefore was the absolute bound alone."""
    if old is not None or verdict.outcome == "not checked" or verdict.check == "fallback":
        return verdict
    return Verdict(verdict.check, verdict.outcome, verdict.found + " (the champion has no such figure)", verdict.needed)


def list_reasons(verdicts: list[Verdict], require: tuple[str, ...]) -> list[str]:
    """Return why the challenger is refused; empty where it is not."""
    reasons = [verdict.describe() for verdict in verdicts if verdict.outcome == "fails"]
    answered = {verdict.check for verdict in verdicts if verdict.outcome != "not checked"}
    unanswered = {verdict.check: verdict.found for verdict in verdicts}
    for name in require:
        if name not in answered:
            found = unanswered.get(name, "nothing was asked")
            reasons.append(f"{name}: required, but not checked; {found}")
    return reasons


def pair_users(found: Comparison, metric: str) -> tuple[PerUser, PerUser]:
    """Return both versions' metric per user: the same users in the same order, unless the comparison is unpaired.

    A user with several targets counts once, with the mean over the targets that both have ranked.
    """
    if found.kind == "unpaired":
        return average_by_key(found.challenger, metric), average_by_key(found.champion, metric)
    both = found.challenger.join(found.champion, on=[USER_KEY, ITEM_ID], suffix="_champion", maintain_order="left")
    theirs = both.select(USER_KEY, ITEM_ID, pl.col(f"{RANK}_champion").alias(RANK))
    return average_by_key(both, metric), average_by_key(theirs, metric)


def share_of_pairs(challenger: pl.DataFrame, champion: pl.DataFrame) -> float:
    """Return for which share of the challenger's targets the champion has a rank too."""
    both = challenger.join(champion, on=[USER_KEY, ITEM_ID], how="semi")
    return both.height / max(1, challenger.height)


def average_by_key(ranks: pl.DataFrame, metric: str) -> PerUser:
    """Return ``float64 [n]``: a metric such as ``full/ndcg@10`` per user, users in order of their keys."""
    name = Metric.parse(metric.removeprefix("full/"))
    values = compute_metrics(ranks[RANK].to_numpy(), () if name.cutoff is None else (name.cutoff,))[name]
    table = ranks.select(USER_KEY).with_columns(value=pl.Series(values, dtype=pl.Float64))
    return table.group_by(USER_KEY).agg(pl.col("value").mean()).sort(USER_KEY)["value"].to_numpy()


def bound_gap(
    ours: PerUser, theirs: PerUser, config: PromoteConfig, *, paired: bool, margin: float | None = None
) -> tuple[float, float, float]:
    """Return low, value and high of the mean difference of two versions.

    Args:
        ours: per user the challenger's metric.
        theirs: the champion's; with ``paired`` of the same users.
        config: confidence of each end by itself, resamples and seed.
        paired: see :func:`illmrec.evaluation.bounds.bound_difference`.
        margin: what the champion is lowered by before; None for the plain difference.
    """
    how = OneSided(config.confidence, config.bootstrap_samples, config.seed)
    if margin is None:
        return bound_difference(ours, theirs, how, paired=paired)
    if config.margin_kind == "absolute":
        return bound_difference(ours, theirs, how, paired=paired, shift=margin)
    return bound_difference(ours, theirs, how, paired=paired, share=1.0 - margin)


def read_figures(tags: Mapping[str, str]) -> Figures:
    """Return what a version's tags say; what they lack, or say in no number, is None."""
    return Figures(
        coverage=_number(tags, "metric/lists/coverage_at_10"),
        latency_ms=_number(tags, "serving/latency_ms_per_user"),
        memory_mb=_number(tags, "serving/memory_mb"),
        fallback_share=_number(tags, "serving/fallback_share"),
        machine=tags.get("serving/machine", ""),
    )


def _number(tags: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(tags[name])
    except (KeyError, ValueError):
        return None
    return value if np.isfinite(value) else None
