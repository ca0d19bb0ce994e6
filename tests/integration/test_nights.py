"""Nights of a whole project: incremental and full runs, backfill, refusals, formats, the reader's command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from illmrec.atomic import digest_folder
from illmrec.errors import DataError, ModelError, ParameterError
from illmrec.scoring.output import check_run, find_latest, read_latest, read_user
from pipelines.nights import making, night
from tests.integration.conftest import DAY, expect_error, invoke, run_ok
from tests.own_project import copy_project

Project = tuple[Path, dict[str, dict[str, Any]]]
NEXT_DAY = "2026-02-01"


@pytest.fixture
def root(project: Project, tmp_path: Path) -> Iterator[Path]:
    folder = copy_project(project[0], tmp_path / "project")
    yield folder
    shutil.rmtree(folder)


def set_parameters(root: Path, text: str) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().split("recommend:")[0] + f"recommend: {text}\n")


def add_interaction(root: Path) -> str:
    """Give one user one more item of the catalog, just before the next day."""
    prepared = root / "artifacts/shop/prepared"
    table = pl.read_parquet(prepared / "interactions.parquet")
    user = table["user_id"][0]
    unseen = pl.read_parquet(prepared / "items.parquet").filter(
        ~pl.col("item_id").is_in(table.filter(pl.col("user_id") == user)["item_id"].implode())
    )["item_id"][0]
    row = pl.DataFrame({"user_id": [user], "item_id": [unseen], "timestamp": [1_769_900_000]}, schema=table.schema)
    pl.concat([table, row]).write_parquet(prepared / "interactions.parquet")
    return str(user)


def test_an_incremental_night_equals_a_full_one_byte_for_byte(root: Path) -> None:
    user = add_interaction(root)
    facts = run_ok(root, "recommend", "--date", NEXT_DAY)
    assert facts["users_encoded"] == 1
    assert facts["users_from_store"] == facts["users_by_model"] - 1
    folder = Path(facts["folder"])
    before = digest_folder(folder)
    old = read_latest(root / "exports/shop").filter(pl.col("user_id") == user)
    again = run_ok(root, "recommend", "--date", NEXT_DAY, "--full")
    assert again["users_encoded"] == again["users_by_model"]
    assert again["already_written"] is True
    shutil.rmtree(folder)
    shutil.rmtree(root / "work/representations")
    fresh = run_ok(root, "recommend", "--date", NEXT_DAY)
    assert fresh["users_encoded"] == fresh["users_by_model"]
    assert fresh["items_projected"] == 48
    assert digest_folder(folder) == before
    assert read_user(root / "exports/shop", user).equals(old.sort("rank"))


def test_a_backfill_uses_what_was_known_and_leaves_the_pointer(root: Path) -> None:
    add_interaction(root)
    run_ok(root, "recommend", "--date", NEXT_DAY)
    facts = run_ok(root, "recommend", "--date", "2026-01-20")
    assert facts["published"] is False
    assert find_latest(root / "exports/shop").date == NEXT_DAY
    assert facts["users_encoded"] == 0, "the added interaction is of a later day"
    assert run_ok(root, "recommend", "--date", "2026-01-20", "--publish")["published"] is True
    assert find_latest(root / "exports/shop").date == "2026-01-20"
    facts = run_ok(root, "recommend", "--date", "2026-02-02", "--no-publish")
    assert facts["published"] is False
    assert find_latest(root / "exports/shop").date == "2026-01-20"


def test_a_night_far_ahead_is_refused(root: Path) -> None:
    error = expect_error(root, "recommend", "--date", "2999-01-31")
    assert isinstance(error, ParameterError)
    assert "lies ahead" in str(error)


def test_what_readers_are_pointed_to_is_not_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Path(run_ok(root, "recommend", "--date", NEXT_DAY)["folder"])
    original = making.make_rows

    def come_out_otherwise(*arguments: Any, **options: Any) -> Any:
        table, counts = original(*arguments, **options)
        return table.with_columns(pl.col("score") + 1e-7), counts

    monkeypatch.setattr(night, "make_rows", come_out_otherwise)
    before = digest_folder(first)
    facts = run_ok(root, "recommend", "--date", NEXT_DAY, "--full", "--no-publish")
    assert Path(facts["folder"]).name == f"{first.name}-2"
    assert digest_folder(first) == before
    assert find_latest(root / "exports/shop").folder == first
    check_run(first)


def test_an_older_night_is_not_published_because_the_published_one_is_damaged(root: Path) -> None:
    folder = Path(run_ok(root, "recommend", "--date", NEXT_DAY)["folder"])
    (folder / "manifest.json").write_text("{}")
    assert run_ok(root, "recommend", "--date", "2026-01-20")["published"] is False


def test_a_refused_night_changes_nothing_and_leaves_its_audit(root: Path) -> None:
    # Before the first interaction of the data set nobody is known, as with a broken feed.
    before = digest_folder(root / "exports")
    error = expect_error(root, "recommend", "--date", "1971-01-01", "--publish")
    assert isinstance(error, ModelError)
    assert error.exit_code == 4
    assert "fallback_share" in str(error)
    assert digest_folder(root / "exports") == before
    audit = json.loads((root / "work/receipts/shop/audit.json").read_text())
    assert audit["passed"] is False
    check = next(check for check in audit["checks"] if check["name"] == "fallback_share")
    assert (check["value"], check["high"], check["passed"]) == (1.0, 0.95, False)


def test_users_without_any_known_item_get_popular_ones(root: Path) -> None:
    set_parameters(root, "{audit: {max_fallback_share: 1.0}}")
    facts = run_ok(root, "recommend", "--date", "1971-01-01", "--publish")
    assert facts["users_by_model"] == 0
    assert facts["users_by_popularity"] == facts["users"]
    assert set(read_latest(root / "exports/shop")["reason"]) == {"cold_user_popularity"}


def test_a_night_too_far_from_the_last_is_refused_though_it_is_written_already(root: Path) -> None:
    run_ok(root, "recommend", "--date", NEXT_DAY, "--no-publish")
    set_parameters(root, "{audit: {max_overlap: 0.5, min_overlap: 0.1}}")
    error = expect_error(root, "recommend", "--date", NEXT_DAY)
    assert "overlap is 1" in str(error)
    assert find_latest(root / "exports/shop").date == DAY


def test_every_format_is_written_and_the_next_night_does_not_mind(root: Path) -> None:
    set_parameters(root, "{formats: [parquet, csv, jsonl]}")
    facts = run_ok(root, "recommend", "--date", NEXT_DAY)
    endings = sorted(path.suffix for path in Path(facts["folder"]).glob("part-*"))
    assert endings == [".csv"] * 4 + [".jsonl"] * 4 + [".parquet"] * 4
    check_run(Path(facts["folder"]))
    run_ok(root, "recommend", "--date", "2026-02-02")


def test_old_nights_are_removed(root: Path) -> None:
    set_parameters(root, "{keep_nights: 2}")
    for day in range(1, 4):
        facts = run_ok(root, "recommend", "--date", f"2026-02-{day:02d}")
    assert facts["nights_removed"] == 1
    assert sorted(path.name for path in (root / "exports/shop").glob("dt=*")) == ["dt=2026-02-02", "dt=2026-02-03"]


@pytest.mark.parametrize("how", ["sasrec", "popularity"])
def test_two_stages_put_the_proposed_items_in_order(root: Path, how: str) -> None:
    whole = read_latest(root / "exports/shop").select("user_id", "item_id", "score")
    set_parameters(root, f"{{candidates: {how}, rerank: 22, audit: {{min_overlap: 0.0}}}}")
    run_ok(root, "recommend", "--date", NEXT_DAY)
    table = read_latest(root / "exports/shop")
    assert table.filter(pl.col("score").diff().over("user_id") > 0).is_empty()
    both = table.join(whole, on=["user_id", "item_id"])
    assert 0 < both.height < table.height, "the fast model proposed what the whole search finds"
    assert (both["score"] - both["score_right"]).abs().max() < 1e-5
    set_parameters(root, f"{{candidates: {how}, rerank: 48}}")
    run_ok(root, "recommend", "--date", "2026-02-02", "--publish")
    table = read_latest(root / "exports/shop").select("user_id", "item_id").sort("user_id", "item_id")
    assert table.equals(whole.select("user_id", "item_id").sort("user_id", "item_id"))


@pytest.mark.parametrize("how", ["all", "sasrec", "popularity"])
def test_withdrawn_items_are_no_answers_but_stay_in_histories(root: Path, how: str) -> None:
    before = run_ok(root, "recommend", "--date", NEXT_DAY)
    night = read_latest(root / "exports/shop")
    gone = night.group_by("item_id").len().sort("len", "item_id", descending=True)["item_id"].head(3).to_list()
    (root / "withdrawn.txt").write_text("\n".join([*gone, "no-such-item"]))
    set_parameters(root, f"{{withdrawn: withdrawn.txt, candidates: {how}, rerank: 24}}")
    facts = run_ok(root, "recommend", "--date", NEXT_DAY)
    assert facts["folder"] != before["folder"]
    assert facts["items_withdrawn"] == 3
    assert facts["users_encoded"] == 0, "histories are what they were"
    table = read_latest(root / "exports/shop")
    assert not set(gone) & set(table["item_id"])
    counts = [frame.group_by("user_id").len().sort("user_id") for frame in (night, table)]
    assert counts[0].equals(counts[1]), "others take their places"
    kept = table.join(night, on=["user_id", "item_id", "reason"], suffix="_before").filter(pl.col("reason") == "model")
    assert kept.height
    assert np.allclose(kept["score"], kept["score_before"], atol=1e-5)
    (root / "withdrawn.txt").unlink()
    assert isinstance(expect_error(root, "recommend", "--date", NEXT_DAY), DataError)


@pytest.mark.parametrize("search", ["coarse", "exact"])
def test_another_search_finds_the_same(root: Path, search: str) -> None:
    expected = read_latest(root / "exports/shop").select("user_id", "rank", "item_id")
    set_parameters(root, f"{{search: {search}}}")
    run_ok(root, "recommend", "--date", NEXT_DAY)
    assert read_latest(root / "exports/shop").select("user_id", "rank", "item_id").equals(expected)


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.9), ("int8", 0.8), ("fp32", 1.0)])
def test_another_number_format_tells_what_it_costs(root: Path, precision: str, least: float) -> None:
    set_parameters(root, f"{{backbone_precision: {precision}, precision_sample: 20, audit: {{min_overlap: 0.0}}}}")
    facts = run_ok(root, "recommend", "--date", NEXT_DAY)
    assert facts["precision_users"] == 20
    assert least <= facts["precision_overlap@10"] <= 1.0
    assert facts["precision_correlation"] > 0.99
    assert facts["users_encoded"] == facts["users_by_model"], "representations of another format were taken"


def test_a_damaged_night_is_written_anew(root: Path) -> None:
    folder = find_latest(root / "exports/shop").folder
    before = digest_folder(folder)
    part = folder / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    facts = run_ok(root, "recommend", "--date", DAY)
    assert facts["already_written"] is False
    assert digest_folder(folder) == before


def test_outsiders_read_one_user_or_all(root: Path) -> None:
    everything = run_ok(root, "recommendations")
    assert everything["date"] == DAY
    assert everything["model"] == "illmrec-shop/1"
    user = everything["rows"][0]["user_id"]
    mine = [row for row in everything["rows"] if row["user_id"] == user]
    assert run_ok(root, "recommendations", "--user", user)["rows"] == mine
    shown = invoke(root, "recommendations", "--dataset", "shop", "--user", user).stdout.splitlines()
    assert len(shown) == len(mine) + 2
    assert DAY in shown[0]
    error = expect_error(root, "recommendations", "--user", "nobody")
    assert isinstance(error, DataError)


def test_cf_rows_are_those_the_version_was_trained_with(root: Path) -> None:
    before = read_latest(root / "exports/shop")
    path = root / "artifacts/shop/features/cf/values.npy"
    values = np.load(path)
    np.save(path, values[::-1])
    facts = run_ok(root, "recommend", "--date", NEXT_DAY)
    assert facts["date"] == NEXT_DAY
    after = read_latest(root / "exports/shop")
    assert after.drop("model_version").equals(before.drop("model_version")), "another training's rows are not looked at"
