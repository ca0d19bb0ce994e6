"""Training that begins with the champion's tensors instead of random ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from illmrec.models.prompt import PromptForm
from illmrec.training.checkpoint import read_tensors
from pipelines.assembly.recommender import list_feature_types, read_config
from pipelines.assembly.trainer import Start
from pipelines.project.context import Context
from pipelines.project.shelf import Shelf
from pipelines.registry.registry import Registry
from pipelines.registry.trained_items import CF, TRAINED_ITEMS_FILE, read_trained_items
from pipelines.registry.version import DIGEST_TAGS
from pipelines.registry.version_files import VersionFiles

CF_HEAD, ADAPTOR = "heads.item.cf.", "adaptor."


def find_start(context: Context) -> Start:
    """Return the champion's tensors.

    What reads CF rows is left out when the rows are others than the champion's: SASRec trained anew puts items
    elsewhere, and a head or an adaptor for the old places would begin worse than a random one.

    Raises:
        ModelError: when there is no champion, or its files do not verify.
    """
    registry = Registry(context)
    champion = registry.champion
    files = registry.fetch(champion)
    saved = read_tensors(files.folder)
    left_out = () if has_same_cf(context.shelf, files, saved.state) else list_cf_readers(saved.state)
    return Start(champion.number, champion.tags[DIGEST_TAGS["tensors.safetensors"]], saved.tensors, left_out)


def list_cf_readers(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the beginnings of the names of all tensors that read CF rows."""
    return (CF_HEAD, ADAPTOR) if CF in read_config(state).make(PromptForm).slot_kinds else (CF_HEAD,)


def has_same_cf(shelf: Shelf, files: VersionFiles, state: Mapping[str, Any]) -> bool:
    """Return whether today's CF rows of the items a version knows are the ones it was trained with."""
    if CF not in list_feature_types(read_config(state)) or files.find(TRAINED_ITEMS_FILE) is None:
        return False
    known = read_trained_items(files, state["item_digest"])
    today = shelf.open_features(CF)[CF]
    places = known.find_places(shelf.catalog)
    there = places >= 0
    if known.cf is None or not there.any() or known.cf.header.width != today.header.width:
        return False
    return bool(np.array_equal(today.values[places[there]], known.cf.values[there]))
