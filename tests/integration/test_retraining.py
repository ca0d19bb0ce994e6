"""A catalog that grows: new items live without a training, growth judged, retraining that can be continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from illmrec.errors import DataError, NothingToDoError
from pipelines.graph import STAGES
from pipelines.parameters.reading import read_params
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHAMPION, Tracker
from pipelines.registry.version_files import VersionFiles
from tests.integration.conftest import expect_error, invoke, run_ok
from tests.own_project import copy_as_own, copy_project, write_new_items

NEW = ["new-1", "new-2", "../../evil"]


@pytest.fixture(scope="module")
def own(project: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the project as a catalog of one's own; tests of this module build on each other, in order."""
    return copy_as_own(project[0], tmp_path_factory.mktemp("own") / "project")


def open_context(root: Path) -> Context:
    return Context(Layout(root, "shop"), read_params(root / "params.yaml"))


def fetch_champion(context: Context) -> VersionFiles:
    registry = Registry(context)
    return registry.fetch(registry.champion)


def test_the_same_data_ask_for_nothing(own: Path) -> None:
    result = invoke(own, "growth-check", "--dataset", "shop", "--json")
    assert result.exit_code == 6
    assert json.loads(result.stdout)["answer"] == "nothing"


def test_without_a_champion_a_training_is_due(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tracker, "find", lambda *_: None)
    result = invoke(own, "growth-check", "--dataset", "shop", "--json")
    assert result.exit_code == 11
    assert json.loads(result.stdout)["reasons"] == "there is no champion yet"


@pytest.mark.parametrize("fault", ["no pictures", "malformed", "twice"])
def test_a_bad_batch_leaves_nothing_behind(own: Path, tmp_path: Path, fault: str) -> None:
    folder = write_new_items(tmp_path / "in", NEW, pictures=fault != "no pictures")
    table = folder / "items.csv"
    if fault == "malformed":
        table.write_text(table.read_text() + "one field\n")
    elif fault == "twice":
        table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    error = expect_error(own, "catalog", "add", str(folder))
    assert isinstance(error, DataError)
    assert error.exit_code == 3
    assert not (own / "data/own/added").exists() or not list((own / "data/own/added").iterdir())


def test_new_items_are_added_once(own: Path, tmp_path: Path) -> None:
    folder = write_new_items(tmp_path / "in", NEW)
    facts = run_ok(own, "catalog", "add", str(folder))
    assert (facts["new"], facts["with_picture"], facts["unknown_to_champion"]) == (3, 3, 3)
    assert isinstance(expect_error(own, "catalog", "add", str(folder)), NothingToDoError)
    stored = sorted(path.name for path in (own / "data/own/added").rglob("*") if path.suffix == ".png")
    assert len(stored) == 3
    assert not [name for name in stored if "evil" in name]
    growth = invoke(own, "growth-check", "--dataset", "shop", "--json")
    assert growth.exit_code == 10
    assert json.loads(growth.stdout)["new_items"] == 3


