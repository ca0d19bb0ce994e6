"""Time to read a user, by the length of the history and by what an item is written as."""

from __future__ import annotations

import time

import numpy as np

from illmrec.models.recommender import Recommender
from illmrec.seeds import generator
from pipelines.assembly.recommender import build_recommender
from pipelines.parameters.training import TrainConfig
from pipelines.studies.overall import REPRESENTATIONS
from pipelines.studies.plots import lines
from pipelines.studies.study import Bench, Row, Study

LENGTHS = (5, 10, 20, 50)
WRITTEN = ("image", "image+description", "summary", "attribute", "description")
USERS = 32
"""Users of one forward pass."""
PASSES = 5


def measure(bench: Bench) -> list[Row]:
    """Read made-up histories of each length with untrained parts: time does not depend on what was learned."""
    config, shelf = bench.context.section(TrainConfig), bench.shelf
    rows = []
    for name in WRITTEN:
        changed = {"representation": name, "history_limit": max(LENGTHS), "image_dropout": 0.0, "token_budget": None}
        model = build_recommender(shelf, shelf.catalog, config.model_copy(update=changed))
        for length in LENGTHS:
            tokens = float(model.prompt.items.lengths.mean()) * length + model.prompt.constant_tokens
            rows.append(
                {"model": REPRESENTATIONS[name], "items": length, "tokens": tokens, "ms_per_user": _time(model, length)}
            )
    return rows


def _time(model: Recommender, length: int) -> float:
    """Return the milliseconds to read a user in the fastest of several passes, which other work disturbs least."""
    rng = generator(0, "inference time", length)
    histories = [rng.integers(0, model.n_items, length).astype(np.int32) for _ in range(USERS)]
    model.represent_users(histories, USERS)
    took = []
    for _ in range(PASSES):
        start = time.perf_counter()
        model.represent_users(histories, USERS)
        took.append((time.perf_counter() - start) / USERS * 1e3)
    return min(took)


STUDY = Study(
    title="Inference time",
    question="Milliseconds to read one user on this machine, by the number of items in the history and by what an "
    "item is written as. Histories are drawn at random from the catalog; features are cached, as in the paper.",
    paper="Figure 3",
    measure=measure,
    shown=("model", "items", "tokens", "ms_per_user"),
    draw=lines("items", "ms_per_user", "model", "items of the history", "ms per user"),
    seeded=False,
    trains=False,
)
