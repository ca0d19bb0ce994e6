"""Command ``fetch images``: the pictures that a catalog names by address, into shards beside it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec.columns import ITEM_ID
from illmrec.errors import NothingToDoError, ParameterError
from pipelines.commands.network import NetworkOptions, hold_folder, network_options
from pipelines.commands.options import about_dataset, print_facts
from pipelines.parameters.data import PrepareConfig
from pipelines.project.layout import Layout, require

if TYPE_CHECKING:
    from pipelines.project.context import Context

log = logging.getLogger(__name__)

RETRYABLE = ("failed", "dead", "placeholder", "broken", "refused")
PICTURE_BYTES = 32 * 1024 * 1024
PICTURE_SECONDS = 60.0


@click.command()
@click.option("--all-items", is_flag=True, help="Pictures of every item offered, not of the prepared items only.")
@click.option("--per-item", type=click.IntRange(1, 20), default=1, show_default=True, help="Addresses tried per item.")
@click.option("--connections", type=click.IntRange(1, 256), default=16, show_default=True, help="Downloads at a time.")
@click.option("--per-host", type=click.IntRange(1, 64), default=4, show_default=True, help="Of these, to one host.")
@click.option("--retry", "again", type=click.Choice(RETRYABLE), multiple=True, help="Status to try again.")
@click.option("--placeholder-sha256", type=click.Path(path_type=Path, exists=True), help="File of digests, one a line.")
@click.option("--max-items", type=click.IntRange(1), default=100, show_default=True, help="Items one picture may show.")
@network_options
@about_dataset
def images(
    context: Context,
    all_items: bool,
    per_item: int,
    connections: int,
    per_host: int,
    again: tuple[str, ...],
    placeholder_sha256: Path | None,
    max_items: int,
    **network: Any,
) -> None:
    r"""Fetch the pictures of a catalog's items; a second run fetches what is missing or failed in passing.

    Addresses come from Amazon's metadata, or from image_urls.csv (item_id, url) in the raw folder of any catalog. Run
    `illmrec prepare` first, so that only items that are used are asked for, and again afterwards.

    \b
    Example:
      illmrec prepare --dataset sports
      illmrec fetch images --dataset sports && illmrec prepare --dataset sports
    """
    from illmrec.atomic import sweep_partial
    from illmrec.data.shards import ShardStore
    from illmrec.fetching.connection import Limits
    from illmrec.fetching.picture_urls import list_wanted
    from illmrec.fetching.pictures import PictureRules, fetch_pictures, select_missing
    from illmrec.progress import track_items

    config = context.section(PrepareConfig)
    raw = context.layout.root / config.folder
    chosen = None if all_items else read_prepared_items(context.layout)
    rules = PictureRules(
        connections=connections,
        per_host=per_host,
        max_pixels=config.max_pixels,
        max_items=max_items,
        placeholders=read_placeholders(placeholder_sha256),
    )
    options = NetworkOptions(**network)
    limits = Limits(
        connect_seconds=10, idle_seconds=15, total_seconds=PICTURE_SECONDS, rate_window=10, max_bytes=PICTURE_BYTES
    )
    with hold_folder(context.layout.root, raw), options.connect(limits) as client:
        sweep_partial(raw / "images")
        store = ShardStore(raw / "images")
        offered = [
            w for w in list_wanted(raw, config.format, per_item=per_item) if chosen is None or w.item_id in chosen
        ]
        missing = list(select_missing(offered, store, {"failed", *again}))
        if not missing:
            raise NothingToDoError(f"all {len(offered):,} pictures offered were fetched or judged before.", path=raw)
        with track_items("fetch pictures", total=len(missing), unit="picture") as show:
            counts = fetch_pictures(missing, store, client, rules, rewrite=options.rewrite, show=show)
        store.close()
    if counts.get("failed") or counts.get("postponed"):
        log.warning("Some pictures failed in passing; run the same command again for these.")
    print_facts({"offered": len(offered), "asked_for": len(missing)} | counts | totals(store.count_statuses()))


def totals(statuses: dict[str, int]) -> dict[str, int]:
    """Return the counts of the whole index under names of their own."""
    return {f"index_{status}": count for status, count in statuses.items()}


def read_prepared_items(layout: Layout) -> frozenset[str]:
    """Return the ids of the prepared catalog's items.

    Raises:
        MissingArtifactError: when nothing was prepared.
    """
    import polars as pl

    path = require(layout.prepared / "items.parquet", f"prepare --dataset {layout.dataset}")
    return frozenset(pl.read_parquet(path, columns=[ITEM_ID])[ITEM_ID])


def read_placeholders(path: Path | None) -> frozenset[str]:
    """Return the digests in a file, one a line.

    Raises:
        ParameterError: when a line is no sha256.
    """
    if path is None:
        return frozenset()
    lines = [line.strip().lower() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    for row, line in enumerate(lines, start=1):
        if line and (len(line) != 64 or set(line) - set("0123456789abcdef")):
            raise ParameterError(f"{line[:80]!r} is no sha256: expected 64 hexadecimal digits.", path=path, row=row)
    return frozenset(line for line in lines if line)
