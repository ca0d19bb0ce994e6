r"""Time and memory from raw files to prepared and split tables, beside plain pandas and json.loads.

Generated raw files in the layouts of Amazon (reviews and metadata, gzip), H&M and MicroLens, three sizes of each; see
benchmarks/raw_files.py. Two rows a size:

  read               the reader, beside json.loads or pandas.read_csv of the same files into a table
  prepare and split  both stages with all they do (cleaning, k-core, tables written, negatives), beside plain pandas
                     doing less: duplicates, k-core, order, last two items, nothing written, no negatives, no texts

The difference is the largest difference of users, items and interactions in the core. One thread each. Plain pandas is
not run beyond five million interactions, which would take it more than 8 GB; the second row then stands beside plain
reading alone, and says so.

\b
Example:
  python -m benchmarks.prepare --quick --json
  python -m benchmarks.prepare --layout hm --rows 31800000 --pairs 1
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read once, when Polars is imported

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks import measure

QUICK = {"amazon": (5_000, 10_000, 20_000), "hm": (40_000, 80_000, 160_000), "microlens": (2_000, 4_000, 8_000)}
FULL = {
    "amazon": (1_250_000, 2_500_000, 5_000_000),
    "hm": (8_000_000, 16_000_000, 31_800_000),
    "microlens": (250_000, 500_000, 1_000_000),
}
UNITS = {"amazon": "reviews", "hm": "transactions", "microlens": "users"}
INTERACTIONS_PER_UNIT = {"amazon": 1, "hm": 1, "microlens": 9}
PLAIN_LIMIT = 5_000_000
"""Most interactions that plain pandas is asked to prepare."""
CORE = 5
PAIRS = 5


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Small files; ends within 50 seconds.")
@click.option("--layout", "layouts", multiple=True, type=click.Choice(list(FULL)), help="Only this; may be repeated.")
@click.option("--rows", multiple=True, type=click.IntRange(min=1000), help="Sizes in place of the three.")
@click.option("--pairs", default=PAIRS, show_default=True, type=click.IntRange(min=1), help="Measured pairs a row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(quick: bool, layouts: tuple[str, ...], rows: tuple[int, ...], pairs: int, as_json: bool) -> None:
    """Measure and print."""
    sizes = QUICK if quick else FULL
    found = [
        row for layout in layouts or FULL for size in rows or sizes[layout] for row in _measure(layout, size, pairs)
    ]
    settings: dict[str, Any] = {
        "data": "synthetic, see benchmarks/raw_files.py",
        "core": CORE,
        "negatives": 100,
        "pairs": pairs,
        "threads": 1,
        "time": "CPU seconds",
    }
    measure.show("prepare", settings, found, as_json)


def _measure(layout: str, size: int, pairs: int) -> list[measure.Row]:
    from benchmarks.plain_prepare import prepare_plainly, read_plainly, split_plainly
    from illmrec.data.readers import read_raw

    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "raw"
        folder.mkdir()
        _write(layout, folder, size)
        core: dict[str, tuple[int, int, int]] = {}

        def go_plainly() -> None:
            kept = prepare_plainly(read_plainly(layout, folder), CORE)
            core["plain"] = (kept["user_id"].nunique(), kept["item_id"].nunique(), len(kept))
            split_plainly(kept)

        def go() -> None:
            core["ours"] = _prepare_and_split(layout, folder, Path(work))

        def read_plain() -> object:
            return read_plainly(layout, folder)

        case = f"{layout}, {size:,} {UNITS[layout]}"
        read = measure.compare(f"{case}: read", read_plain, lambda: read_raw(layout, folder), pairs=pairs)
        if size * INTERACTIONS_PER_UNIT[layout] > PLAIN_LIMIT:
            name = f"{case}: prepare and split, beside plain reading alone"
            return [read, measure.compare(name, read_plain, go, pairs=pairs)]
        whole = measure.compare(f"{case}: prepare and split", go_plainly, go, pairs=pairs)
        difference = max(abs(plain - ours) for plain, ours in zip(core["plain"], core["ours"], strict=True))
        return [read, replace(whole, max_abs_diff=float(difference))]


def _write(layout: str, folder: Path, size: int) -> None:
    from benchmarks import raw_files

    if layout == "amazon":
        raw_files.write_amazon(folder, reviews=size, items=size // 5)
    elif layout == "hm":
        raw_files.write_hm(folder, transactions=size)
    else:
        raw_files.write_microlens(folder, users=size)


def _prepare_and_split(layout: Any, folder: Path, work: Path) -> tuple[int, int, int]:
    """Do what the stages ``prepare`` and ``split`` do; return users, items and interactions of the core."""
    import polars as pl

    from illmrec import atomic
    from illmrec.config import PrepareConfig, SplitConfig
    from illmrec.data.catalog import Catalog
    from illmrec.data.split import draw_negatives, split_leave_one_out
    from pipelines.stages.prepare import prepare

    config = PrepareConfig(format=layout, folder=str(folder), user_core=CORE, item_core=CORE)
    tables, summary = prepare(folder, config)
    for name, table in tables.items():
        atomic.write_parquet(work / f"{name}.parquet", table)
    del tables
    catalog = Catalog(pl.read_parquet(work / "items.parquet"))
    split = split_leave_one_out(pl.read_parquet(work / "interactions.parquet"), catalog)
    negatives, _ = draw_negatives(split.sequences, len(catalog), SplitConfig().negatives, seed=0)
    atomic.write_parquet(work / "sequences.parquet", split.sequences)
    atomic.write_parquet(work / "negatives.parquet", negatives)
    return summary["users"], summary["items"], summary["interactions"]


if __name__ == "__main__":
    main()
