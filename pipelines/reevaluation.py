"""The champion on today's test targets: its old ranks were won in another contest when data moved on.

Its trained parts are put on today's catalog (:mod:`pipelines.carry_over`) and rank the very targets the challenger was
ranked on, among the same items. Items that came after its training have no CF row for it, which is how it would serve
them tonight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from illmrec.config import EvaluateConfig
from pipelines.context import Context
from pipelines.release import Release

if TYPE_CHECKING:
    import polars as pl


def rank_release(context: Context, release: Release) -> pl.DataFrame:
    """Return a version's ranks of today's test targets, rows of :data:`pipelines.registered_ranks.SCHEMA`.

    Raises:
        ModelError: when its files do not allow it: another encoder, another form, damage.
        MissingArtifactError: when a stage has not run.
    """
    from illmrec.evaluation.protocol import DotScorer, rank_cases
    from pipelines.carry_over import load_recommender_on_catalog
    from pipelines.registered_ranks import tabulate
    from pipelines.stages.evaluate import load_material

    layout, config = context.layout, context.section(EvaluateConfig)
    material = load_material(layout)
    carried = load_recommender_on_catalog(layout, release, material.catalog)
    model = carried.recommender
    users = model.project_users(model.represent_users(material.histories, config.batch_size))
    scorer = DotScorer(users, carried.represent_items())
    ranks = rank_cases(scorer, material.cases, allowed=material.allowed).ranks["full"]
    cases = material.cases
    return tabulate(layout, cases.users[cases.owners], cases.targets.values, ranks)
