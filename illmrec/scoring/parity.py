"""How far the exported head is from the one that was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Ragged
from illmrec.scoring.head import Head
from illmrec.scoring.topk import ExactSearch

_TOP = 10


@dataclass(frozen=True)
class Parity:
    """The comparison.

    Args:
        max_user_difference: largest absolute difference of a projected user's coordinate.
        max_item_difference: the same for items.
        same_top10_share: share of users whose ten best unseen items are the same, in the same order.
        users: users compared.
    """

    max_user_difference: float
    max_item_difference: float
    same_top10_share: float
    users: int


def compare_head(
    head: Head,
    hidden: npt.NDArray[np.float32],
    features: Mapping[str, npt.NDArray[np.floating]],
    seen: Ragged,
    expected_users: npt.NDArray[np.float32],
    expected_items: npt.NDArray[np.float32],
) -> Parity:
    """Compare projections and rankings of ``head`` with those of the trained model.

    Args:
        head: the exported head.
        hidden: ``float32 [n_users, d_llm]``: user representations.
        features: per feature type ``[n_items, d_f]``.
        seen: items to leave out per user.
        expected_users: ``float32 [n_users, F * d]`` of the trained model.
        expected_items: ``float32 [n_items, F * d]`` of the trained model.
    """
    users, items = head.project_users(hidden), head.project_items(features)
    ours, _ = ExactSearch(items).search(users, seen, _TOP)
    theirs, _ = ExactSearch(expected_items).search(expected_users, seen, _TOP)
    return Parity(
        max_user_difference=float(np.abs(users - expected_users).max()),
        max_item_difference=float(np.abs(items - expected_items).max()),
        same_top10_share=float((ours == theirs).all(axis=1).mean()),
        users=len(users),
    )
