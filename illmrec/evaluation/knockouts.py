"""Is the picture used, and is the language? The model with wrong pictures, or with wrong titles, and all else intact.

A trained model may rank well and hardly look at pictures. So each item's picture feature is replaced by a wrong one, in
the prompt, in retrieval or in both, and nothing else is changed: no training, no other feature, no text. If ranks stay
as they were, the pictures did nothing there. Items without a picture keep what stands in for it. The same is done with
the titles in the prompt, which are what a pretrained language model understands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Indices
from illmrec.evaluation.protocol import DotScorer
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.prompt import PromptForm, PromptTokens
from illmrec.models.recommender import Recommender
from illmrec.seeds import draw_cycle, generator

PICTURES = "image"
Wrong = Literal["shuffled", "constant", "noise", "left out"]
WRONGS: tuple[Wrong, ...] = ("shuffled", "constant", "noise")
Place = Literal["prompt", "retrieval", "both", "titles"]
PLACES: tuple[Place, ...] = ("prompt", "retrieval", "both")


@dataclass(frozen=True)
class Knockout:
    """One way to take the pictures away, or the titles.

    Args:
        wrong: what stands in their place.
        place: where it does; ``titles`` for those of the prompt.
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
        rows = own[draw_cycle(len(items), seed, "knock-out", wrong)]
    elif wrong == "constant":
        rows = np.broadcast_to(own.mean(axis=0), own.shape)
    else:
        rows = rng.standard_normal(own.shape, dtype=np.float32) * own.std(axis=0) + own.mean(axis=0)
    values = np.array(matrix.values)
    values[items] = rows.astype(values.dtype)
    return replace(matrix, values=values)


def show_pictures(model: Recommender, pictures: FeatureMatrix) -> Recommender:
    """Return the same trained model, sharing everything, with other picture features."""
    return _exchange(model, model.prompt, {**model.features, PICTURES: pictures})


def _exchange(model: Recommender, prompt: PromptTokens, features: Mapping[str, FeatureMatrix]) -> Recommender:
    return Recommender(
        model.backbone,
        model.parts,
        prompt,
        features,
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


def score_title_knockouts(
    model: Recommender,
    form: PromptForm,
    write: Callable[[PromptForm], PromptTokens],
    histories: Sequence[Indices],
    items: npt.NDArray[np.float32],
    *,
    batch_size: int,
) -> Iterator[tuple[Knockout, DotScorer]]:
    """Yield a scorer with every title another item's, and one with no titles; none where the prompt has none.

    Args:
        model: the trained model.
        form: how its prompt is written.
        write: the catalog's texts as another form writes them.
        histories: per user the items known before the target.
        items: ``float32 [n_items, F * d]``: the items, which have no titles.
        batch_size: users per forward pass of the language model.
    """
    if not form.title_tokens:
        return
    forms: dict[Wrong, PromptForm] = {"shuffled": replace(form, titles="shuffled")}
    if form.representation != "title":  # of which nothing would be left
        forms["left out"] = replace(form, title_tokens=0)
    for wrong, changed in forms.items():
        spoiled = _exchange(model, write(changed), model.features)
        users = spoiled.project_users(spoiled.represent_users(histories, batch_size))
        yield Knockout(wrong, "titles"), DotScorer(users, items)
