from __future__ import annotations

import polars as pl
import pytest

from pipelines.parameters.data import ValidateConfig
from pipelines.quality.facts import gather_facts

NOW = 2_000_000_000


def gather(tables: dict[str, pl.DataFrame], repeats: str = "first") -> dict[str, pl.DataFrame]:
    return gather_facts(tables, ValidateConfig(), repeats=repeats, now=NOW).frames


def flagged(frame: pl.DataFrame, column: str) -> list[int]:
    return frame.filter(pl.col(column) == 1)["row"].to_list()


def test_clean_tables_raise_no_flag(tables) -> None:
    facts = gather(tables)
    assert set(facts["items"]["interactions"]) == {4}
    assert set(facts["users"]["interactions"]) == {4}
    assert facts["items"]["decodable"].sum() == 12
    for frame, columns in {
        "items": ["duplicate_id", "unlisted", "unknown_status", "empty_title", "empty_description", "dominating"],
        "pictures": ["placeholder", "duplicated", "flat", "tiny", "stretched"],
        "users": ["inhuman"],
        "interactions": [
            "repeated", "unknown_user", "unknown_item", "in_future", "in_milliseconds", "too_early", "tied",
        ],
        "descriptions": ["short", "long", "html", "boilerplate", "duplicated"],
        "raw_descriptions": ["html", "boilerplate"],
    }.items():  # fmt: skip
        assert facts[frame].select(columns).sum().row(0) == (0,) * len(columns)


def test_only_ids_are_passed_on_as_text(tables) -> None:
    strings = {
        (name, column)
        for name, frame in gather(tables).items()
        for column, dtype in frame.schema.items()
        if dtype == pl.String and not name.endswith("_columns")
    }
    assert {column for _, column in strings} == {"user_id", "item_id"}


def test_an_item_with_one_good_frame_among_bad_ones_is_decodable(tables) -> None:
    first = tables["images"].head(1)
    frames = pl.concat([first.with_columns(status=pl.lit("undecodable")), first, tables["images"][1:]])
    facts = gather(tables | {"images": frames})
    assert facts["items"].height == 12
    assert facts["items"]["decodable"].sum() == 12


@pytest.mark.parametrize("status", ["missing", "undecodable", "too_large", "unsafe_path"])
def test_no_other_status_counts_as_decodable(tables, status: str) -> None:
    facts = gather(tables | {"images": tables["images"].with_columns(status=pl.lit(status))})
    assert facts["items"]["decodable"].sum() == 0
    assert flagged(facts["items"], "unknown_status") == []


def test_an_item_marked_missing_needs_no_image_row(tables) -> None:
    items = tables["items"].with_columns(
        image_status=pl.when(pl.col("item_id") == "i01").then(pl.lit("missing")).otherwise("image_status")
    )
    facts = gather(tables | {"items": items, "images": tables["images"][3:]})
    assert flagged(facts["items"], "unlisted") == [1, 3]


def test_repeats_at_other_times_are_allowed_when_all_are_kept(tables) -> None:
    again = tables["interactions"].head(1).with_columns(timestamp=pl.lit(5, pl.Int64))
    longer = tables | {"interactions": pl.concat([tables["interactions"], again])}
    assert flagged(gather(longer, "first")["interactions"], "repeated") == [1, 49]
    assert flagged(gather(longer, "all")["interactions"], "repeated") == []
    doubled = tables | {"interactions": pl.concat([longer["interactions"], again])}
    assert flagged(gather(doubled, "all")["interactions"], "repeated") == [49, 50]


def test_ties_are_counted_within_a_user_only(tables) -> None:
    interactions = tables["interactions"].with_columns(
        timestamp=pl.when(pl.col("user_id") == "u01").then(pl.lit(7)).otherwise("timestamp")
    )
    assert flagged(gather(tables | {"interactions": interactions})["interactions"], "tied") == [5, 6, 7, 8]


def test_a_user_below_the_core_is_not_a_known_user(tables) -> None:
    users = tables["users"].with_columns(
        status=pl.when(pl.col("user_id") == "u00").then(pl.lit("below_core")).otherwise("status")
    )
    facts = gather(tables | {"users": users})
    assert flagged(facts["interactions"], "unknown_user") == [1, 2, 3, 4]
    assert facts["users"].height == 12


def test_core_users_and_items_without_interactions_count_zero(tables) -> None:
    facts = gather(tables | {"interactions": tables["interactions"].filter(pl.col("user_id") != "u00")})
    assert facts["users"].filter(pl.col("interactions") == 0)["user_id"].to_list() == ["u00"]


def test_now_itself_is_not_the_future(tables) -> None:
    times = pl.when(pl.col("user_id") == "u00").then(NOW).when(pl.col("user_id") == "u01").then(NOW + 1).otherwise(0)
    facts = gather(tables | {"interactions": tables["interactions"].with_columns(timestamp=times.cast(pl.Int64))})
    assert flagged(facts["interactions"], "in_future") == [5, 6, 7, 8]


def test_columns_of_empty_tables_count_as_null(tables) -> None:
    facts = gather({name: table.clear() for name, table in tables.items()})
    for name in ("image_columns", "interaction_columns", "text_columns"):
        shares = dict(zip(facts[name]["column"], facts[name]["null_share"], strict=True))
        # A catalog without a single picture has an empty table of pictures, which a check of its own judges.
        assert shares == {column: 0.0 if column.startswith("images.") else 1.0 for column in shares}
        assert set(facts[name]["missing"]) == {0}


def test_a_column_of_another_type_counts_as_missing(tables) -> None:
    texts = tables["interactions"].with_columns(pl.col("timestamp").cast(pl.String))
    facts = gather(tables | {"interactions": texts})["interaction_columns"]
    assert facts.filter(pl.col("missing") == 1)["column"].to_list() == ["interactions.timestamp"]


def test_descriptions_are_judged_among_those_that_say_something(tables) -> None:
    descriptions = ["", " - ", "Same words here.", "same words, here"] + ["Unlike: " + letter for letter in "abcdefgh"]
    facts = gather(tables | {"items": tables["items"].with_columns(description=pl.Series(descriptions))})
    assert facts["descriptions"]["row"].to_list() == list(range(3, 13))
    assert flagged(facts["descriptions"], "duplicated") == [3, 4]
    assert flagged(facts["items"], "empty_description") == [1, 2]
    assert flagged(facts["descriptions"], "short") == list(range(3, 13))