def test_old_items_score_as_before_and_new_ones_by_picture_and_text_alone(own: Path) -> None:
    from illmrec.scoring.head import Head
    from pipelines.assembly.recommender import load_recommender
    from pipelines.growth.grown_catalog import open_grown_catalog
    from pipelines.registry.carried import load_recommender_on_catalog

    context = open_context(own)
    files = fetch_champion(context)
    grown = open_grown_catalog(context)
    before, catalog = context.shelf.catalog, grown.catalog
    assert [catalog.item_ids[item] for item in range(len(before))] == before.item_ids
    model, carried = (
        load_recommender(context.shelf, files.folder),
        load_recommender_on_catalog(grown, files),
    )
    assert sorted(catalog.item_ids[item] for item in carried.new) == sorted(NEW)
    seen = context.shelf.sequences.histories("test")
    histories = [seen[user] for user in range(len(seen))]
    head = Head(files.folder / "head.onnx")
    users = head.project_users(model.represent_users(histories, 64))
    assert (head.project_users(carried.recommender.represent_users(histories, 64)) == users).all()
    old = users @ head.project_items({kind: model.features[kind].values for kind in head.kinds}).T
    items = carried.project_items(head)
    assert ((users @ items.T)[:, : len(before)] == old).all()
    width, place = head.width // len(head.kinds), head.kinds.index("cf")
    parts = {kind: slice(n * width, (n + 1) * width) for n, kind in enumerate(head.kinds)}
    assert not items[carried.new][:, parts["cf"]].any()
    assert np.abs(items[carried.new][:, parts["image"]]).min(axis=1).max() > 0
    assert np.abs(items[: len(before)][:, place * width : (place + 1) * width]).max() > 0
    rows = model.features["cf"]
    assert rows.present.any()
    stand_in = carried.recommender.features["cf"].values[carried.new]
    np.testing.assert_allclose(stand_in, np.tile(rows.values[rows.present].mean(0), (len(NEW), 1)), atol=2e-3)
    # The control: with a mean row in place of the mask, the CF part would be something.
    mean = {kind: carried.recommender.features[kind].values[carried.new] for kind in head.kinds}
    mean["cf"] = np.broadcast_to(model.features["cf"].values.mean(axis=0), mean["cf"].shape)
    assert np.abs(head.project_items(mean)[:, parts["cf"]]).max() > 0.01


def test_prepare_reads_added_items_like_the_rest(own: Path) -> None:
    facts = run_ok(own, "prepare")
    assert facts["added_item_rows"] == 3
    items = pl.read_parquet(own / "artifacts/shop/prepared/items.parquet")
    assert not set(items["item_id"]) & set(NEW)  # nobody took them often enough for the core


