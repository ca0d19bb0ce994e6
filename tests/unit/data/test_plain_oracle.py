"""Readers, rejected rows, order, k-core, texts, split and negatives beside plain pandas on generated raw files."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import raw_files
from benchmarks.plain_prepare import prepare_plainly, read_plainly, split_plainly, write_plainly
from benchmarks.plain_texts import clean_plainly, remove_boilerplate_plainly
from illmrec.data.boilerplate import remove_boilerplate
from illmrec.data.catalog import Catalog
from illmrec.data.readers import read_raw
from illmrec.data.splitting.leave_one_out import draw_negatives, split_leave_one_out
from illmrec.data.text import clean_text
from pipelines.parameters.data import PrepareConfig
from pipelines.stages.prepare import prepare

SEED, NEGATIVES = 3, 20
CORES = {"amazon": 4, "hm": 12, "microlens": 4}
"""Each removes some interactions and keeps some."""


def write(layout: str, folder: Path) -> None:
    if layout == "amazon":
        raw_files.write_amazon(folder, reviews=2500, items=400)
    elif layout == "hm":
        raw_files.write_hm(folder, transactions=6000)
    else:
        raw_files.write_microlens(folder, users=400)


@pytest.mark.parametrize("layout", list(CORES))
def test_plain_pandas_reads_the_same(tmp_path: Path, layout: str) -> None:
    write(layout, tmp_path)
    plain, ours = read_plainly(layout, tmp_path), read_raw(layout, tmp_path)
    decoded = ours.interactions.decode()
    for column in ("user_id", "item_id", "timestamp"):
        assert decoded[column].to_list() == plain.interactions[column].tolist()
    assert ours.items["item_id"].to_list() == plain.items["item_id"].tolist()
    assert plain.rejected.empty


@pytest.mark.parametrize("layout", list(CORES))
def test_plain_pandas_prepares_and_splits_the_same(tmp_path: Path, layout: str) -> None:
    write(layout, tmp_path)
    core = CORES[layout]
    config = PrepareConfig(format=layout, folder=str(tmp_path), user_core=core, item_core=core, seed=SEED)
    ours, _ = prepare(tmp_path, config)
    plain = prepare_plainly(read_plainly(layout, tmp_path), core, SEED)
    assert min(ours["interactions"].height, ours["interactions_below_core"].height) > 0
    (tmp_path / "plain").mkdir()
    write_plainly(plain, tmp_path / "plain")
    for name in ("interactions", "interactions_below_core", "items", "users"):
        written = pl.read_parquet(tmp_path / "plain" / f"{name}.parquet", columns=ours[name].columns)
        columns = [pl.col(column).cast(kind) for column, kind in ours[name].schema.items()]
        assert written.select(columns).equals(ours[name]), name

    catalog = Catalog(ours["items"])
    split = split_leave_one_out(ours["interactions"], catalog)
    sequences = split_plainly(plain["interactions"], NEGATIVES)["sequences"]
    assert [row.tolist() for row in sequences.pop("train")] == split.sequences["train"].to_list()
    assert list(sequences.itertuples(index=False, name=None)) == split.sequences.drop("train").rows()


@pytest.mark.parametrize("layout", list(CORES))
def test_plain_negatives_keep_the_same_promises(tmp_path: Path, layout: str) -> None:
    write(layout, tmp_path)
    tables = prepare_plainly(read_plainly(layout, tmp_path), CORES[layout])
    items = len(tables["items"])
    plain = split_plainly(tables["interactions"], NEGATIVES)
    sequences = plain["sequences"]
    lists = {name: sequences[name].tolist() for name in ("user_index", "user_id", "train", "valid", "test")}
    ours, _ = draw_negatives(pl.DataFrame(lists), items, NEGATIVES, seed=SEED)
    for drawn in (plain["negatives"]["negatives"].tolist(), ours["negatives"].to_list()):
        rows = zip(sequences["train"], sequences["valid"], sequences["test"], drawn, strict=True)
        for train, valid, test, negatives in rows:
            had = {*train.tolist(), valid, test}
            assert len(set(negatives)) == len(negatives) == min(NEGATIVES, items - len(had))
            assert not had & set(negatives)


@pytest.mark.parametrize(
    ("layout", "file", "lines"),
    [
        (
            "amazon",
            "Bench_5.json.gz",
            [
                "{",
                "[1]",
                '{"asin": "B1", "unixReviewTime": 5}',
                '{"reviewerID": " ", "asin": "B1", "unixReviewTime": 5}',
                '{"reviewerID": "A1", "asin": "B1"}',
                '{"reviewerID": "A1", "asin": "B1", "unixReviewTime": "5"}',
                '{"reviewerID": "A1", "asin": "B1", "unixReviewTime": -5}',
                '{"reviewerID": "A1\\u0007", "asin": "B1", "unixReviewTime": 5}',
            ],
        ),
        (
            "hm",
            "transactions_train.csv",
            ["2020-01-01,,1,0,1", "2020-01-01,a, ,0,1", "2020-13-01,a,1,0,1", "", "2020-"],
        ),
        (
            "microlens",
            "MicroLens-1M_pairs.csv",
            ["u,1,", ",1,5", "u,,5", "u\x07,1,5", "u,1,soon", "u,1,-5", '"u\n",1,5'],
        ),
    ],
)
def test_plain_pandas_sets_the_same_rows_aside(tmp_path: Path, layout: str, file: str, lines: list[str]) -> None:
    write(layout, tmp_path)
    content = "".join(line + "\n" for line in lines).encode()
    path = tmp_path / file
    path.write_bytes(path.read_bytes() + (gzip.compress(content) if path.suffix == ".gz" else content))
    plain, ours = read_plainly(layout, tmp_path), read_raw(layout, tmp_path)
    assert list(plain.rejected.itertuples(index=False, name=None)) == ours.rejected.rows()
    assert len(plain.rejected) == len(lines)
    assert plain.interactions["user_id"].cat.categories.tolist() == ours.interactions.user_ids.to_list()
    assert plain.interactions["item_id"].cat.categories.tolist() == ours.interactions.item_ids.to_list()


def test_plain_texts_are_the_same() -> None:
    texts = [
        "<p>Soft &amp; light.</p><br>Ships fast from our shop!",
        "a <script>b()</script>c<!-- d -->e &lt;b&gt;f&lt;/b&gt;. Ships fast from our shop!",
        "never <style>ended Ships fast from our shop!",
        "zero\u200bwidth, cafe\u0301\u00a0\u3000bar\x00. Ships   fast from OUR shop!",
        "x < y &nbsp; z. Ships fast from our shop!",
        "One. Ships fast from our shop!",
        "Two\u3002Ships fast from our shop!",
        "",
    ]
    cleaned = [clean_text(text) for text in texts]
    assert [clean_plainly(text) for text in texts] == cleaned
    trimmed = remove_boilerplate(cleaned, min_share=0.02, min_words=4)
    assert trimmed.changed == 6
    assert remove_boilerplate_plainly(cleaned) == trimmed.texts


WORDS = ["we", "Ship", "now", "day", "a_b", "x-y", "\u00e9", "No", "\u9001", "\u3002", "!", "?", ".", "on."]


SENTENCES = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9).map(" ".join)


@given(st.lists(SENTENCES, min_size=1, max_size=4), st.data())
def test_plain_boilerplate_is_the_same_in_any_texts(sentences: list[str], data: st.DataObject) -> None:
    # Few sentences and a number make many texts, enough of which open or close alike.
    parts = st.lists(st.sampled_from([*sentences, "1.", "2 3"]), max_size=4)
    drawn = data.draw(st.lists(parts, min_size=8, max_size=30))
    texts = [clean_text(" ".join(chosen)) for chosen in drawn]
    assert remove_boilerplate_plainly(texts) == remove_boilerplate(texts, min_share=0.02, min_words=4).texts


def test_generated_files_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        raw_files.write_amazon(tmp_path / name, reviews=300, items=50)
    assert [p.read_bytes() for p in sorted((tmp_path / "a").iterdir())] == [
        p.read_bytes() for p in sorted((tmp_path / "b").iterdir())
    ]
