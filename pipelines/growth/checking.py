"""Job ``growth-check``: has the catalog outgrown the champion?"""

from __future__ import annotations

from typing import Any

import polars as pl

from illmrec.columns import IMAGE_OK, ITEM_ID, USER_ID
from illmrec.errors import DataError, ModelError
from pipelines.growth.drifting import PROFILE_FILE
from pipelines.growth.grown_catalog import open_grown_catalog
from pipelines.growth.judging import DataState, Growth, judge_growth
from pipelines.parameters.data import DriftConfig, GrowthConfig
from pipelines.project.context import Context
from pipelines.project.shelf import Shelf
from pipelines.quality.drift import compare_profiles
from pipelines.quality.profile import read_profile
from pipelines.registry.ranks import USER_KEY, find_ranks, key_user
from pipelines.registry.registry import Registry
from pipelines.registry.trained_items import read_trained_items
from pipelines.registry.version_files import VersionFiles


def check_growth(context: Context) -> Growth:
    """Return what changed since the champion was trained.

    Raises:
        DataError: when the gate refused today's data, or more of them is gone than ``drift.max_loss`` allows.
        ModelError: when the champion's files do not verify, or it does not say what it was trained on.
        MissingArtifactError: when a stage has not run.
    """
    refuse_refused_data(context.shelf)
    registry = Registry(context)
    champion = registry.find_champion()
    if champion is None:
        return Growth("retrain", ("there is no champion yet",), {"champion": ""})
    files = registry.fetch(champion)
    profile = _read_registered_profile(files)
    drifted = find_drift(context, profile)
    then, now = count_then(files, profile), count_now(context.shelf, open_grown_catalog(context))
    growth = judge_growth(then, now, drifted, context.section(GrowthConfig))
    return Growth(growth.answer, growth.reasons, {"champion": champion.number, **growth.figures})


def refuse_refused_data(shelf: Shelf) -> None:
    """Stop when today's data did not pass the gate.

    Raises:
        DataError: when they did not.
    """
    if not shelf.gate["passed"]:
        hint = "The champion and the last night stay. Mend the feed, then run `illmrec prepare` and `illmrec validate`."
        raise DataError("the quality gate refused today's data.", path=shelf.layout.quality / "gate.json", hint=hint)


def find_drift(context: Context, old: dict[str, Any]) -> list[str]:
    """Return fields that drifted past a critical bound since the profile ``old``.

    Raises:
        DataError: when the drift is a loss of users, items or interactions: growth does not make data fewer.
    """
    new = read_profile(context.shelf.require(context.layout.quality / PROFILE_FILE))
    drifted = [field for field in compare_profiles(old, new, context.section(DriftConfig)) if field.level == "critical"]
    losses = [f"{field.field} {field.largest}" for field in drifted if field.measure == "loss"]
    if losses:
        hint = "The champion and the last night stay. Look for a feed that is cut short; drift.max_loss is the bound."
        raise DataError(f"today's data are far fewer than the champion's: {'; '.join(losses)}.", hint=hint)
    return [f"{field.field} ({field.measure} {field.value:.3f})" for field in drifted]


def _read_registered_profile(files: VersionFiles) -> dict[str, Any]:
    path = files.find(PROFILE_FILE)
    if path is None:
        hint = "Register and promote a version made by this release."
        raise ModelError(f"version {files.version.number} was registered without a data profile.", hint=hint)
    return read_profile(path)


def count_then(files: VersionFiles, profile: dict[str, Any]) -> DataState:
    """Return what the champion was trained on."""
    trained = read_trained_items(files, files.version.tags["item_digest"])
    ranks = find_ranks(files)
    users = frozenset() if ranks is None else frozenset(ranks[USER_KEY])
    pictures = profile["names"]["picture_status"]
    return DataState(
        items=frozenset(trained.item_ids),
        users=users,
        interactions=int(profile["counts"]["interactions"]),
        missing_images=1.0 - float(pictures.get(IMAGE_OK, 0.0)),
        last=int(profile["time"]["last"]),
    )


def count_now(core: Shelf, grown: Shelf) -> DataState:
    """Return what there is today: users and interactions of the core, items of the grown catalog."""
    interactions, items = core.interactions, grown.catalog.items
    return DataState(
        items=frozenset(items[ITEM_ID]),
        users=frozenset(key_user(user) for user in interactions[USER_ID].unique().to_list()),
        interactions=interactions.height,
        missing_images=items.filter(pl.col("image_status") != IMAGE_OK).height / max(items.height, 1),
        last=max(interactions["timestamp"].to_numpy(), default=0),
    )
