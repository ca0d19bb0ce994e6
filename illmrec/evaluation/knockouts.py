"""Is the picture used? The model with wrong pictures, in the prompt, in retrieval or in both.

A trained model may rank well and hardly look at pictures. So each item's picture feature is replaced by a wrong one and
nothing else is changed: no training, no other feature, no text. If ranks stay as they were, the pictures did nothing
there. Items without a picture keep what stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Indices
from illmrec.evaluation.protocol import DotScorer
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.recommender import Recommender
from illmrec.seeds import generator

PICTURES = "image"
Wrong = Literal["shuffled", "constant", "noise"]
WRONGS: tuple[Wrong, ...] = ("shuffled", "constant", "noise")
Place = Literal["prompt", "retrieval", "both"]
PLACES: tuple[Place, ...] = ("prompt", "retrieval", "both")


@dataclass(frozen=True)
class Knockout:
    """One way to take the pictures away.

    Args:
        wrong: what stands in their place.
        place: where it does.
    """

    wrong: Wrong
    place: Place


def list_knockouts(model: Recommender) -> list[Knockout]:
    """Return those that can make a difference: pictures may be in the prompt, in retrieval, in both or nowhere."""
    in_prompt, in_retrieval = PICTURES in model.slot_kinds, PICTURES in model.parts.heads.kinds
    there = {"prompt": in_prompt, "retrieval": in_retrieval, "both": in_prompt and in_retrieval}
    places = [place for place in PLACES if there[place]]
    return [Knockout(wrong, place) for place in places for wrong in WRONGS]


def spoil_pictures(matrix: FeatureMatrix, wrong: Wrong, seed: int) -> FeatureMatrix:
    """Return a matrix in which every item with a picture has a wrong one; the other rows stay as they are.

    Args:
        matrix: picture features.
        wrong: ``shuffled``: the picture of another item, each picture used once. ``constant``: the mean picture.
            ``noise``: normal numbers with the mean and deviation of each coordinate.
        seed: draws them.
    """
    items = np.flatnonzero(matrix.present)
    rng = generator(seed, "knock-out", wrong)
    own = matrix.rows(items)
    if wrong == "shuffled":
        # One cycle through all items, so that none keeps its own.
        cycle = rng.permutation(len(items))
        rows = np.empty_like(own)
        rows[cycle] = own[np.roll(cycle, 1)]
    elif wrong == "constant":
        rows = np.broadcast_to(own.mean(axis=0), own.shape)
    else:
        rows = rng.standard_normal(own.shape, dtype=np.float32) * own.std(axis=0) + own.mean(axis=0)
    values = np.array(matrix.values)
    values[items] = rows.astype(values.dtype)
    return replace(matrix, values=values)


def show_pictures(model: Recommender, pictures: FeatureMatrix) -> Recommender:
    """Return the same trained model, sharing everything, with other picture features."""
    return Recommender(
        model.backbone,
        model.parts,
        model.prompt,
        {**model.features, PICTURES: pictures},
        model.history_limit,
        slot_kinds=model.slot_kinds,
        token_budget=model.token_budget,
    )


def score_knockouts(
    model: Recommender,
    histories: Sequence[Indices],
    users: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    *,
    batch_size: int,
    seed: int,
) -> Iterator[tuple[Knockout, DotScorer]]:
    """Yield a scorer for each knock-out; users are encoded once for each kind of wrong picture, items too.

    Args:
        model: the trained model.
        histories: per user the items known before the target.
        users: ``float32 [n, F * d]``: the intact users.
        items: ``float32 [n_items, F * d]``: the intact items.
        batch_size: users per forward pass of the language model.
        seed: draws the wrong pictures.
    """
    wanted = list_knockouts(model)
    for wrong in dict.fromkeys(knockout.wrong for knockout in wanted):
        spoiled = show_pictures(model, spoil_pictures(model.features[PICTURES], wrong, seed))
        places = {knockout.place: knockout for knockout in wanted if knockout.wrong == wrong}
        vectors = _project(spoiled, places, histories, users, items, batch_size)
        for place, knockout in places.items():
            yield knockout, DotScorer(*vectors[place])


def _project(
    spoiled: Recommender,
    places: Mapping[Place, Knockout],
    histories: Sequence[Indices],
    users: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    batch_size: int,
) -> dict[Place, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Return user and item vectors for each place: wrong on the side that the place names, else intact."""
    wrong_users, wrong_items = users, items
    if "prompt" in places:
        wrong_users = spoiled.project_users(spoiled.represent_users(histories, batch_size))
    if "retrieval" in places:
        wrong_items = spoiled.represent_items()
    sides = {"prompt": (wrong_users, items), "retrieval": (users, wrong_items), "both": (wrong_users, wrong_items)}
    return {place: sides[place] for place in places}
