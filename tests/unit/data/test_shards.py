from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from illmrec.data.files.picture_files import list_pictures
from illmrec.data.images import MAX_FILE_BYTES, open_rgb, probe_image, probe_images
from illmrec.data.shards import PictureRow, ShardStore, parse_slice, read_index
from illmrec.errors import DataError

LIMIT = 1_000_000


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20 + number, 10), (number % 256, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def row(item: str, content: bytes = b"", status: str = "ok", position: int = 0) -> PictureRow:
    digest = hashlib.sha256(content).hexdigest() if content else ""
    return PictureRow(item, position, f"https://a/{item}", status, digest, 1, 1, len(content), None, None, "", 5)


def fill(images: Path, items: range, **options: int) -> ShardStore:
    store = ShardStore(images, **options)
    for n in items:
        store.add(row(f"i{n}", png(n)), png(n))
    return store


def test_what_is_stored_is_found_and_decoded_through_its_reference(tmp_path: Path) -> None:
    fill(tmp_path / "images", range(5)).close()
    found = list_pictures(tmp_path / "images")
    assert sorted(found) == ["i0", "i1", "i2", "i3", "i4"]
    references = [f"images/{found[f'i{n}']}" for n in range(5)]
    assert references[0] == f"images/shards/00000.tar@512+{len(png(0))}"
    probes = list(probe_images(tmp_path, references, LIMIT))
    assert [(p.status, p.width) for p in probes] == [("ok", 20 + n) for n in range(5)]
    assert probes[3].sha256 == hashlib.sha256(png(3)).hexdigest()
    assert open_rgb(tmp_path / references[4], LIMIT).size == (24, 10)


def test_a_loose_file_wins_and_pictures_that_are_not_ok_are_left_out(tmp_path: Path) -> None:
    store = fill(tmp_path, range(2))
    store.add(row("i2", status="dead"))
    store.add(row("i3", png(9), position=1), png(9))
    store.add(row("i3", png(8), position=0, status="placeholder"))
    store.close()
    (tmp_path / "i1.jpg").touch()
    found = list_pictures(tmp_path)
    assert found["i1"] == "i1.jpg"
    assert found["i0"].startswith("shards/")
    assert found["i3"].endswith(f"+{len(png(9))}")
    assert "i2" not in found


def test_shards_are_plain_tar_files_and_finished_ones_never_change(tmp_path: Path) -> None:
    fill(tmp_path, range(7), max_pictures=3).close()
    shards = sorted((tmp_path / "shards").iterdir())
    assert [path.name for path in shards] == ["00000.tar", "00001.tar", "00002.tar"]
    before = [path.read_bytes() for path in shards]
    fill(tmp_path, range(7, 9), max_pictures=3).close()
    after = [path.read_bytes() for path in shards]
    assert before[:2] == after[:2]
    assert before[2] != after[2]
    for path, count in zip(shards, (3, 3, 3), strict=True):
        with tarfile.open(path) as archive:
            contents = [archive.extractfile(member).read() for member in archive]
        assert len(contents) == count
    assert contents[-1] == png(8)


def test_a_shard_is_finished_by_size_too(tmp_path: Path) -> None:
    fill(tmp_path, range(4), max_bytes=2 * 1024).close()
    assert len(list((tmp_path / "shards").iterdir())) == 2


def test_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    store = ShardStore(tmp_path)
    places = {store.add(row(f"i{n}", png(1)), png(1)) for n in range(10)}
    store.close()
    again = ShardStore(tmp_path)
    places.add(again.add(row("late", png(1)), png(1)))
    again.close()
    assert len(places) == 1
    assert len(set(list_pictures(tmp_path).values())) == 1


def test_same_pictures_in_any_number_of_runs_give_the_same_bytes(tmp_path: Path) -> None:
    fill(tmp_path / "one", range(6), max_pictures=4).close()
    fill(tmp_path / "two", range(3), max_pictures=4).close()
    fill(tmp_path / "two", range(3, 6), max_pictures=4).close()
    for name in ("shards/00000.tar", "shards/00001.tar", "index.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_tail_that_the_index_does_not_name_is_cut_off(tmp_path: Path) -> None:
    fill(tmp_path, range(2)).close()
    shard = tmp_path / "shards" / "00000.tar"
    whole = shard.read_bytes()
    with shard.open("ab") as file:
        file.write(b"half a picture")
    ShardStore(tmp_path).close()
    assert shard.read_bytes() == whole


def test_a_shard_begun_but_never_indexed_is_removed(tmp_path: Path) -> None:
    fill(tmp_path, range(2), max_pictures=2).close()
    (tmp_path / "shards" / "00001.tar").write_bytes(b"torn")
    store = fill(tmp_path, range(2, 3), max_pictures=2)
    store.close()
    assert probe_image(tmp_path / list_pictures(tmp_path)["i2"], LIMIT).status == "ok"


def test_index_is_written_before_a_shard_so_that_a_first_run_may_die_anywhere(tmp_path: Path) -> None:
    store = ShardStore(tmp_path)
    store.add(row("i0", png(0)), png(0))
    assert (tmp_path / "index.parquet").is_file()
    assert read_index(tmp_path).height == 0
    assert ShardStore(tmp_path).index.height == 0
    assert not list((tmp_path / "shards").iterdir())


def test_shards_without_their_index_are_not_thrown_away(tmp_path: Path) -> None:
    fill(tmp_path, range(3)).close()
    (tmp_path / "index.parquet").unlink()
    with pytest.raises(DataError, match=r"00000\.tar") as error:
        ShardStore(tmp_path)
    assert "Restore" in error.value.hint
    assert (tmp_path / "shards" / "00000.tar").is_file()


def test_an_index_older_than_the_shards_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, range(2), max_pictures=2).close()
    old = (tmp_path / "index.parquet").read_bytes()
    fill(tmp_path, range(2, 8), max_pictures=2).close()
    (tmp_path / "index.parquet").write_bytes(old)
    with pytest.raises(DataError, match=r"00001\.tar, 00002\.tar"):
        ShardStore(tmp_path)


@pytest.mark.parametrize("keep", [None, 700])
def test_a_missing_or_short_shard_is_refused(tmp_path: Path, keep: int | None) -> None:
    fill(tmp_path, range(5)).close()
    shard = tmp_path / "shards" / "00000.tar"
    if keep is None:
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(DataError, match="the index names pictures"):
        ShardStore(tmp_path)


def test_a_damaged_index_is_one_clear_error(tmp_path: Path) -> None:
    fill(tmp_path, range(2)).close()
    (tmp_path / "index.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="not an index of pictures"):
        list_pictures(tmp_path)


@pytest.mark.parametrize("change", [{"shard": "../../x.tar"}, {"offset": -5}, {"sha256": "zz"}])
def test_an_index_with_an_impossible_place_is_refused(tmp_path: Path, change: dict) -> None:
    fill(tmp_path, range(2)).close()
    index = read_index(tmp_path).with_columns(**{name: pl.lit(value) for name, value in change.items()})
    index.write_parquet(tmp_path / "index.parquet")
    with pytest.raises(DataError, match="i0"):
        list_pictures(tmp_path)


def test_overruling_reaches_earlier_and_pending_pictures(tmp_path: Path) -> None:
    fill(tmp_path, range(1)).close()
    store = fill(tmp_path, range(1, 2))
    for n in range(2):
        store.overrule(hashlib.sha256(png(n)).hexdigest(), "placeholder", "shown by many")
    store.close()
    assert read_index(tmp_path)["status"].to_list() == ["placeholder", "placeholder"]
    assert list_pictures(tmp_path) == {}


def test_a_linked_shard_is_copied_before_it_grows(tmp_path: Path) -> None:
    fill(tmp_path / "images", range(1)).close()
    shard = tmp_path / "images" / "shards" / "00000.tar"
    cached = tmp_path / "cached"
    cached.hardlink_to(shard)
    before = cached.read_bytes()
    fill(tmp_path / "images", range(1, 2)).close()
    assert cached.read_bytes() == before
    assert shard.read_bytes() != before


def test_the_index_is_written_every_so_many_rows(tmp_path: Path) -> None:
    fill(tmp_path, range(5), min_batch=2)
    assert read_index(tmp_path).height == 4


@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ("shards/00000.tar@512+999999", "undecodable"),
        ("shards/00000.tar@99999999+10", "undecodable"),
        ("shards/00000.tar@0+100", "undecodable"),
        (f"shards/00000.tar@0+{MAX_FILE_BYTES + 1}", "too_large"),
        ("shards/00001.tar@0+10", "missing"),
        ("../outside.tar@0+10", "unsafe_path"),
        ("link.tar@0+10", "unsafe_path"),
        ("shards/00000.tar@-1+10", "missing"),
    ],
)
def test_slices_are_bounded_and_stay_inside(tmp_path: Path, reference: str, status: str) -> None:
    raw = tmp_path / "raw"
    fill(raw, range(1)).close()
    (tmp_path / "outside.tar").write_bytes(png(0))
    (raw / "link.tar").symlink_to(tmp_path / "outside.tar")
    assert [p.status for p in probe_images(raw, [reference], LIMIT)] == [status]


def test_a_sound_slice_next_to_the_bounds_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"xx" + png(3))
    assert probe_image(tmp_path / f"a.tar@2+{len(png(3))}", LIMIT).status == "ok"
    assert probe_image(tmp_path / f"a.tar@3+{len(png(3))}", LIMIT).status == "undecodable"
    assert parse_slice(tmp_path / "a.tar") is None


def test_open_rgb_names_a_slice_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"short")
    with pytest.raises(DataError, match=r"a\.tar@0\+10.*undecodable"):
        open_rgb(tmp_path / "a.tar@0+10", LIMIT)
