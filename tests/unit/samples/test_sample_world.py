"""The planted structure: what decides the next item, and by how much."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from illmrec.samples import amazon, hm, microlens
from illmrec.samples.styles import STYLES, count_shared_attributes
from illmrec.samples.world import Plan, World, build_world

PLANS = {"amazon": amazon.PLAN, "hm": hm.PLAN, "microlens": microlens.PLAN}


@pytest.fixture(scope="module", params=list(PLANS))
def world(request: pytest.FixtureRequest) -> World:
    return build_world(request.param, PLANS[request.param], seed=0)


def repeat_lift(world: World, values: np.ndarray) -> float:
    """How many times more often an item shares its value with the user's previous item than with a random one."""
    events = world.events.with_columns(value=pl.Series(values[world.events["item"].to_numpy()]))
    pairs = events.with_columns(previous=pl.col("value").shift(1).over("user")).drop_nulls()
    shares = pairs["value"].value_counts()["count"].to_numpy() / pairs.height
    observed = (pairs["value"] == pairs["previous"]).to_numpy().mean()
    return float(observed / (shares**2).sum())


def test_style_of_the_last_item_predicts_the_next_far_better_than_chance(world: World) -> None:
    assert repeat_lift(world, world.style) > 5.0


def test_category_predicts_the_next_item_too_but_less(world: World) -> None:
    lift = repeat_lift(world, world.category)
    assert 1.5 < lift < 0.5 * repeat_lift(world, world.style)


def test_a_value_that_nobody_cares_about_predicts_nothing(world: World) -> None:
    indifferent = np.random.default_rng(0).permutation(world.style)
    assert repeat_lift(world, indifferent) == pytest.approx(1.0, abs=0.35)


def test_recent_items_predict_better_than_old_ones(world: World) -> None:
    events = world.events.with_columns(style=pl.Series(world.style[world.events["item"].to_numpy()]))
    lagged = events.with_columns(
        recent=pl.col("style").shift(1).over("user"), old=pl.col("style").shift(5).over("user")
    ).drop_nulls()
    recent = (lagged["style"] == lagged["recent"]).to_numpy().mean()
    old = (lagged["style"] == lagged["old"]).to_numpy().mean()
    assert recent > 1.3 * old


def test_style_is_independent_of_category_and_brand(world: World) -> None:
    for values in (world.category, world.brand):
        table = np.histogram2d(world.style, values, bins=(len(STYLES), values.max() + 1))[0]
        expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
        cells = (table.shape[0] - 1) * (table.shape[1] - 1)
        chi_squared = ((table - expected) ** 2 / expected).sum()
        assert chi_squared < cells + 4 * np.sqrt(2 * cells)


def test_a_user_takes_an_item_once(world: World) -> None:
    assert not world.events.select("user", "item").is_duplicated().any()


def test_nearly_everything_survives_the_5_core(world: World) -> None:
    core, before = world.events, None
    while core.height != before:
        before = core.height
        core = core.filter(pl.len().over("item") >= 5)
        core = core.filter(pl.len().over("user") >= 5)
    assert core["user"].n_unique() > 0.95 * world.plan.users
    assert core["item"].n_unique() > 0.95 * world.plan.items
    assert core.height > 0.95 * world.events.height


def test_sizes_and_clock_follow_the_plan(world: World) -> None:
    plan = world.plan
    assert world.events["user"].n_unique() == plan.users
    assert 8.0 < world.events.height / plan.users < 10.0
    assert (~world.has_image).sum() == round(plan.imageless_share * plan.items)
    assert plan.start <= world.events["second"].min()
    assert world.events["second"].max() < plan.start + plan.days * 86_400
    assert (world.events.select(pl.col("second").diff().over("user")).drop_nulls() >= 0).to_series().all()


def test_popularity_is_skewed_and_some_items_come_late(world: World) -> None:
    counts = np.sort(np.bincount(world.events["item"].to_numpy(), minlength=world.plan.items))[::-1]
    assert counts[: len(counts) // 10].sum() > 2 * 0.1 * counts.sum()
    first = world.events.group_by("item").agg(pl.col("second").min())["second"].to_numpy() - world.plan.start
    late = (first > 0.6 * world.plan.days * 86_400).mean()
    assert 0.05 < late < 0.2


def test_the_seed_and_the_name_decide_everything() -> None:
    plan = Plan(users=40, items=60, categories=4, brands=5, start=0, days=100)
    first, again = build_world("amazon", plan, 1), build_world("amazon", plan, 1)
    assert first.events.equals(again.events)
    assert (first.style == again.style).all()
    assert not first.events.equals(build_world("amazon", plan, 2).events)
    assert not first.events.equals(build_world("hm", plan, 1).events)


def test_shared_attributes_are_counted() -> None:
    shared = count_shared_attributes()
    for a, one in enumerate(STYLES):
        for b, other in enumerate(STYLES):
            same = (one.shape == other.shape) + (one.colour == other.colour) + (one.pattern == other.pattern)
            assert shared[a, b] == same
