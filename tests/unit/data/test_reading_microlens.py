from __future__ import annotations

from pathlib import Path

import pytest

from illmrec.data.readers import read_raw

PAIRS = "user,item,timestamp\n1,10,1583378629552\n2,7,1583378660917\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "MicroLens-100k_pairs.csv").write_text(PAIRS)
    (tmp_path / "MicroLens-100k_title_en.csv").write_text('7,"Noodles, so ""good"" 😂 #food"\n10,\n')
    return tmp_path


def add(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_real_lines_become_tables(folder: Path) -> None:
    raw = read_raw("microlens", folder)
    assert raw.interactions.decode().rows() == [("1", "10", 1583378629), ("2", "7", 1583378660)]
    assert raw.items.rows() == [("7", 'Noodles, so "good" 😂 #food', None, [], ""), ("10", "", None, [], "")]


def test_titles_may_have_a_header(folder: Path) -> None:
    (folder / "MicroLens-100k_title_en.csv").rename(folder / "other.csv")
    (folder / "MicroLens-50k_titles.csv").write_text("item,title\n7,Noodles\n")
    raw = read_raw("microlens", folder)
    assert raw.items.rows() == [("7", "Noodles", None, [], "")]
    assert raw.counts["raw_item_rows"] == 1


@pytest.mark.parametrize("size", ["50k", "100k", "1M"])
@pytest.mark.parametrize("titles", ["title", "titles", "title_en"])
def test_every_size_is_known_by_its_names(tmp_path: Path, size: str, titles: str) -> None:
    (tmp_path / f"MicroLens-{size}_pairs.csv").write_text(PAIRS)
    (tmp_path / f"MicroLens-{size}_{titles}.csv").write_text("7,Noodles\n")
    raw = read_raw("microlens", tmp_path)
    assert len(raw.interactions) == 2
    assert raw.items["title"].to_list() == ["Noodles"]


def test_frames_stand_in_natural_order_and_covers_fill_in(folder: Path) -> None:
    add(folder, *(f"MicroLens-100k_frames_interval_1_number_5/7-{n}.jpg" for n in (10, 2, 1)))
    add(folder, "MicroLens-100k_covers/7.jpg", "MicroLens-100k_covers/10.jpg")
    frames = read_raw("microlens", folder, pictures="frames").pictures.rows()
    prefix = "MicroLens-100k_frames_interval_1_number_5"
    assert frames == [
        ("10", 0, "MicroLens-100k_covers/10.jpg"),
        ("7", 0, f"{prefix}/7-1.jpg"),
        ("7", 1, f"{prefix}/7-2.jpg"),
        ("7", 2, f"{prefix}/7-10.jpg"),
    ]
    covers = read_raw("microlens", folder, pictures="cover").pictures.rows()
    assert covers == [("10", 0, "MicroLens-100k_covers/10.jpg"), ("7", 0, "MicroLens-100k_covers/7.jpg")]


@pytest.mark.parametrize("form", ["frames/7_{}.jpg", "frames/7/{}.jpg", "x_frames/x_frames/7-{}.jpg"])
def test_frames_of_other_tools_and_unpackings_are_found(folder: Path, form: str) -> None:
    add(folder, form.format(11), form.format(3))
    shown = read_raw("microlens", folder).pictures["image_ref"].to_list()
    assert shown == [form.format(3), form.format(11)]


def test_malformed_rows_are_set_aside(folder: Path) -> None:
    with (folder / "MicroLens-100k_pairs.csv").open("a") as file:
        file.write("3,7,yesterday\n")
    with (folder / "MicroLens-100k_title_en.csv").open("a") as file:
        file.write("8,unquoted, comma\n")
    raw = read_raw("microlens", folder)
    assert raw.rejected.rows() == [
        ("MicroLens-100k_pairs.csv", 4, "timestamp missing or not readable"),
        ("MicroLens-100k_title_en.csv", 3, "wrong number of fields"),
    ]
