"""Wrong pictures and titles: only where they should be, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.tiny import FORM, build_recommender
from illmrec.evaluation.knockouts import (
    PICTURES,
    PLACES,
    WRONGS,
    list_knockouts,
    score_knockouts,
    score_title_knockouts,
    show_pictures,
    spoil_pictures,
)
from illmrec.features.matrix import FeatureMatrix, MatrixHeader
from illmrec.models.backbone import Backbone
from illmrec.models.prompt import PromptForm, PromptTokens, tokenize_prompt
from illmrec.models.recommender import Recommender

HISTORIES = [np.array(row, dtype=np.int32) for row in ([0, 3, 5], [6], [1, 10, 4, 8, 9], [13, 14, 15])]


@pytest.fixture(scope="module")
def model(tiny_backbone: Backbone, tiny_items: pl.DataFrame) -> Recommender:
    return build_recommender(tiny_backbone, tiny_items)


def make_matrix(items: int = 400, missing: int = 50) -> FeatureMatrix:
    values = np.random.default_rng(0).normal(2.0, 0.5, (items, 6)).astype(np.float16)
    present = np.arange(items) >= missing
    return FeatureMatrix(MatrixHeader("image", "x", "0", 6, "rms", "d", missing, "mean"), values, present)


@pytest.mark.parametrize("wrong", WRONGS)
def test_items_without_a_picture_keep_what_they_have(wrong: str) -> None:
    matrix = make_matrix()
    spoiled = spoil_pictures(matrix, wrong, 0)
    assert np.array_equal(spoiled.values[:50], matrix.values[:50])
    assert not (spoiled.values[50:] == matrix.values[50:]).all(axis=1).any()
    assert spoiled.values.dtype == np.float16
    assert np.array_equal(spoiled.present, matrix.present)


def test_shuffled_pictures_are_the_same_pictures() -> None:
    matrix = make_matrix()
    spoiled = spoil_pictures(matrix, "shuffled", 0)
    assert np.array_equal(np.sort(spoiled.values, axis=0)[:, 0], np.sort(matrix.values, axis=0)[:, 0])
    rows = {row.tobytes() for row in matrix.values[50:]}
    assert {row.tobytes() for row in spoiled.values[50:]} == rows
    assert np.array_equal(spoiled.values, spoil_pictures(matrix, "shuffled", 0).values)
    assert not np.array_equal(spoiled.values, spoil_pictures(matrix, "shuffled", 1).values)


def test_the_constant_picture_is_the_mean() -> None:
    matrix = make_matrix()
    spoiled = spoil_pictures(matrix, "constant", 0).values[50:].astype(np.float32)
    assert (spoiled == spoiled[0]).all()
    assert spoiled[0] == pytest.approx(matrix.values[50:].astype(np.float64).mean(axis=0), abs=2e-3)


def test_noise_has_the_mean_and_deviation_of_pictures() -> None:
    matrix = make_matrix(4000)
    spoiled = spoil_pictures(matrix, "noise", 0).values[50:].astype(np.float64)
    own = matrix.values[50:].astype(np.float64)
    assert np.abs(spoiled.mean(axis=0) - own.mean(axis=0)).max() < 5 * 0.5 / np.sqrt(3950)
    assert spoiled.std(axis=0) == pytest.approx(own.std(axis=0), rel=0.06)


def test_each_side_changes_where_it_should(model: Recommender) -> None:
    users, items = model.project_users(model.represent_users(HISTORIES, 2)), model.represent_items()
    scorers = dict(score_knockouts(model, HISTORIES, users, items, batch_size=2, seed=0))
    assert {(knockout.wrong, knockout.place) for knockout in scorers} == {(w, p) for w in WRONGS for p in PLACES}
    pictured = model.features[PICTURES].present
    for knockout, scorer in scorers.items():
        users_differ = np.abs(scorer.users - users).max(axis=1) > 1e-4
        items_differ = np.abs(scorer.items - items).max(axis=1) > 1e-4
        if knockout.place == "prompt":
            assert scorer.items is items
        else:
            assert np.array_equal(items_differ, pictured)
            assert np.array_equal(scorer.items[~pictured], items[~pictured])
        if knockout.place == "retrieval":
            assert scorer.users is users
        else:
            assert users_differ.all()
    for wrong in WRONGS:
        both, prompt, retrieval = (
            next(scorer for knockout, scorer in scorers.items() if (knockout.wrong, knockout.place) == (wrong, place))
            for place in ("both", "prompt", "retrieval")
        )
        assert both.users is prompt.users
        assert both.items is retrieval.items


def test_retrieval_without_pictures_changes_only_their_slice(model: Recommender) -> None:
    spoiled = show_pictures(model, spoil_pictures(model.features[PICTURES], "noise", 0))
    width = model.parts.heads.shared_width
    before, after = model.represent_items(), spoiled.represent_items()
    assert np.array_equal(before[:, width:], after[:, width:])
    assert not np.array_equal(before[:, :width], after[:, :width])


def test_the_model_itself_is_left_alone(model: Recommender) -> None:
    users, items = model.represent_users(HISTORIES, 2), model.represent_items()
    values = model.features[PICTURES].values.copy()
    list(score_knockouts(model, HISTORIES, model.project_users(users), items, batch_size=2, seed=0))
    assert np.array_equal(model.features[PICTURES].values, values)
    assert np.array_equal(model.represent_users(HISTORIES, 2), users)
    assert np.array_equal(model.represent_items(), items)


def test_users_whose_items_have_no_picture_stay_as_they_are(tiny_backbone: Backbone, tiny_items: pl.DataFrame) -> None:
    pictured = np.arange(20) >= 5
    model = build_recommender(tiny_backbone, tiny_items, pictured=pictured)
    spoiled = show_pictures(model, spoil_pictures(model.features[PICTURES], "shuffled", 0))
    rows = [np.array([0, 3, 4], dtype=np.int32), np.array([0, 3, 7], dtype=np.int32)]
    change = np.abs(spoiled.represent_users(rows, 2) - model.represent_users(rows, 2)).max(axis=1)
    assert change[0] < 1e-6 < 1e-4 < change[1]


@pytest.mark.parametrize(
    ("representation", "kinds", "places"),
    [
        ("image", ("image", "cf"), {"prompt", "retrieval", "both"}),
        ("image", ("cf",), {"prompt"}),
        ("title", ("image", "text"), {"retrieval"}),
        ("cf", ("text",), set()),
    ],
)
def test_only_places_that_have_pictures_are_tried(
    representation: str, kinds: tuple[str, ...], places: set[str], tiny_backbone: Backbone, tiny_items: pl.DataFrame
) -> None:
    form = replace(FORM, representation=representation)
    model = build_recommender(tiny_backbone, tiny_items, kinds=kinds, form=form)
    assert {knockout.place for knockout in list_knockouts(model)} == places


def score_titles(model: Recommender, form: PromptForm, items: pl.DataFrame) -> dict[str, tuple[np.ndarray, str]]:
    """Return, for each title knock-out, its users and what the prompt calls item 3."""
    shown = {}

    def write(changed: PromptForm) -> PromptTokens:
        backbone, pictured = model.backbone, model.features[PICTURES].present
        prompt = tokenize_prompt(
            items, pictured, backbone.tokenize, changed, begin=backbone.begin_tokens, end=backbone.end_tokens
        )
        shown[changed.title_tokens, changed.titles] = backbone.tokenizer.decode(prompt.items[3])
        return prompt

    scorers = dict(score_title_knockouts(model, form, write, HISTORIES, model.represent_items(), batch_size=2))
    assert all(knockout.place == "titles" for knockout in scorers)
    return {
        knockout.wrong: (scorer.users, text)
        for (knockout, scorer), text in zip(scorers.items(), shown.values(), strict=True)
    }


def test_wrong_titles_change_the_prompt_and_nothing_else(model: Recommender, tiny_items: pl.DataFrame) -> None:
    intact = model.project_users(model.represent_users(HISTORIES, 2))
    found = score_titles(model, FORM, tiny_items)
    assert set(found) == {"shuffled", "left out"}
    own = tiny_items["title"][3]
    others = [title for title in tiny_items["title"] if title and title != own]
    assert own not in found["shuffled"][1]
    assert any(title in found["shuffled"][1] for title in others)
    assert not any(title in found["left out"][1] for title in [own, *others])
    for users, _ in found.values():
        assert (np.abs(users - intact).max(axis=1) > 1e-4).all()
    assert np.array_equal(model.project_users(model.represent_users(HISTORIES, 2)), intact)


@pytest.mark.parametrize(("representation", "tried"), [("image", set()), ("title", {"shuffled"})])
def test_titles_that_are_not_there_or_are_all_there_is_are_not_left_out(
    representation: str, tried: set[str], model: Recommender, tiny_items: pl.DataFrame
) -> None:
    form = replace(FORM, representation=representation, title_tokens=0 if representation == "image" else 8)
    assert set(score_titles(model, form, tiny_items)) == tried
