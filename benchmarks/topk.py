r"""Time, memory and recall of finding the 100 best items, beside a loop that scores one user after the other in full.

Vectors are drawn around a few hundred centres, so that items have neighbours as those of a catalog do. Memory is that
of the search alone: quantised items and indexes are made before.

\b
Example:
  python -m benchmarks.topk --items 100000 --json
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks import measure
from illmrec.data.histories import Ragged, pack_rows
from illmrec.seeds import generator

K = 100
CENTRES = 256
RESERVE_BYTES = 2 << 30
"""Memory that stays free beside the vectors."""


@click.command(help=__doc__)
@click.option("--items", "catalogs", type=click.IntRange(min=K), multiple=True, help="Catalog size; may be repeated.")
@click.option("--width", type=click.IntRange(min=8), default=1536, show_default=True, help="Coordinates per vector.")
@click.option("--users", type=click.IntRange(min=1), default=256, show_default=True, help="Users searched for.")
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True, help="Measured pairs a row.")
@click.option("--quick", is_flag=True, help="10,000 items, 192 wide, 64 users.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(catalogs: tuple[int, ...], width: int, users: int, pairs: int, quick: bool, as_json: bool) -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(1)
    if quick:
        catalogs, width, users = (10_000,), 192, 64
    chosen = catalogs or (10_000, 100_000, 1_000_000)
    rows, recalls = measure_searches(chosen, width, users, pairs)
    settings: dict[str, Any] = {"k": K, "width": width, "users": users, "pairs": pairs, "threads": 1, "recall": recalls}
    measure.show("topk", settings | {"time": "CPU seconds a user"}, rows, as_json)


def measure_searches(
    catalogs: Sequence[int], width: int, users: int, pairs: int
) -> tuple[list[measure.Row], dict[str, float]]:
    """Return a row for each search and catalog that fits into memory, and each one's recall@100.

    Args:
        catalogs: numbers of items.
        width: coordinates per vector.
        users: users searched for.
        pairs: measured pairs a row.
    """
    rows: list[measure.Row] = []
    recalls: dict[str, float] = {}
    for n_items in catalogs:
        if 5 * n_items * width + RESERVE_BYTES > read_free_bytes():
            click.echo(f"{n_items:,} items are left out: too little memory.", err=True)
            continue
        _measure_catalog(n_items, width, users, pairs, rows, recalls)
    return rows, recalls


def _measure_catalog(
    n_items: int, width: int, users: int, pairs: int, rows: list[measure.Row], recalls: dict[str, float]
) -> None:
    from illmrec.scoring.search import open_search

    items, asked, seen = draw_vectors(n_items, width, users)

    def loop() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        return score_in_a_loop(asked, items, seen, K)

    expected = loop()
    names = ["exact", "coarse"] + (["faiss"] if importlib.util.find_spec("faiss") else [])
    for name in names:
        search = open_search(name, items)  # type: ignore[arg-type]
        found = search.search(asked, seen, K)
        case = f"top {K} of {n_items:,}: {name} beside a loop"
        hits = [len(set(a) & set(b)) for a, b in zip(found[0].tolist(), expected[0].tolist(), strict=True)]
        recalls[case] = float(np.mean(hits)) / K
        difference = float(np.abs(found[1] - expected[1]).max())
        rows.append(
            measure.compare(
                case,
                loop,
                lambda search=search: search.search(asked, seen, K),  # type: ignore[misc]
                pairs=pairs,
                max_abs_diff=difference,
                per=users,
            )
        )


def draw_vectors(n_items: int, width: int, users: int) -> tuple[Any, Any, Ragged]:
    """Return ``float32 [n_items, width]``, ``float32 [users, width]`` and what each user has seen."""
    rng = generator(n_items, width, "top k")
    centres = rng.standard_normal((CENTRES, width), dtype=np.float32)
    items = np.empty((n_items, width), dtype=np.float32)
    for start in range(0, n_items, 10_000):  # block by block: no second copy of a large catalog
        block = items[start : start + 10_000]
        rng.standard_normal(out=block, dtype=np.float32)
        block += centres[rng.integers(0, CENTRES, len(block))]
    asked = rng.standard_normal((users, width), dtype=np.float32) + centres[rng.integers(0, CENTRES, users)]
    seen = pack_rows([rng.integers(0, n_items, 20) for _ in range(users)])
    return items, asked, seen


def score_in_a_loop(
    users: npt.NDArray[np.float32], items: npt.NDArray[np.float32], seen: Ragged, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the k best unseen items of each user and their scores, one user after the other."""
    best = np.empty((len(users), k), dtype=np.int64)
    scores = np.empty((len(users), k), dtype=np.float32)
    for number, user in enumerate(users):
        everything = items @ user
        everything[seen[number]] = -np.inf
        order = np.argsort(-everything, kind="stable")[:k]
        best[number], scores[number] = order, everything[order]
    return best, scores


def read_free_bytes() -> int:
    """Return the memory that is left, as Linux tells it; without limit elsewhere."""
    try:
        with open("/proc/meminfo") as file:  # noqa: PTH123
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return 1 << 62


if __name__ == "__main__":
    main()
