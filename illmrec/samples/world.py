"""The planted structure of the synthetic catalogs, independent of any publisher's layout.

Each user favours two visual styles at a time, two categories and two brands. One favourite style is current: it decides
most of the next choice, may give way to the other favourite, and drifts to a neighbouring style. Category and brand
pull less than style. Item popularity is skewed, and some items appear late. A user takes an item at most once here;
repeats are dirt that the writers add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.samples.styles import STYLES, count_shared_attributes
from illmrec.seeds import generator

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SECONDS_PER_DAY = 86_400

STYLE_PULL = (0.0, 0.0, 1.2, 5.2)
"""Log weight of an item that shares 0, 1, 2 or all 3 attributes with the user's current style."""
CATEGORY_PULL = 2.6
BRAND_PULL = 1.6
SWITCH_PROBABILITY = 0.12
"""Chance, before each choice, that the user's other favourite style becomes current."""
DRIFT_PROBABILITY = 0.08
"""Chance, before each choice, that the current favourite gives way to a style that shares two attributes with it."""
POPULARITY_EXPONENT = 0.65
LATE_SHARE = 0.1
LATE_POPULARITY = 3.0
"""Late items are shown to more people, or nothing would be known about them."""
SHORT_HISTORY_SHARE = 0.02
MIN_LENGTH, MAX_LENGTH = 5, 40


@dataclass(frozen=True)
class Plan:
    """Size and clock of one catalog."""

    users: int
    items: int
    categories: int
    brands: int
    start: int
    """First possible timestamp, seconds since 1970 UTC, at midnight."""
    days: int
    mean_length: float = 9.0
    """Mean interactions per user, for users who are not short on purpose."""
    session_share: float = 0.15
    """Share of interactions that follow the user's previous one within minutes."""
    imageless_share: float = 0.06


@dataclass(frozen=True)
class World:
    """Items and interactions before any publisher's layout or dirt.

    Attributes:
        plan: what was asked for.
        style: int64 [items]: index into :data:`illmrec.samples.styles.STYLES`.
        category: int64 [items]: 0 to ``plan.categories - 1``.
        brand: int64 [items]: 0 to ``plan.brands - 1``.
        has_image: bool [items]: False where the publisher has no picture.
        events: columns user, item (indices) and second (since 1970 UTC), ordered by user, then time.
    """

    plan: Plan
    style: Integers
    category: Integers
    brand: Integers
    has_image: Mask
    events: pl.DataFrame


def build_world(name: str, plan: Plan, seed: int) -> World:
    """Return the catalog ``name`` of ``seed``: the same arguments give the same world."""
    rng = generator(seed, name, "items")
    style = _spread(plan.items, len(STYLES), rng)
    category = _spread(plan.items, plan.categories, rng)
    brand = _spread(plan.items, plan.brands, rng)
    has_image = np.ones(plan.items, dtype=np.bool_)
    has_image[rng.choice(plan.items, round(plan.imageless_share * plan.items), replace=False)] = False
    late = rng.random(plan.items) < LATE_SHARE
    release = np.where(late, rng.uniform(0.6, 0.85, plan.items), 0.0) * plan.days * SECONDS_PER_DAY
    popularity = (1.0 + rng.permutation(plan.items)) ** -POPULARITY_EXPONENT * np.where(late, LATE_POPULARITY, 1.0)

    schedule = _schedule(plan, generator(seed, name, "times"))
    pull = _pull_of_tastes(plan, category, brand, generator(seed, name, "tastes")) + np.log(popularity)
    events = _simulate(schedule, style, pull, release, generator(seed, name, "choices"))
    return World(plan, style, category, brand, has_image, events.with_columns(pl.col("second") + plan.start))


def _spread(count: int, kinds: int, rng: np.random.Generator) -> Integers:
    """Return int64 [count]: every kind equally often, up to one, in random order."""
    return rng.permutation(np.arange(count, dtype=np.int64) % kinds)


def _schedule(plan: Plan, rng: np.random.Generator) -> Floats:
    """Return float64 [users, MAX_LENGTH]: seconds since the start, ascending, infinite past a user's last."""
    extra = rng.negative_binomial(2, 2 / (2 + plan.mean_length - MIN_LENGTH), plan.users)
    short = rng.random(plan.users) < SHORT_HISTORY_SHARE
    lengths = np.where(short, rng.integers(1, MIN_LENGTH, plan.users), np.minimum(MIN_LENGTH + extra, MAX_LENGTH))
    begin = rng.uniform(0.0, 0.7, (plan.users, 1))
    times = begin + (0.999 - begin) * rng.random((plan.users, MAX_LENGTH))
    seconds = np.floor(times * plan.days * SECONDS_PER_DAY)
    seconds[np.arange(MAX_LENGTH) >= lengths[:, None]] = np.inf
    seconds.sort(axis=1)
    joins = rng.random(seconds.shape) < plan.session_share
    pause = rng.integers(30, 900, seconds.shape).astype(np.float64)
    for step in range(1, MAX_LENGTH):
        joined = joins[:, step] & np.isfinite(seconds[:, step])
        seconds[:, step] = np.where(joined, seconds[:, step - 1] + pause[:, step], seconds[:, step])
    seconds.sort(axis=1)
    return seconds


def _pull_of_tastes(plan: Plan, category: Integers, brand: Integers, rng: np.random.Generator) -> Floats:
    """Return float64 [users, items]: log weights of each user's two categories and two brands."""
    pull = np.zeros((plan.users, plan.items))
    for kinds, of_item, strength in ((plan.categories, category, CATEGORY_PULL), (plan.brands, brand, BRAND_PULL)):
        favourites = rng.random((plan.users, kinds)).argsort(axis=1)[:, :2]
        pull += strength * (favourites[:, :, None] == of_item).any(axis=1)
    return pull


def _simulate(
    schedule: Floats, style: Integers, pull: Floats, release: Floats, rng: np.random.Generator
) -> pl.DataFrame:
    """Let every user choose step by step; return the events."""
    shared = count_shared_attributes()
    style_pull = np.asarray(STYLE_PULL)[shared][:, style]
    neighbours = np.stack([np.flatnonzero(row == 2) for row in shared])
    favourites = rng.random((len(schedule), len(STYLES))).argsort(axis=1)[:, :2]
    taken = np.zeros(pull.shape, dtype=np.bool_)
    steps = []
    for step in range(schedule.shape[1]):
        users = np.flatnonzero(np.isfinite(schedule[:, step]))
        favourites[users] = _drift(favourites[users], neighbours, rng)
        score = pull[users] + style_pull[favourites[users, 0]] + rng.gumbel(size=(len(users), len(style)))
        score[taken[users] | (release > schedule[users, step][:, None])] = -np.inf
        chosen = score.argmax(axis=1)
        taken[users, chosen] = True
        steps.append(pl.DataFrame({"user": users, "item": chosen, "second": schedule[users, step].astype(np.int64)}))
    return pl.concat(steps).sort("user", "second", maintain_order=True)


def _drift(favourites: Integers, neighbours: Integers, rng: np.random.Generator) -> Integers:
    """Return int64 [users, 2]: favourite styles, current first, before the next choice."""
    switched = np.where(rng.random((len(favourites), 1)) < SWITCH_PROBABILITY, favourites[:, ::-1], favourites)
    drifting = rng.random(len(favourites)) < DRIFT_PROBABILITY
    step = neighbours[switched[:, 0], rng.integers(0, neighbours.shape[1], len(favourites))]
    return np.stack([np.where(drifting, step, switched[:, 0]), switched[:, 1]], axis=1)
