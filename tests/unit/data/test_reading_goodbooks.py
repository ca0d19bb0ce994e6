from __future__ import annotations

from pathlib import Path

import pytest

from illmrec.data.readers import read_raw
from illmrec.errors import DataError

RATINGS = "user_id,book_id,rating\n1,258,5\n2,4081,4\n2,260,2\n1,260,3\n"
BOOKS = (
    "book_id,goodreads_book_id,best_book_id,work_id,books_count,isbn,isbn13,authors,original_publication_year,"
    "original_title,title,language_code,average_rating,ratings_count,work_ratings_count,work_text_reviews_count,"
    "ratings_1,ratings_2,ratings_3,ratings_4,ratings_5,image_url,small_image_url\n"
    '258,1232,1232,3209783,279,143034901,9.78E+12,"Carlos Ruiz Zafón, Lucia Graves",2001.0,La sombra del viento,'
    '"The Shadow of the Wind (The Cemetery of Forgotten Books,  #1)",eng,4.24,263685,317554,24652,5,6,7,8,9,'
    "https://images.example/1.jpg,https://images.example/2.jpg\n"
    "260,4865,4865,3199,1,,,Dale Carnegie,1936.0,How to Win Friends,,eng,4.13,1,1,1,1,1,1,1,1,x,y\n"
)
TAGS = "tag_id,tag_name\n1,to-read\n2,historical-fiction\n3,mystery\n"
BOOK_TAGS = "goodreads_book_id,tag_id,count\n1232,1,9000\n1232,2,300\n1232,3,300\n1232,99,800\n4865,1,4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ratings.csv").write_text(RATINGS)
    (tmp_path / "books.csv").write_text(BOOKS)
    return tmp_path


def test_real_lines_become_tables_in_file_order(folder: Path) -> None:
    raw = read_raw("goodbooks", folder)
    assert raw.interactions.decode().rows() == [("1", "258", 0), ("2", "4081", 1), ("2", "260", 2), ("1", "260", 3)]
    title = "The Shadow of the Wind (The Cemetery of Forgotten Books,  #1)"
    assert raw.items.row(0) == ("258", title, "Carlos Ruiz Zafón, Lucia Graves", [], None)
    assert raw.items.row(1) == ("260", "How to Win Friends", "Dale Carnegie", [], None)
    assert raw.counts == {"raw_interaction_rows": 4, "raw_item_rows": 2, "ratings_below_min_rating": 0}
    assert raw.pictures.is_empty()


def test_low_ratings_can_be_left_out_and_are_counted(folder: Path) -> None:
    raw = read_raw("goodbooks", folder, min_rating=4)
    assert raw.interactions.decode().rows() == [("1", "258", 0), ("2", "4081", 1)]
    assert raw.counts["ratings_below_min_rating"] == 2


def test_the_commonest_shelf_that_names_a_kind_is_the_category(folder: Path) -> None:
    (folder / "tags.csv").write_text(TAGS)
    (folder / "book_tags.csv").write_text(BOOK_TAGS + "1232,3,many\n")
    assert read_raw("goodbooks", folder).items["category"].to_list() == [["historical fiction"], []]


def test_covers_are_found_where_there_are_any(folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "images" / "258.jpg").touch()
    assert read_raw("goodbooks", folder).pictures.rows() == [("258", 0, "images/258.jpg")]


def test_malformed_rows_are_set_aside(folder: Path) -> None:
    with (folder / "ratings.csv").open("a") as file:
        file.write("3,258,six\n3,258,6\n3,,5\n3,258\n3,258,5,1\n")
    with (folder / "books.csv").open("a") as file:
        file.write("1,2\n")
    raw = read_raw("goodbooks", folder)
    reason = "rating is not a whole number from 1 to 5"
    assert raw.rejected.rows() == [
        ("ratings.csv", 6, reason),
        ("ratings.csv", 7, reason),
        ("ratings.csv", 8, "no book"),
        ("ratings.csv", 9, reason),
        ("ratings.csv", 10, "too many fields"),
        ("books.csv", 4, "wrong number of fields"),
    ]
    assert len(raw.interactions) == 4


def test_books_may_be_missing_unless_that_is_refused(folder: Path) -> None:
    (folder / "books.csv").unlink()
    assert str(folder / "books.csv") in read_raw("goodbooks", folder).warnings[0]
    with pytest.raises(DataError, match=r"books\.csv: is missing"):
        read_raw("goodbooks", folder, missing_items="refuse")
