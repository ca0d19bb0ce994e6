"""What a user costs to serve, measured once when a version is registered, so that promotion can compare."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass

import numpy as np

from illmrec.models.recommender import Recommender
from illmrec.scoring.head import Head
from illmrec.scoring.topk import ExactSearch
from pipelines.assembly.loading import pick_device
from pipelines.assembly.recommender import load_recommender
from pipelines.project.shelf import Shelf

ROUNDS = 3
TOP = 20


@dataclass(frozen=True)
class ServingCost:
    """The figures.

    Args:
        latency_ms: processor milliseconds a user on a CPU, wall milliseconds on a GPU; median of a few rounds.
        memory_mb: weights, features and projected items, computed from their sizes.
        fallback_share: share of items without a readable picture.
        machine: what the latency was measured on: processor kind, threads, device.
        users: how many were served in a round.
        prompt_tokens: mean tokens of a user's history.
        trained_parameters: learned numbers.
        backbone_parameters: numbers of the language model, learned or not.
    """

    latency_ms: float
    memory_mb: float
    fallback_share: float
    machine: str
    users: int
    prompt_tokens: float
    trained_parameters: int
    backbone_parameters: int

    def as_tags(self) -> dict[str, str]:
        """Return it as tags of a version."""
        return {
            "serving/latency_ms_per_user": f"{self.latency_ms:.4g}",
            "serving/memory_mb": f"{self.memory_mb:.4g}",
            "serving/fallback_share": f"{self.fallback_share:.6f}",
            "serving/machine": self.machine,
            "serving/prompt_tokens": f"{self.prompt_tokens:.4g}",
            "serving/trained_parameters": str(self.trained_parameters),
            "serving/backbone_parameters": str(self.backbone_parameters),
        }


def probe_serving(shelf: Shelf, users: int) -> ServingCost:
    """Serve a few users as a night does, up to the list of items, and measure it.

    Args:
        shelf: of the data set; its model and head must be there.
        users: how many; the first ones that have a history.
    """
    model = load_recommender(shelf, shelf.layout.model)
    head = Head(shelf.layout.head / "head.onnx")
    seen = shelf.sequences.histories("test").take(np.arange(min(users, len(shelf.sequences))))
    histories = [seen[user] for user in range(len(seen))]
    items = head.project_items({kind: model.features[kind].values for kind in head.kinds})
    search = ExactSearch(items)
    device = pick_device()
    clock = time.process_time if device == "cpu" else time.perf_counter
    rounds = []
    for _ in range(ROUNDS + 1):  # the first one warms up
        started = clock()
        search.search(head.project_users(model.represent_users(histories, 64)), seen, TOP)
        rounds.append((clock() - started) * 1000.0 / max(1, len(histories)))
    tokens = model.prompt.items.lengths
    return ServingCost(
        latency_ms=float(np.median(rounds[1:])),
        memory_mb=(_size_of_model(model) + items.nbytes) / 1e6,
        fallback_share=float((~model.features["image"].present).mean()),
        machine=f"{platform.machine()} {device}, {os.environ.get('OMP_NUM_THREADS') or os.cpu_count()} threads",
        users=len(histories),
        prompt_tokens=float(np.mean([tokens[model.cut_history(history)].sum() for history in histories])),
        trained_parameters=sum(value.numel() for value in model.named_parameters().values()),
        backbone_parameters=sum(value.numel() for value in model.backbone.weights()),
    )


def _size_of_model(model: Recommender) -> int:
    """Return the bytes of weights and features."""
    parts = sum(value.numel() * value.element_size() for value in model.parts.parameters())
    return model.backbone.weight_bytes + parts + sum(int(matrix.values.nbytes) for matrix in model.features.values())
