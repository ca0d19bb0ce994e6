r"""Time and memory from raw files to prepared and split tables, beside pandas and json.loads doing the same work.

Generated raw files in the layouts of Amazon (reviews and metadata, gzip), H&M and MicroLens, three sizes of each; see
benchmarks/raw_files.py. Two rows a size:

  read               the files into tables, ids coded, malformed rows set aside with line number and reason
  prepare and split  that, and duplicates, repeats, order, k-core, texts cleaned, sequences, 100 negatives a user, and
                     every table written to Parquet

The plain way stands in benchmarks/plain_prepare.py; it splits the tables it holds, our stage reads them from disk.
The difference is the largest of: users, items and interactions in the core, users split, and item indices of sequences
one by one. One thread each, CPU seconds, which other work on the machine hardly changes; with --wall seconds on the
clock and all cores, as a user waits, on a quiet machine.

\b
Example:
  python -m benchmarks.prepare --quick --json
  python -m benchmarks.prepare --layout hm --rows 31800000 --pairs 1 --cold --wall
"""

from __future__ import annotations

import os
import sys

if "--wall" not in sys.argv:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read once, when Polars is imported

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks import measure

QUICK = {"amazon": (2_500, 5_000, 10_000), "hm": (20_000, 40_000, 80_000), "microlens": (1_000, 2_000, 4_000)}
FULL = {
    "amazon": (1_250_000, 2_500_000, 5_000_000),
    "hm": (8_000_000, 16_000_000, 31_800_000),
    "microlens": (250_000, 500_000, 1_000_000),
}
UNITS = {"amazon": "reviews", "hm": "transactions", "microlens": "users"}
CORE, NEGATIVES, SEED = 5, 100, 0
PAIRS = 5
Core = tuple[int, int, int]


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Small files; ends within 50 seconds.")
@click.option("--layout", "layouts", multiple=True, type=click.Choice(list(FULL)), help="Only this; may be repeated.")
@click.option("--rows", multiple=True, type=click.IntRange(min=1000), help="Sizes in place of the three.")
@click.option("--pairs", default=PAIRS, show_default=True, type=click.IntRange(min=1), help="Measured pairs a row.")
@click.option("--cold", is_flag=True, help="No run before the measured ones, which halves the time.")
@click.option("--wall", is_flag=True, help="Time on the clock with all cores, in place of CPU seconds of one thread.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(
    quick: bool, layouts: tuple[str, ...], rows: tuple[int, ...], pairs: int, cold: bool, wall: bool, as_json: bool
) -> None:
    """Measure and print."""
    sizes = QUICK if quick else FULL
    clock = time.perf_counter if wall else time.process_time
    found = [
        row
        for layout in layouts or FULL
        for size in rows or sizes[layout]
        for row in _measure(layout, size, partial(measure.compare, pairs=pairs, clock=clock, warm=not cold))
    ]
    settings: dict[str, Any] = {
        "data": "synthetic, see benchmarks/raw_files.py",
        "core": CORE,
        "negatives": NEGATIVES,
        "pairs": pairs,
        "threads": "all" if wall else 1,
        "warm": not cold,
        "time": "seconds on the clock" if wall else "CPU seconds",
    }
    measure.show("prepare", settings, found, as_json)


def _measure(layout: Any, size: int, compare: Callable[..., measure.Row]) -> list[measure.Row]:
    from benchmarks.plain_prepare import read_plainly
    from illmrec.data.readers import read_raw

    with tempfile.TemporaryDirectory() as work:
        folder, plain, ours = (Path(work) / name for name in ("raw", "plain", "ours"))
        for path in (folder, plain, ours):
            path.mkdir()
        _write(layout, folder, size)
        cores: dict[str, Core] = {}

        def go_plainly() -> None:
            cores["plain"] = _prepare_and_split_plainly(layout, folder, plain)

        def go() -> None:
            cores["ours"] = _prepare_and_split(layout, folder, ours)

        case = f"{layout}, {size:,} {UNITS[layout]}"
        read = compare(f"{case}: read", lambda: read_plainly(layout, folder), lambda: read_raw(layout, folder))
        whole = compare(f"{case}: prepare and split", go_plainly, go)
        counted = max(abs(a - b) for a, b in zip(cores["plain"], cores["ours"], strict=True))
        return [read, replace(whole, max_abs_diff=float(max(counted, _compare_sequences(plain, ours))))]


def _write(layout: str, folder: Path, size: int) -> None:
    from benchmarks import raw_files

    if layout == "amazon":
        raw_files.write_amazon(folder, reviews=size, items=size // 5)
    elif layout == "hm":
        raw_files.write_hm(folder, transactions=size)
    else:
        raw_files.write_microlens(folder, users=size)


def _prepare_and_split_plainly(layout: str, folder: Path, work: Path) -> Core:
    from benchmarks.plain_prepare import prepare_plainly, read_plainly, split_plainly, write_plainly

    tables = prepare_plainly(read_plainly(layout, folder), CORE, SEED)
    interactions = tables["interactions"]
    write_plainly(tables, work)
    del tables
    write_plainly(split_plainly(interactions, NEGATIVES, SEED), work)
    return interactions["user_id"].nunique(), interactions["item_id"].nunique(), len(interactions)


def _prepare_and_split(layout: Any, folder: Path, work: Path) -> Core:
    """Do what the stages ``prepare`` and ``split`` do; return users, items and interactions of the core."""
    import polars as pl

    from illmrec import atomic
    from illmrec.data.catalog import Catalog
    from illmrec.data.splitting.leave_one_out import draw_negatives, split_leave_one_out
    from pipelines.parameters.data import PrepareConfig
    from pipelines.stages.prepare import prepare

    config = PrepareConfig(format=layout, folder=str(folder), user_core=CORE, item_core=CORE, seed=SEED)
    tables, summary = prepare(folder, config)
    for name, table in tables.items():
        atomic.write_parquet(work / f"{name}.parquet", table)
    del tables
    catalog = Catalog(pl.read_parquet(work / "items.parquet"))
    split = split_leave_one_out(pl.read_parquet(work / "interactions.parquet"), catalog)
    negatives, _ = draw_negatives(split.sequences, len(catalog), NEGATIVES, seed=SEED)
    atomic.write_parquet(work / "sequences.parquet", split.sequences)
    atomic.write_parquet(work / "negatives.parquet", negatives)
    return summary["users"], summary["items"], summary["interactions"]


def _compare_sequences(plain: Path, ours: Path) -> int:
    """Return the largest difference of the sequences that both wrote: of item indices, or of numbers of them."""
    import numpy as np

    largest = 0
    for first, second in zip(_read_sequences(plain), _read_sequences(ours), strict=True):
        if len(first) != len(second):
            return abs(len(first) - len(second))
        largest = max(largest, int(np.abs(first - second).max()))
    return largest


def _read_sequences(folder: Path) -> list[Any]:
    """Return the users' numbers of training items, those items one after the other, and both targets."""
    import polars as pl

    table = pl.read_parquet(folder / "sequences.parquet", columns=["train", "valid", "test"])
    train = table["train"]
    columns = [train.list.len().cast(pl.Int64), train.explode(), table["valid"], table["test"]]
    return [column.to_numpy() for column in columns]


if __name__ == "__main__":
    main()
