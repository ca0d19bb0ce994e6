"""Job ``recommend``: tonight's recommendations of the champion for every user."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID, TIMESTAMP, USER_ID
from illmrec.config import RecommendConfig, RegisterConfig
from illmrec.errors import ModelError
from pipelines.context import Context, dataset_options, open_context
from pipelines.jobs.register import write_receipt
from pipelines.layout import Layout, require
from pipelines.lock import hold_lock
from pipelines.release import Release, fetch_release

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from illmrec.data.catalog import Catalog
    from illmrec.data.histories import Ragged

log = logging.getLogger(__name__)

REASON_MODEL, REASON_COLD = "model", "cold_user_popularity"


@click.command()
@dataset_options
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Night to write, YYYY-MM-DD.")
def command(dataset: str, as_json: bool, day: datetime.datetime) -> None:
    r"""Write recommendations for every known user and publish them whole.

    Takes the registry's champion, checks its digests, uses interactions before the given day (UTC), scores each user
    against the whole catalog with ONNX Runtime, leaves out items already seen, audits the result and only then moves
    exports/<dataset>/latest.json. Users without any known item get the most popular ones, with that reason.

    \b
    Example:
      illmrec recommend --dataset amazon --date 2026-01-31
    """
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("recommend")):
        facts = recommend(context, day.date())
    context.emit(facts)


@dataclass(frozen=True)
class Audience:
    """Whom to recommend to, and what is known of each.

    Args:
        user_ids: every known user, sorted.
        histories: per user the known items of the catalog, oldest first.
        popularity: ``int64 [n_items]``: known interactions per item.
    """

    user_ids: list[str]
    histories: Ragged
    popularity: npt.NDArray[np.int64]


def recommend(context: Context, day: datetime.date) -> dict[str, Any]:
    """Write, audit and publish one night; return what was written."""
    from illmrec.scoring.output import check_run, move_pointer, write_run
    from pipelines.assembly import load_catalog
    from pipelines.tracking import CHAMPION, Tracker

    layout, config = context.layout, context.section(RecommendConfig)
    tracker = Tracker(layout.root)
    name = context.section(RegisterConfig).name_prefix + layout.dataset
    release = fetch_release(layout, tracker, tracker.resolve(name, CHAMPION))
    catalog = load_catalog(layout)
    interactions = read_interactions(layout, day)
    audience = gather_audience(layout, catalog, interactions)
    run_id = identify_night(release, config, catalog, audience, day)
    night = layout.exports / f"dt={day.isoformat()}"
    folder = night / f"run={run_id}"
    atomic.sweep_partial(night)
    published = folder.is_dir()
    if not published:
        table = build_table(layout, config, catalog, audience, release)
        refuse_faults(table, catalog, audience, interactions, config.k)
        with atomic.write_folder(folder) as partial:
            write_run(partial, table, config.partitions, describe_night(release, audience, day))
    manifest = check_run(folder)
    move_pointer(layout.exports, folder)
    facts = {key: value for key, value in manifest.items() if key != "files"}
    write_receipt(layout.receipts, "recommend", facts | {"folder": str(folder)})
    return facts | {"folder": str(folder), "already_written": published}


def read_interactions(layout: Layout, day: datetime.date) -> pl.DataFrame:
    """Return every known interaction before ``day`` (UTC), below-core users included, in history order."""
    names = ("interactions", "interactions_below_core")
    folder = require(layout.prepared, f"prepare --dataset {layout.dataset}")
    midnight = datetime.datetime.combine(day, datetime.time(), tzinfo=datetime.UTC).timestamp()
    table = pl.concat([pl.read_parquet(folder / f"{name}.parquet") for name in names])
    # The sort is stable, so the order of ties that `prepare` decided stays.
    return table.filter(pl.col(TIMESTAMP) < int(midnight)).sort(USER_ID, TIMESTAMP, maintain_order=True)


def gather_audience(layout: Layout, catalog: Catalog, interactions: pl.DataFrame) -> Audience:
    """Return all users with their known items of the catalog."""
    import numpy as np

    from illmrec.data.histories import ragged_from_column

    users = pl.read_parquet(layout.prepared / "users.parquet").select(USER_ID).sort(USER_ID)
    placed = interactions.with_columns(index=pl.Series(catalog.index_items(interactions[ITEM_ID])))
    known = placed.filter(pl.col("index") >= 0).unique([USER_ID, "index"], keep="last", maintain_order=True)
    grouped = known.group_by(USER_ID, maintain_order=True).agg("index")
    joined = users.join(grouped, on=USER_ID, how="left", maintain_order="left")
    histories = ragged_from_column(joined["index"].fill_null(pl.lit([], dtype=pl.List(pl.Int32))))
    popularity = np.bincount(histories.values, minlength=len(catalog))
    return Audience(users[USER_ID].to_list(), histories, popularity)


def identify_night(
    release: Release, config: RecommendConfig, catalog: Catalog, audience: Audience, day: datetime.date
) -> str:
    """Return an id that is a function of all inputs, so that the same night gives the same run."""
    facts = {
        "model": [release.released.name, release.released.version, dict(release.released.tags)],
        "settings": config.model_dump(mode="json"),
        "catalog": catalog.digest,
        "day": day.isoformat(),
        "users": hashlib.sha256("\n".join(audience.user_ids).encode()).hexdigest(),
        "histories": hashlib.sha256(
            audience.histories.values.tobytes() + audience.histories.offsets.tobytes()
        ).hexdigest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def build_table(
    layout: Layout, config: RecommendConfig, catalog: Catalog, audience: Audience, release: Release
) -> pl.DataFrame:
    """Score every user and return the rows of :data:`illmrec.scoring.output.RECOMMENDATIONS`."""
    import numpy as np

    from illmrec.scoring.head import Head
    from illmrec.scoring.topk import ExactSearch
    from pipelines.assembly import load_recommender

    model = load_recommender(layout, release.folder)
    head = Head(release.folder / "head.onnx", release.released.tags["onnx_sha256"])
    warm = np.flatnonzero(audience.histories.lengths > 0)
    rows = [audience.histories[int(user)] for user in warm]
    users = head.project_users(model.represent_users(rows, config.encode_batch_size))
    items = head.project_items({kind: model.features[kind].values for kind in head.kinds})
    search = ExactSearch(items, block_items=config.score_block_items, block_users=config.score_block_users)
    best, scores = search.search(users, _select(audience.histories, warm), config.k)
    shares = split_shares(users, items, best, head.kinds)
    has_image = model.features["image"].present
    version = f"{release.released.name}/{release.released.version}"
    warm_rows = _make_rows(audience, catalog, warm, best, scores, shares, REASON_MODEL)
    cold = np.flatnonzero(audience.histories.lengths == 0)
    top = np.argsort(-audience.popularity, kind="stable")[: config.k]
    counts = audience.popularity[top].astype(np.float32)
    tiled = np.tile(top, (len(cold), 1)), np.tile(counts, (len(cold), 1))
    cold_rows = _make_rows(audience, catalog, cold, *tiled, {}, REASON_COLD)
    fallback = pl.Series(~has_image)
    return finish_rows(pl.concat([warm_rows, cold_rows]), fallback, version)


def split_shares(
    users: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    best: npt.NDArray[np.int64],
    kinds: tuple[str, ...],
) -> dict[str, npt.NDArray[np.float32]]:
    """Return ``float32 [n, k]`` per feature type: its exact part of each score (paper, 3.4: the score is a sum)."""
    import numpy as np

    width = users.shape[1] // len(kinds)
    shares = {kind: np.empty(best.shape, dtype=np.float32) for kind in kinds}
    for place in range(best.shape[1]):
        chosen = items[best[:, place]]
        for number, kind in enumerate(kinds):
            part = slice(number * width, (number + 1) * width)
            shares[kind][:, place] = np.einsum("nd,nd->n", users[:, part], chosen[:, part])
    return shares


def _select(rows: Ragged, chosen: npt.NDArray[np.int64]) -> Ragged:
    from illmrec.data.histories import pack_rows

    return pack_rows([rows[int(row)] for row in chosen])


def _make_rows(
    audience: Audience,
    catalog: Catalog,
    chosen: npt.NDArray[np.int64],
    best: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    shares: dict[str, npt.NDArray[np.float32]],
    reason: str,
) -> pl.DataFrame:
    import numpy as np

    n, k = best.shape
    user_ids = pl.Series(audience.user_ids, dtype=pl.String).gather(np.repeat(chosen, k))
    columns = {
        USER_ID: user_ids,
        "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), n),
        "item_index": best.reshape(-1).astype(np.int64),
        "score": scores.reshape(-1).astype(np.float32),
    }
    table = pl.DataFrame(columns)
    for kind in ("image", "cf", "text"):
        values = pl.Series(shares[kind].reshape(-1)) if kind in shares else pl.lit(None, dtype=pl.Float32)
        table = table.with_columns(values.alias(f"share_{kind}"))
    table = table.filter(pl.col("item_index") >= 0)
    item_ids = catalog.items[ITEM_ID].gather(table["item_index"])
    return table.with_columns(item_ids.alias(ITEM_ID), pl.lit(reason).alias("reason"))


def finish_rows(table: pl.DataFrame, fallback: pl.Series, version: str) -> pl.DataFrame:
    """Add what depends on the item or the model and bring rows and columns into their order."""
    from illmrec.scoring.output import RECOMMENDATIONS

    marked = table.with_columns(
        fallback.gather(table["item_index"]).alias("image_fallback"), pl.lit(version).alias("model_version")
    )
    return marked.select(list(RECOMMENDATIONS)).cast(RECOMMENDATIONS).sort(USER_ID, "rank")


def refuse_faults(
    table: pl.DataFrame, catalog: Catalog, audience: Audience, interactions: pl.DataFrame, k: int
) -> None:
    """Audit a night.

    Raises:
        ModelError: when anything is wrong; what was published before stays.
    """
    from illmrec.scoring.audit import audit_recommendations

    users = pl.Series(audience.user_ids, dtype=pl.String)
    in_catalog = interactions.filter(pl.col(ITEM_ID).is_in(catalog.item_ids))
    faults = audit_recommendations(table, users, catalog.items[ITEM_ID], in_catalog, k)
    if faults:
        hint = "The last published night stays. Look at the champion and the data, then run again."
        raise ModelError(f"the recommendations fail their audit: {'; '.join(faults)}.", hint=hint)


def describe_night(release: Release, audience: Audience, day: datetime.date) -> dict[str, Any]:
    """Return what the manifest says besides files."""
    cold = int((audience.histories.lengths == 0).sum())
    return {
        "date": day.isoformat(),
        "model": release.released.name,
        "model_version": release.released.version,
        "onnx_sha256": release.released.tags["onnx_sha256"],
        "users_by_model": len(audience.user_ids) - cold,
        "users_by_popularity": cold,
    }
