"""Versions side by side: registered ranks, or the champion's on today's test targets when data moved on.

Its trained parts are put on today's catalog (:mod:`pipelines.registry.carried`) and rank the very targets that the
challenger was ranked on, among the same items. Items that came after its training have no CF row for it, which is how
it would serve them tonight.
"""

from __future__ import annotations

import polars as pl

from illmrec.errors import IllmrecError, ModelError
from illmrec.evaluation.protocol import DotScorer, rank_cases
from pipelines.assembly.contest import load_material
from pipelines.parameters.operation import PromoteConfig
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.context import Context
from pipelines.registry.carried import load_recommender_on_catalog
from pipelines.registry.ranks import digest_split, find_ranks, tabulate
from pipelines.registry.registry import Registry
from pipelines.registry.verdicts import Comparison, Verdict, judge, read_figures, share_of_pairs
from pipelines.registry.version import Version
from pipelines.registry.version_files import VersionFiles


def rank_version(context: Context, files: VersionFiles) -> pl.DataFrame:
    """Return a version's ranks of today's test targets, rows of :data:`pipelines.registry.ranks.SCHEMA`.

    Raises:
        ModelError: when its files do not allow it: another encoder, another form, damage.
        MissingArtifactError: when a stage has not run.
    """
    material, carried = load_material(context.shelf), load_recommender_on_catalog(context.shelf, files)
    model = carried.recommender
    users = model.project_users(model.represent_users(material.histories, context.section(EvaluateConfig).batch_size))
    scorer = DotScorer(users, carried.represent_items())
    ranks = rank_cases(scorer, material.cases, allowed=material.allowed).ranks["full"]
    cases = material.cases
    return tabulate(context.shelf, cases.users[cases.owners], cases.targets.values, ranks)


def judge_versions(
    context: Context, registry: Registry, files: VersionFiles, champion: Version | None
) -> list[Verdict]:
    """Return every verdict on a challenger.

    Args:
        context: the data set.
        registry: its versions.
        files: the challenger's files.
        champion: the version it would replace; None for the first.
    """
    ranks = find_ranks(files)
    return judge(
        context.section(PromoteConfig),
        read_figures(files.version.tags),
        read_figures(champion.tags) if champion else None,
        ranks,
        lambda: "no champion" if champion is None else compare_ranks(context, registry, files, ranks, champion),
    )


def compare_ranks(
    context: Context, registry: Registry, files: VersionFiles, ranks: pl.DataFrame | None, champion: Version
) -> Comparison | str:
    """Return both versions' ranks, paired if there is any way, or why there are none.

    Registered ranks are paired when both were won in the same contest: same histories, targets and items. Otherwise
    the champion ranks today's targets, if they are the challenger's. Failing that, two groups of users are compared.
    """
    config = context.section(PromoteConfig)
    if ranks is None:
        return "the challenger was registered without ranks"
    try:
        old = registry.fetch(champion)
    except ModelError as error:
        return f"the champion's files do not verify: {error}"
    before = find_ranks(old)
    same = files.version.tags.get("split_sha256", "") == champion.tags.get("split_sha256", "none")
    if before is not None and same and share_of_pairs(ranks, before) >= config.min_shared:
        return Comparison(ranks, before, "paired")
    today, note = _rank_today(context, files, old)
    if today is not None:
        shared = share_of_pairs(ranks, today)
        if shared >= config.min_shared:
            return Comparison(ranks, today, "re-evaluated", "the test targets are others than the champion's")
        note = f"the champion could rank {shared:.0%} of the challenger's targets"
    return note if before is None else Comparison(ranks, before, "unpaired", note)


def _rank_today(context: Context, files: VersionFiles, champion: VersionFiles) -> tuple[pl.DataFrame | None, str]:
    try:
        if digest_split(context.shelf) != files.version.tags.get("split_sha256"):
            return None, "today's split is not the one the challenger was ranked on"
        return rank_version(context, champion), ""
    except IllmrecError as error:
        return None, f"the champion cannot be ranked on today's split: {error}"
