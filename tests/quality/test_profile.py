from __future__ import annotations

import html
import json

import polars as pl
import pytest

from illmrec.atomic import render_json
from pipelines.quality.profile import EDGES, NAMED, build_profile, escape_name


def test_counts_and_span_are_those_of_the_tables(tables) -> None:
    profile = build_profile(tables)
    assert profile["counts"] == {"users": 12, "items": 12, "interactions": 48, "pictures": 12}
    assert profile["time"] == {"first": 1_600_000_000, "last": 1_600_000_003}


def test_every_value_falls_into_the_bin_that_begins_at_or_below_it(tables) -> None:
    lengths = build_profile(tables)["numbers"]["history_length"]
    # Everyone has 4 interactions, the first bin begins at 5.
    assert lengths["shares"] == [1.0] + [0.0] * len(EDGES["history_length"])
    assert lengths["quantiles"]["0.5"] == 4.0
    words = build_profile(tables)["numbers"]["description_words"]
    # "This red shirt is made for red days. Wash it red." has 11 words: bin 10 to 19.
    assert words["shares"][EDGES["description_words"].index(10) + 1] == 1.0
    first = tables["interactions"].filter(pl.col("user_id") == "u00")
    longer = [tables["interactions"], first.with_columns(timestamp=pl.lit(1, pl.Int64))]
    shares = build_profile(tables | {"interactions": pl.concat(longer)})["numbers"]["history_length"]["shares"]
    # One of twelve users has 8 interactions, exactly an edge.
    assert shares[EDGES["history_length"].index(8) + 1] == pytest.approx(1 / 12, abs=1e-6)


def test_shares_of_names_add_up_to_one_however_many_there_are(tables) -> None:
    many = pl.concat([tables["items"]] * 10).with_columns(
        category=pl.concat_list(pl.int_range(pl.len()).cast(pl.String)), brand=pl.int_range(pl.len()).cast(pl.String)
    )
    names = build_profile(tables | {"items": many})["names"]
    for field in ("category", "brand"):
        assert sum(names[field].values()) == pytest.approx(1.0, abs=1e-4)
        assert len(names[field]) == NAMED + 1
        assert names[field]["(other)"] == pytest.approx((120 - NAMED) / 120, abs=1e-6)


def test_no_id_and_no_text_but_category_names_is_kept(tables) -> None:
    secret = pl.lit("secret")
    items = tables["items"].with_columns(
        title=secret, description=secret, brand=secret, item_id="secret" + pl.col("item_id"), image_ref=secret
    )
    interactions = tables["interactions"].with_columns(
        user_id="secret" + pl.col("user_id"), item_id="secret" + pl.col("item_id")
    )
    text = render_json(build_profile(tables | {"items": items, "interactions": interactions})).decode()
    assert "secret" not in text
    assert "Clothing &gt; Shirts 0" in text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "\x1b[2J\u202eevil\n"])
def test_hostile_category_names_are_harmless(tables, name: str) -> None:
    items = tables["items"].with_columns(category=pl.lit([name]), brand=pl.lit(name))
    text = render_json(build_profile(tables | {"items": items})).decode()
    assert "<" not in text
    assert ">" not in text
    assert text.replace("\n", "").isprintable()
    (stored,) = json.loads(text)["names"]["category"]
    assert (
        html.unescape(stored)[:3]
        == escape_name(name).replace("&lt;", "<").replace("&quot;", '"').replace("&gt;", ">")[:3]
    )


def test_a_very_long_name_is_cut(tables) -> None:
    items = tables["items"].with_columns(category=pl.lit(["x" * 100_000]))
    assert len(render_json(build_profile(tables | {"items": items}))) < 5_000


def test_empty_tables_have_a_profile(tables) -> None:
    profile = build_profile({name: table.clear() for name, table in tables.items()})
    assert profile["counts"]["items"] == 0
    assert profile["numbers"]["history_length"]["rows"] == 0
    assert json.loads(render_json(profile))["names"]["category"] == {}
