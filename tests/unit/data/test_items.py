from __future__ import annotations

import polars as pl

from illmrec.columns import IMAGES, ITEMS, RAW_TEXTS, USERS
from illmrec.data.images import ImageProbe
from illmrec.data.items import build_images, build_items, clean_items, select_pictures, select_raw_texts
from illmrec.data.raw import PICTURES, RAW_ITEMS
from illmrec.data.users import build_users

RAW = pl.DataFrame(
    [
        ("b", "<b>Mug</b>", None, ["Home &amp; Garden", "", "Mugs"], "Tea&nbsp;time"),
        ("b", "second row", "x", [], ""),
        ("z", "not in the core", "", [], ""),
        ("c", None, None, None, None),
    ],
    schema=RAW_ITEMS,
    orient="row",
)


def probe(rows: list[tuple[str, int, str]], statuses: list[str]) -> pl.DataFrame:
    pictures = pl.DataFrame(rows, schema=PICTURES, orient="row")
    return build_images(pictures, (ImageProbe(status, "d" * 64, 2, 3, 9) for status in statuses))


def test_items_are_sorted_cleaned_and_never_null() -> None:
    ids = pl.Series(["c", "b", "a", "b"])
    items, counts = build_items(clean_items(select_raw_texts(RAW, ids)), ids, pl.DataFrame(schema=IMAGES))
    assert items.schema == pl.Schema(ITEMS)
    assert items["item_id"].to_list() == ["a", "b", "c"]
    assert items.row(1)[1:5] == ("Mug", "", ["Home & Garden", "Mugs"], "Tea time")
    assert items.row(0)[1:] == ("", "", [], "", "", "missing")
    assert items.row(2)[1:] == items.row(0)[1:]
    assert counts == {
        "items_without_row": 1,
        "items_without_image": 3,
        "empty_titles": 2,
        "empty_descriptions": 2,
    }


def test_an_item_shows_its_first_readable_picture() -> None:
    rows = [("a", 0, "a0"), ("a", 1, "a1"), ("a", 2, "a2"), ("b", 0, "b0"), ("b", 1, "b1")]
    ids = pl.Series(["a", "b", "c"])
    images = probe(rows, ["undecodable", "ok", "ok", "too_large", "missing"])
    assert images.schema == pl.Schema(IMAGES)
    items, counts = build_items(clean_items(select_raw_texts(RAW, ids)), ids, images)
    shown = items.select("item_id", "image_ref", "image_status").rows()
    assert shown == [("a", "a1", "ok"), ("b", "b0", "too_large"), ("c", "", "missing")]
    assert counts["items_without_image"] == 2


def test_raw_texts_are_kept_as_published_one_row_per_item_of_the_core() -> None:
    texts = select_raw_texts(RAW, pl.Series(["c", "b", "a", "b"]))
    assert texts.schema == pl.Schema(RAW_TEXTS)
    assert texts.row(0) == ("b", "<b>Mug</b>", None, ["Home &amp; Garden", "", "Mugs"], "Tea&nbsp;time")
    assert texts.row(1) == ("c", None, None, None, None)
    assert texts.height == 2


def test_pictures_of_other_items_are_left_out() -> None:
    pictures = pl.DataFrame([("b", 1, "b1"), ("x", 0, "x0"), ("b", 0, "b0")], schema=PICTURES, orient="row")
    assert select_pictures(pictures, pl.Series(["a", "b"]))["image_ref"].to_list() == ["b0", "b1"]


def test_every_user_has_one_status() -> None:
    users = build_users(pl.Series(["b", "b"]), pl.Series(["c", "b", "a"]), pl.Series(["d", "a", "d"]))
    assert users.schema == pl.Schema(USERS)
    assert users.rows() == [("a", "below_core"), ("b", "core"), ("c", "below_core"), ("d", "no_interactions")]
