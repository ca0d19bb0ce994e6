r"""Time and memory of full-catalog ranking with metrics, beside a plain loop over users.

Random user and item vectors, random histories and targets, one row for each size of the catalog. Scores are dot
products in single precision of small whole numbers: exact in any order of summing, so both sides see the same ties.
Both rank every user's target among all items outside the history, with ties averaged, compute Hit, NDCG and MRR at 10,
and list each user's ten best items:

  reference  one user after the other: scores of all items, history left out, ranks by comparing, a sorted list
  ours       blocks of users; ranks, ties and lists in one pass over the scores

The difference is the largest difference of a rank, a metric or a list's place. One thread each.

\b
Example:
  python -m benchmarks.evaluation --quick --json
  python -m benchmarks.evaluation --items 10000 --users 25000 --width 1536 --pairs 1
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read once, when NumPy is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks import measure
from illmrec.data.histories import Ragged
from illmrec.evaluation.metrics import compute_metrics
from illmrec.evaluation.protocol import Cases, DotScorer, rank_cases
from illmrec.seeds import generator

ITEMS = (1_000, 10_000, 100_000)
USERS = {1_000: 25_000, 10_000: 25_000, 100_000: 2_000}
QUICK_USERS = {1_000: 1_000, 10_000: 500, 100_000: 50}
HISTORY, WIDTH, K, PAIRS = 8, 64, 10, 5

Floats = npt.NDArray[np.float32]


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Fewer users; ends within 50 seconds.")
@click.option("--items", multiple=True, type=click.IntRange(min=100), help="Sizes in place of the three.")
@click.option("--users", type=click.IntRange(min=1), help="Users in place of those that suit the size.")
@click.option("--width", default=WIDTH, show_default=True, type=click.IntRange(min=1), help="Width of the vectors.")
@click.option("--pairs", default=PAIRS, show_default=True, type=click.IntRange(min=1), help="Measured pairs a row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(quick: bool, items: tuple[int, ...], users: int | None, width: int, pairs: int, as_json: bool) -> None:
    """Measure and print."""
    suited = QUICK_USERS if quick else USERS
    rows = [_measure(users or suited.get(size, 1_000), size, width, pairs) for size in items or ITEMS]
    settings: dict[str, Any] = {
        "data": "random vectors, histories and targets",
        "width": width,
        "history": HISTORY,
        "k": K,
        "pairs": pairs,
        "threads": 1,
        "time": "CPU seconds",
    }
    measure.show("evaluation", settings, rows, as_json)


def _measure(users: int, items: int, width: int, pairs: int) -> measure.Row:
    rng = generator("benchmark", users, items, width)
    vectors = [rng.integers(-8, 9, (count, width)).astype(np.float32) for count in (users, items)]
    histories = rng.integers(0, items, (users, HISTORY)).astype(np.int32)
    targets = rng.integers(0, items, users).astype(np.int32)
    plain, ours = rank_plainly(*vectors, histories, targets), rank(*vectors, histories, targets)
    difference = max(float(np.abs(plain[name] - ours[name]).max()) for name in plain)
    return measure.compare(
        f"{users:,} users, {items:,} items",
        lambda: rank_plainly(*vectors, histories, targets),
        lambda: rank(*vectors, histories, targets),
        pairs=pairs,
        max_abs_diff=difference,
    )


def rank(users: Floats, items: Floats, histories: npt.NDArray[np.int32], targets: npt.NDArray[np.int32]) -> Any:
    """Return ranks, metrics and lists as the evaluation finds them."""
    known = Ragged(histories.ravel(), np.arange(len(users) + 1) * histories.shape[1])
    cases = Cases(np.arange(len(users)), known, Ragged(targets, np.arange(len(users) + 1)))
    found = rank_cases(DotScorer(users, items), cases, list_length=K)
    metrics = compute_metrics(found.ranks["full"], (K,))
    return {"rank": found.ranks["full"], "list": found.lists} | {str(name): each for name, each in metrics.items()}


def rank_plainly(users: Floats, items: Floats, histories: npt.NDArray[np.int32], targets: npt.NDArray[np.int32]) -> Any:
    """Return the same, one user at a time."""
    facts: dict[str, list[Any]] = {"rank": [], "list": [], f"hit@{K}": [], f"ndcg@{K}": [], f"mrr@{K}": [], "mrr": []}
    for user, target in enumerate(targets):
        scores = items @ users[user]
        others = np.ones(len(items), dtype=np.bool_)
        others[histories[user]] = others[target] = False
        rank = 1 + (scores[others] > scores[target]).sum() + (scores[others] == scores[target]).sum() / 2
        facts["rank"].append(rank)
        facts[f"hit@{K}"].append(float(rank <= K))
        facts[f"ndcg@{K}"].append(1 / np.log2(rank + 1) if rank <= K else 0.0)
        facts[f"mrr@{K}"].append(1 / rank if rank <= K else 0.0)
        facts["mrr"].append(1 / rank)
        scores[histories[user]] = -np.inf
        facts["list"].append(np.argsort(-scores, kind="stable")[:K].copy())
    return {name: np.array(values) for name, values in facts.items()}


if __name__ == "__main__":
    main()
