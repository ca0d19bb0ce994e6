"""A catalog without any picture can pass the gate, if its bounds say so, and no other table may be empty."""

from __future__ import annotations

import polars as pl
import pytest

from pipelines.quality.facts import describe_columns, gather_facts

NEEDED = {"items": ("item_id", "image_status"), "images": ("item_id", "status")}


@pytest.mark.parametrize(("table", "nulls"), [("images", [0.0, 0.0, 0.0, 0.0]), ("items", [1.0, 1.0, 0.0, 0.0])])
def test_only_the_pictures_may_be_without_rows(tables, table: str, nulls: list[float]) -> None:
    found = describe_columns(tables | {table: tables[table].clear()}, NEEDED)
    assert found["null_share"].to_list() == nulls
    assert not found["missing"].sum()


def test_a_missing_column_of_an_empty_table_is_still_missing(tables) -> None:
    found = describe_columns(tables | {"images": tables["images"].clear().drop("status")}, NEEDED)
    assert found["missing"].to_list() == [0, 0, 0, 1]
    assert found["null_share"][-1] == 1.0


def test_without_pictures_the_bound_decides(tables, bounds, prepared) -> None:
    from pipelines.quality.gate import run_checks
    from pipelines.quality.suites import build_checks, choose_runnable

    bare = tables | {
        "images": tables["images"].clear(),
        "items": tables["items"].with_columns(image_ref=pl.lit(""), image_status=pl.lit("missing")),
    }
    for share, refused in ((0.0, []), (0.5, ["images_decodable"])):
        wanted = bounds.model_copy(update={"min_decodable_share": share})
        facts = gather_facts(bare, wanted, repeats="first", now=2_000_000_000)
        checks, _ = choose_runnable(build_checks(wanted, prepared), facts.absent)
        results = run_checks([check for check in checks if check.suite == "image_availability"], facts.frames)
        assert [result.name for result in results if result.is_critical_failure] == refused
