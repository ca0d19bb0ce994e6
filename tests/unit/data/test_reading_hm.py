from __future__ import annotations

from pathlib import Path

import pytest

from illmrec.columns import INTERACTIONS
from illmrec.data.readers import read_raw
from illmrec.errors import DataError

ARTICLES_HEADER = (
    "article_id,product_code,prod_name,product_type_no,product_type_name,product_group_name,graphical_appearance_no,"
    "graphical_appearance_name,colour_group_code,colour_group_name,perceived_colour_value_id,"
    "perceived_colour_value_name,perceived_colour_master_id,perceived_colour_master_name,department_no,"
    "department_name,index_code,index_name,index_group_no,index_group_name,section_no,section_name,garment_group_no,"
    "garment_group_name,detail_desc\n"
)
ARTICLE = (
    "0100000015,100000,Strap top,253,Vest top,Garment Upper body,1010016,Solid,9,Black,4,Dark,5,Black,1676,"
    'Jersey Basic,A,Ladieswear,1,Ladieswear,16,Basics,1002,"Under-, Nightwear","Narrow ""spaghetti"" straps,\n'
    'in jersey."\n'
)
TRANSACTIONS = (
    "t_dat,customer_id,article_id,price,sales_channel_id\n"
    "2018-09-20,00aa,0100000015,0.0209,2\n"
    "2020-02-29,00bb,0100000015,0.0423,1\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "articles.csv").write_text(ARTICLES_HEADER + ARTICLE)
    (tmp_path / "transactions_train.csv").write_text(TRANSACTIONS)
    return tmp_path


def test_real_lines_become_tables(folder: Path) -> None:
    raw = read_raw("hm", folder)
    assert dict(raw.interactions.decode().schema) == INTERACTIONS
    assert raw.interactions.decode().rows() == [("00aa", "0100000015", 1537401600), ("00bb", "0100000015", 1582934400)]
    category = ["Ladieswear", "Garment Upper body", "Vest top"]
    assert raw.items.rows() == [("0100000015", "Strap top", "", category, 'Narrow "spaghetti" straps,\nin jersey.')]
    assert raw.extra_users.is_empty()
    assert raw.counts == {"raw_interaction_rows": 2, "raw_item_rows": 1, "raw_user_rows": 0}


def test_customers_without_interactions_are_known(folder: Path) -> None:
    (folder / "customers.csv").write_text("customer_id,FN,age\n00aa,,30\n00cc,1.0,\n,1.0,5\n")
    raw = read_raw("hm", folder)
    assert raw.extra_users.to_list() == ["00aa", "00cc"]
    assert raw.rejected.rows() == [("customers.csv", 4, "no user")]
    assert raw.rows["customers.csv"] == 3


def test_pictures_lie_in_the_folder_of_their_first_digits(folder: Path) -> None:
    for name in ("010/0100000015.jpg", "011/0100000016.jpg", "011/0110000001.jpg"):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).touch()
    pictures = read_raw("hm", folder).pictures.rows()
    assert pictures == [
        ("0100000015", 0, "images/010/0100000015.jpg"),
        ("0110000001", 0, "images/011/0110000001.jpg"),
    ]


def test_malformed_rows_are_set_aside_with_their_line(folder: Path) -> None:
    with (folder / "transactions_train.csv").open("a") as file:
        file.write("20.09.2018,00aa,0100000015,1,2\n2018-09-20,,0100000015,1,2\n2018-09-20,00aa,0100000015,1,2,x\n")
    with (folder / "articles.csv").open("a") as file:
        file.write("0100000016,too,short\n")
    raw = read_raw("hm", folder)
    assert raw.rejected.rows() == [
        ("transactions_train.csv", 4, "timestamp missing or not readable"),
        ("transactions_train.csv", 5, "no user"),
        ("transactions_train.csv", 6, "too many fields"),
        ("articles.csv", 4, "wrong number of fields"),
    ]
    assert raw.rows == {"transactions_train.csv": 5, "articles.csv": 2, "customers.csv": 0}


@pytest.mark.parametrize(
    ("file", "old", "column"),
    [("transactions_train.csv", "customer_id", "customer_id"), ("articles.csv", "detail_desc", "detail_desc")],
)
def test_a_missing_column_is_named_with_those_found(folder: Path, file: str, old: str, column: str) -> None:
    path = folder / file
    path.write_text(path.read_text().replace(old, "other", 1))
    with pytest.raises(DataError, match=rf"lacks the column '{column}'.*'other'"):
        read_raw("hm", folder)


def test_missing_articles_are_refused(folder: Path) -> None:
    (folder / "articles.csv").unlink()
    with pytest.raises(DataError, match=r"expected articles\.csv, found transactions_train\.csv"):
        read_raw("hm", folder)