def test_a_catalog_that_moved_without_added_items_is_served_too(
    project: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    from pipelines.growth.grown_catalog import open_grown_catalog
    from pipelines.project.layout import ServingLayout
    from pipelines.registry.carried import load_recommender_on_catalog

    root = copy_project(project[0], tmp_path / "project")
    context = open_context(root)
    assert open_grown_catalog(context) is context.shelf
    path = root / "artifacts/shop/prepared/items.parquet"
    pl.read_parquet(path)[3:].write_parquet(path)  # the k-core dropped the first three items
    grown = open_grown_catalog(open_context(root))
    assert isinstance(grown.layout, ServingLayout)
    catalog = grown.catalog
    assert grown.open_features("image", "text")["text"].values.shape[0] == len(catalog)
    files = fetch_champion(context)
    carried = load_recommender_on_catalog(grown, files)
    assert (len(carried.trained), len(carried.new)) == (len(catalog), 0)
    before = np.load(root / "artifacts/shop/features/cf/values.npy")
    assert (carried.recommender.features["cf"].values == before[3:]).all()


def test_a_picture_or_text_that_changed_reaches_the_next_night(
    project: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    from pipelines.growth.grown_catalog import open_grown_catalog

    root = copy_project(project[0], tmp_path / "project")
    core = open_context(root).shelf
    catalog = core.catalog
    prepared = root / "artifacts/shop/prepared"
    images = pl.read_parquet(prepared / "images.parquet").filter(pl.col("status") == "ok").unique("item_id")
    one, other = images.sort("item_id").head(2).iter_rows(named=True)
    raw = root / json.loads((prepared / "source.json").read_text())["folder"]
    shutil.copy(raw / other["image_ref"], raw / one["image_ref"])
    run_ok(root, "prepare")
    assert open_context(root).shelf.catalog.digest == catalog.digest, "the items are the same"
    grown = open_grown_catalog(open_context(root))
    old, new = (shelf.open_features("image")["image"] for shelf in (core, grown))
    changed = (old.values != new.values).any(axis=1) & new.present
    assert catalog.items.filter(pl.Series(changed))["item_id"].to_list() == [one["item_id"]]
    run_ok(root, "embed-images")
    assert open_grown_catalog(open_context(root)).layout == core.layout
    items = pl.read_parquet(prepared / "items.parquet")
    text = pl.when(pl.int_range(pl.len()) == 4).then(pl.lit("something else")).otherwise("description")
    items.with_columns(text.alias("description")).write_parquet(prepared / "items.parquet")
    grown = open_grown_catalog(open_context(root))
    assert grown.layout != core.layout
    old, new = (shelf.open_features("text")["text"] for shelf in (core, grown))
    assert np.flatnonzero((old.values != new.values).any(axis=1) & new.present).tolist() == [4]
    run_ok(root, "embed-text")
    assert open_grown_catalog(open_context(root)).layout != core.layout, "the text may stand in for a picture"


def test_a_feed_cut_short_is_no_growth(own: Path) -> None:
    path = own / "data/own/interactions.csv"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    try:
        path.write_text("".join(lines[: len(lines) // 3]))
        run_ok(own, "prepare")
        invoke(own, "validate", "--dataset", "shop")
        error = expect_error(own, "growth-check")
    finally:
        path.write_text(whole)
        run_ok(own, "prepare")
        run_ok(own, "validate")
    assert error.exit_code == 3


def test_a_retraining_goes_on_where_it_was_stopped(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.stages import train

    original = train.publish_model

    def stop(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "publish_model", stop)
    assert invoke(own, "retrain", "--dataset", "shop", "--start", "compare").exit_code != 0
    monkeypatch.setattr(train, "publish_model", original)
    done = json.loads((own / "work/retraining/shop" / "steps.json").read_text())
    assert "train-cf" in done
    assert "train-scratch" not in done
    params = own / "params.yaml"
    params.write_text(params.read_text().replace("promote: {", "promote: {margin: 0.9, "))
    facts = run_ok(own, "retrain", "--start", "compare")
    stages = [stage.command for stage in STAGES]
    assert facts["passed_over"] == stages[: stages.index("train")]
    assert facts["ran"] == ["train-scratch", "train-warm", "choose", "evaluate", "export", "register", "promote"]
    scores = {way: facts[f"{way}_validation_ndcg@10"] for way in ("scratch", "warm")}
    assert scores[facts["start"]] == max(scores.values())
    assert facts["promoted"] is True
    assert Tracker(own).resolve("illmrec-shop", CHAMPION).number == facts["version"]
    state = json.loads((own / "artifacts/shop/model/state.json").read_text())["state"]
    assert ("start" in state) == (facts["start"] == "warm")
    assert isinstance(expect_error(own, "retrain", "--start", "compare"), NothingToDoError)


def test_what_reads_other_cf_rows_begins_anew(own: Path) -> None:
    from illmrec.training.checkpoint import read_tensors
    from pipelines.registry.warm_start import ADAPTOR, CF_HEAD, has_same_cf, list_cf_readers

    layout, files = open_context(own).layout, fetch_champion(open_context(own))
    state = dict(read_tensors(files.folder).state)
    in_slots = {"settings": state["settings"] | {"features": ["image"], "representation": "image+cf"}}
    assert (list_cf_readers(state), list_cf_readers(state | in_slots)) == ((CF_HEAD,), (CF_HEAD, ADAPTOR))
    path = layout.features("cf") / "values.npy"
    values = np.load(path)
    assert has_same_cf(Shelf(layout), files, state | in_slots)
    np.save(path, -values)
    assert not has_same_cf(Shelf(layout), files, state | in_slots)
    np.save(path, values)


def test_a_warm_start_takes_what_fits(own: Path) -> None:
    from pipelines.assembly.recommender import build_recommender, read_config
    from pipelines.assembly.trainer import Start
    from pipelines.registry.warm_start import CF_HEAD, find_start

    context = open_context(own)
    start = find_start(context)
    config = read_config(context.shelf.model_state)
    recommender = build_recommender(context.shelf, context.shelf.catalog, config)
    odd = next(iter(start.tensors))
    given = Start("1", "digest", {**start.tensors, odd: start.tensors[odd][:1]}, (CF_HEAD,))
    facts = given.apply(recommender)
    named = recommender.named_parameters()
    assert set(facts["new"]) == {odd, *(name for name in named if name.startswith(CF_HEAD))}
    assert facts["taken"] == len(named) - len(facts["new"])
    for name in set(named) - set(facts["new"]):
        assert (named[name].detach().cpu() == start.tensors[name]).all()
