"""Training examples: which window of which user, against which negatives, in which order.

An epoch's plan is a pure function of the seed and the epoch, so a resumed run continues at any step with the draws it
would have made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Indices, Ragged, draw_starts
from illmrec.data.known_items import KnownItems
from illmrec.seeds import generator

Window = Literal["random", "last", "short"]
Supervision = Literal["last", "every"]
NegativeRule = Literal["unseen_shared", "any_per_type"]


@dataclass(frozen=True)
class EpochPlan:
    """One epoch's windows in training order; each asks for one or several targets.

    Args:
        users: ``int32 [n]``: user_index.
        starts: ``int64 [n]``: first position of the window in the packed sequences.
        ends: ``int64 [n]``: position of the last target; the window's history is ``[start, end)``.
        target_offsets: ``int64 [n + 1]``: window w has the targets ``[target_offsets[w], target_offsets[w + 1])``.
        targets: ``int64 [total targets]``: positions of the targets, each window's in order and ending with ``ends``.
        negatives: ``int32 [total targets, n, F]``: n negatives per target and feature type.
        alignment_targets: ``int64 [n]``: position of the target that alignment asks about, one of the window's.
        template_draws: ``float64 [n]`` in [0, 1): picks the alignment template among those this target can answer.
        hidden: ``bool [total]``: positions of the packed sequences whose picture is not shown; None for none.
    """

    users: Indices
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    target_offsets: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    negatives: Indices
    alignment_targets: npt.NDArray[np.int64]
    template_draws: npt.NDArray[np.float64]
    hidden: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.users)


def plan_epoch(
    sequences: Ragged,
    *,
    n_items: int,
    n_types: int,
    history_limit: int,
    window: Window,
    supervision: Supervision,
    negative_rule: NegativeRule,
    seed: int,
    epoch: int,
    n_negatives: int = 1,
    hide_share: float = 0.0,
    item_tokens: npt.NDArray[np.integer] | None = None,
    token_room: int | None = None,
) -> EpochPlan:
    """Draw the windows of one epoch: every user with at least two training interactions once.

    Args:
        sequences: training sequences, oldest first.
        n_items: size of the catalog.
        n_types: feature types F that get a negative each.
        history_limit: most items in a history.
        window: ``random``: the target is a uniformly drawn position, with all that precedes it up to the limit; where
            every position of a window is a target, whole sequences, and of longer ones a stretch (see
            :func:`illmrec.data.histories.draw_starts`). ``last``: the last position. ``short``: history lengths
            uniform on 2..4 half of the time, else on 2..9, as far as a sequence goes, then a target that has so many
            items before it (the authors' code).
        supervision: ``last``: the window's last position is the target; ``every``: so is every position but the first.
        negative_rule: ``unseen_shared``: one item outside the user's training sequence, for all types;
            ``any_per_type``: one item other than the target, drawn anew for each type (the authors' code).
        seed: seed of the run.
        epoch: number of the epoch.
        n_negatives: negatives of each target and type.
        hide_share: share of a history's pictures that are hidden, drawn anew each epoch.
        item_tokens: ``int [n_items]``: tokens of each item in a prompt; needed where ``token_room`` is given.
        token_room: most tokens of a history's items; the oldest ones beyond it are left out. None for no bound.
    """
    rng = generator(seed, "epoch", epoch)
    users = np.flatnonzero(sequences.lengths >= 2).astype(np.int32)
    users = users[rng.permutation(len(users))]
    if window == "random" and supervision == "every":
        starts = sequences.offsets[users] + draw_starts(sequences.lengths[users], history_limit + 1, rng)
        ends = np.minimum(starts + history_limit, sequences.offsets[users + 1] - 1)
    else:
        starts, ends = _draw_windows(rng, sequences, users, history_limit, window)
    if item_tokens is not None and token_room is not None:
        starts = _fit_tokens(sequences, starts, ends, item_tokens, token_room)
    counts = np.ones(len(users), dtype=np.int64) if supervision == "last" else ends - starts
    offsets = np.concatenate([[0], np.cumsum(counts)])
    targets = np.repeat(ends - offsets[1:] + 1, counts) + np.arange(offsets[-1])
    owners = np.repeat(users, counts * n_negatives)
    if negative_rule == "unseen_shared":
        negatives = np.repeat(KnownItems(sequences, n_items).draw_others(owners, rng)[:, None], n_types, axis=1)
    else:
        negatives = rng.integers(0, n_items - 1, (len(owners), n_types))
        negatives += negatives >= np.repeat(sequences.values[targets], n_negatives)[:, None]
    shaped = negatives.reshape(len(targets), n_negatives, n_types).astype(np.int32)
    draws = rng.random(len(users))
    hidden = rng.random(len(sequences.values)) < hide_share if hide_share else None
    # Where windows move little from epoch to epoch, alignment would otherwise ask about the same items again and again.
    picked = targets[offsets[:-1] + rng.integers(0, counts)] if supervision == "every" else ends
    return EpochPlan(users, starts, ends, offsets, targets, shaped, picked, draws, hidden)


def _fit_tokens(
    sequences: Ragged,
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    item_tokens: npt.NDArray[np.integer],
    room: int,
) -> npt.NDArray[np.int64]:
    """Return where histories start that have at most ``room`` tokens; the most recent item always stays."""
    before = np.concatenate([[0], np.cumsum(item_tokens[sequences.values], dtype=np.int64)])
    fitting = np.searchsorted(before, before[ends] - room, side="left")
    return np.maximum(starts, np.minimum(fitting, ends - 1))


def _draw_windows(
    rng: np.random.Generator, sequences: Ragged, users: Indices, history_limit: int, window: Window
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    first, past = sequences.offsets[users], sequences.offsets[users + 1]
    if window == "short":
        short = rng.random(len(users)) < 0.5
        lengths = np.where(short, rng.integers(2, 5, len(users)), rng.integers(2, 10, len(users)))
        lengths = np.minimum(np.minimum(lengths, history_limit), past - first - 1)
        ends = rng.integers(first + lengths, past)
        return ends - lengths, ends
    ends = past - 1 if window == "last" else rng.integers(first + 1, past)
    return np.maximum(first, ends - history_limit), ends
