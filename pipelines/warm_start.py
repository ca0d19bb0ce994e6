"""Training that begins with the champion's tensors instead of random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from illmrec.config import RegisterConfig
from pipelines.context import Context
from pipelines.layout import Layout
from pipelines.release import Release

if TYPE_CHECKING:
    from torch import Tensor

    from illmrec.models.recommender import Recommender

CF_HEAD, ADAPTOR = "heads.item.cf.", "adaptor."


@dataclass(frozen=True)
class Start:
    """Where training begins.

    Args:
        version: registered version the tensors are of.
        tensors_sha256: digest of its file.
        tensors: by name.
        left_out: beginnings of names that are not taken over.
    """

    version: str
    tensors_sha256: str
    tensors: Mapping[str, Tensor]
    left_out: tuple[str, ...]

    def apply(self, recommender: Recommender) -> dict[str, Any]:
        """Put the tensors whose name and shape fit into a model; return what was taken and what was not."""
        import torch

        from illmrec.models.centring import unfold_layers

        taken, kept = [], []
        with torch.no_grad():
            for name, value in recommender.named_parameters().items():
                given = self.tensors.get(name)
                if given is None or given.shape != value.shape or name.startswith(self.left_out or ("\0",)):
                    kept.append(name)
                    continue
                value.copy_(given.to(value.dtype))
                taken.append(name)
        unfold_layers(recommender.parts, taken)
        about = {"version": self.version, "tensors_sha256": self.tensors_sha256}
        return {**about, "taken": len(taken), "new": sorted(kept)}


def find_start(context: Context) -> Start:
    """Return the champion's tensors.

    What reads CF rows is left out when the rows are others than the champion's: SASRec trained anew puts items
    elsewhere, and a head or an adaptor for the old places would begin worse than a random one.

    Raises:
        ModelError: when there is no champion, or its files do not verify.
    """
    from illmrec.training.checkpoint import read_tensors
    from pipelines.release import DIGEST_TAGS, fetch_release
    from pipelines.tracking import CHAMPION, Tracker

    layout = context.layout
    tracker = Tracker(layout.root)
    champion = tracker.resolve(context.section(RegisterConfig).name_prefix + layout.dataset, CHAMPION)
    release = fetch_release(layout, tracker, champion)
    saved = read_tensors(release.folder)
    left_out = () if has_same_cf(layout, release, saved.state) else list_cf_readers(saved.state)
    return Start(champion.version, champion.tags[DIGEST_TAGS["tensors.safetensors"]], saved.tensors, left_out)


def list_cf_readers(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the beginnings of the names of all tensors that read CF rows."""
    from pipelines.assembly import read_form
    from pipelines.carry_over import CF

    return (CF_HEAD, ADAPTOR) if CF in read_form(state["settings"]).slot_kinds else (CF_HEAD,)


def has_same_cf(layout: Layout, release: Release, state: Mapping[str, Any]) -> bool:
    """Return whether today's CF rows of the items a version knows are the ones it was trained with."""
    import polars as pl

    from pipelines.assembly import list_feature_types, load_catalog, load_features
    from pipelines.carry_over import CF, TRAINED_ITEMS_FILE, read_trained_items

    if CF not in list_feature_types(state["settings"]) or release.find(TRAINED_ITEMS_FILE) is None:
        return False
    known = read_trained_items(release, state["item_digest"])
    catalog = load_catalog(layout)
    today = load_features(layout, catalog, (CF,))[CF]
    places = catalog.index_items(pl.Series(known.item_ids, dtype=pl.String))
    there = places >= 0
    if known.cf is None or not there.any() or known.cf.header.width != today.header.width:
        return False
    return bool(np.array_equal(today.values[places[there]], known.cf.values[there]))
