"""``illmrec prepare``: tables, summary, bytes."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from illmrec import columns
from illmrec.atomic import digest_folder
from illmrec.errors import LockedError
from pipelines.cli import cli
from pipelines.parameters.reading import STAGES
from pipelines.project.lock import hold_lock

USERS, ITEMS = 8, 6


def write_project(root: Path, **prepare: object) -> Path:
    """A project with an own catalog: 8 users x 6 items, and on top of it one of everything worth counting."""
    raw = root / "data" / "own"
    (raw / "images").mkdir(parents=True)
    rows = [f"u{u},i{i},{1000 + 10 * i + u % 2}" for u in range(USERS) for i in range(ITEMS)]
    rows += ["u0,i0,1000", "u0,i0,5000", "low,i0,7", "u1,rare,8", "u2,,9"]  # duplicate, repeat, below core, malformed
    (raw / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    items = [f"i{i},<b>Item</b> {i},Brand,A > B,Text {i} &amp; more" for i in range(1, ITEMS)]
    (raw / "items.csv").write_text("item_id,title,brand,category,description\n" + "\n".join(items) + "\n")
    for i in range(1, 4):
        Image.new("RGB", (8, 8 + i), "red").save(raw / "images" / f"i{i}.png")
    (raw / "images" / "i4.jpg").write_text("this is not a picture")
    sections = {stage: {} for stage in STAGES} | {
        "prepare": {"format": "own", "folder": "data/own", "max_rejected_share": 0.05} | prepare
    }
    (root / "params.yaml").write_text(json.dumps({"datasets": {"shop": sections}}))
    return root


def run(root: Path, *arguments: str) -> dict[str, float]:
    result = CliRunner().invoke(
        cli, ["--root", str(root), "prepare", "--dataset", "shop", "--json", *arguments], catch_exceptions=False
    )
    return json.loads(result.stdout)


def read(root: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(root / "artifacts" / "shop" / "prepared" / f"{name}.parquet")


def test_every_row_and_picture_is_accounted_for(tmp_path: Path) -> None:
    summary = run(write_project(tmp_path))
    assert summary == {
        "raw_interaction_rows": 53,
        "raw_item_rows": 5,
        "added_item_rows": 0,
        "rejected_rows": 1,
        "rejected_rows_no_item": 1,
        "users_with_interactions": 9,
        "items_with_interactions": 7,
        "duplicate_interactions_dropped": 1,
        "repeated_interactions_dropped": 1,
        "interactions_before_core": 50,
        "interactions": 48,
        "interactions_below_core": 2,
        "users": 8,
        "items": 6,
        "tie_share": 0.0,
        "duplicate_item_rows_dropped": 0,
        "items_without_row": 1,
        "items_without_image": 3,
        "boilerplate_sentences": 0,
        "descriptions_with_boilerplate": 0,
        "empty_titles": 1,
        "empty_descriptions": 1,
        "pictures": 4,
        "pictures_ok": 3,
        "pictures_undecodable": 1,
        "users_named": 9,
        "users_core": 8,
        "users_below_core": 1,
        "warnings": 0,
    }
    stored = json.loads((tmp_path / "artifacts" / "shop" / "prepared" / "summary.json").read_text())
    assert stored == summary


def test_tables_have_the_columns_of_the_contract(tmp_path: Path) -> None:
    run(write_project(tmp_path))
    schemas = {
        "interactions": columns.INTERACTIONS,
        "interactions_below_core": columns.INTERACTIONS,
        "items": columns.ITEMS,
        "raw_texts": columns.RAW_TEXTS,
        "images": columns.IMAGES,
        "users": columns.USERS,
        "rejected": columns.REJECTED,
    }
    for name, schema in schemas.items():
        assert read(tmp_path, name).schema == pl.Schema(schema), name
    items = read(tmp_path, "items")
    assert items["item_id"].to_list() == [f"i{i}" for i in range(ITEMS)]
    assert items.row(1)[1:] == ("Item 1", "Brand", ["A", "B"], "Text 1 & more", "images/i1.png", "ok")
    assert items["image_status"].to_list() == ["missing", "ok", "ok", "ok", "undecodable", "missing"]
    assert read(tmp_path, "images")["height"].to_list() == [9, 10, 11, 0]
    raw = ("i1", "<b>Item</b> 1", "Brand", ["A", "B"], "Text 1 &amp; more")
    assert read(tmp_path, "raw_texts").row(0) == raw
    assert read(tmp_path, "raw_texts")["item_id"].to_list() == [f"i{i}" for i in range(1, ITEMS)]
    assert read(tmp_path, "rejected").rows() == [("interactions.csv", 54, "no item")]
    assert read(tmp_path, "interactions_below_core").rows() == [("low", "i0", 7), ("u1", "rare", 8)]


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    prepared = write_project(tmp_path) / "artifacts" / "shop" / "prepared"
    run(tmp_path)
    before = digest_folder(prepared)
    run(tmp_path)
    assert digest_folder(prepared) == before
    assert [path.name for path in prepared.parent.iterdir()] == ["prepared"]


def test_boilerplate_goes_and_stays_in_the_raw_texts(tmp_path: Path) -> None:
    write_project(tmp_path)
    items = tmp_path / "data" / "own" / "items.csv"
    items.write_text(items.read_text().replace(" more", " more. We ship within one day."))
    summary = run(tmp_path)
    assert (summary["boilerplate_sentences"], summary["descriptions_with_boilerplate"]) == (1, ITEMS - 1)
    assert read(tmp_path, "items")["description"][1] == "Text 1 & more."
    assert "We ship" in read(tmp_path, "raw_texts")["description"][0]
    sections = json.loads((tmp_path / "params.yaml").read_text())
    sections["datasets"]["shop"]["prepare"]["boilerplate"] = "keep"
    (tmp_path / "params.yaml").write_text(json.dumps(sections))
    assert "boilerplate_sentences" not in run(tmp_path)
    assert "We ship" in read(tmp_path, "items")["description"][1]


def test_parameters_reach_the_tables(tmp_path: Path) -> None:
    summary = run(write_project(tmp_path, repeats="all", user_core=1, item_core=1, max_pixels=75))
    assert summary["interactions"] == 51
    assert summary["pictures_too_large"] == 2


def test_a_sample_of_users_leaves_no_trace_of_the_others(tmp_path: Path) -> None:
    summary = run(write_project(tmp_path, sample_users=5, user_core=1, item_core=1))
    users = read(tmp_path, "users")
    assert summary["users_with_interactions"] == users.height == 5
    assert set(read(tmp_path, "interactions")["user_id"]) == set(users["user_id"])


def test_leftovers_of_a_killed_run_are_swept_but_not_those_of_other_stages(tmp_path: Path) -> None:
    artifacts = write_project(tmp_path) / "artifacts" / "shop"
    (artifacts / ".prepared.partial-12345678").mkdir(parents=True)
    (artifacts / ".split.partial-12345678").mkdir()
    run(tmp_path)
    assert sorted(path.name for path in artifacts.iterdir()) == [".split.partial-12345678", "prepared"]


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    write_project(tmp_path)
    with hold_lock(tmp_path / "work" / "locks" / "shop-prepare.lock"), pytest.raises(LockedError):
        run(tmp_path)


def test_a_failing_run_leaves_the_old_tables(tmp_path: Path) -> None:
    prepared = write_project(tmp_path) / "artifacts" / "shop" / "prepared"
    run(tmp_path)
    before = digest_folder(prepared)
    (tmp_path / "data" / "own" / "interactions.csv").write_text("user_id\nu\n")
    with pytest.raises(Exception, match="lacks the column"):
        run(tmp_path)
    assert digest_folder(prepared) == before
