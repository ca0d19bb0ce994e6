"""Readers, order, k-core and split beside plain pandas on generated raw files of each layout."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks import raw_files
from benchmarks.plain_prepare import prepare_plainly, read_plainly, split_plainly
from illmrec.data.catalog import Catalog
from illmrec.data.interactions import select_core
from illmrec.data.readers import read_raw
from illmrec.data.split import split_leave_one_out

CORE = 4


def write(layout: str, folder: Path) -> None:
    if layout == "amazon":
        raw_files.write_amazon(folder, reviews=2500, items=400)
    elif layout == "hm":
        raw_files.write_hm(folder, transactions=6000)
    else:
        raw_files.write_microlens(folder, users=400)


@pytest.mark.parametrize("layout", ["amazon", "hm", "microlens"])
def test_plain_pandas_keeps_and_splits_the_same(tmp_path: Path, layout: str) -> None:
    write(layout, tmp_path)
    plain = read_plainly(layout, tmp_path)
    raw = read_raw(layout, tmp_path)
    ours = raw.interactions.decode()
    assert ours["user_id"].to_list() == plain["user_id"].tolist()
    assert ours["item_id"].to_list() == plain["item_id"].tolist()

    kept = prepare_plainly(plain, CORE)
    chosen = select_core(raw.interactions, repeats="first", user_core=CORE, item_core=CORE, seed=0)
    assert 0 < chosen.core.height < len(ours)
    pairs = zip(kept["user_id"], kept["item_id"], strict=True)
    assert set(chosen.core.select("user_id", "item_id").rows()) == set(pairs)
    assert chosen.core.height == len(kept)

    split = split_leave_one_out(chosen.core, Catalog(pl.DataFrame({"item_id": chosen.item_ids})))
    histories = split_plainly(kept)
    assert split.sequences["user_id"].to_list() == histories.index.tolist()
    assert split.sequences["train"].list.len().to_list() == histories["train"].map(len).tolist()
    if layout == "microlens":  # the only one whose times do not tie
        names = chosen.item_ids.gather(split.sequences["test"]).to_list()
        assert names == histories["test"].tolist()


def test_generated_files_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        raw_files.write_amazon(tmp_path / name, reviews=300, items=50)
    assert [p.read_bytes() for p in sorted((tmp_path / "a").iterdir())] == [
        p.read_bytes() for p in sorted((tmp_path / "b").iterdir())
    ]
