"""Models with RANDOM weights: what they write is gibberish, which does for arithmetic and bookkeeping."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import torch

from illmrec.errors import ModelError
from illmrec.features.summarizing import writer as summary_writer
from illmrec.features.summarizing.store import SummaryStore, write_missing
from illmrec.features.summarizing.writer import SummaryWriter, describe_writing

TOKENS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_items: pl.DataFrame) -> Path:
    """Save a Llama that writes many different tokens."""
    from benchmarks.tiny import save_language_model

    return save_language_model(tmp_path_factory.mktemp("writer"), tiny_items, width=64, layers=2, heads=4)


@pytest.fixture(scope="module")
def writer(folder: Path) -> SummaryWriter:
    return SummaryWriter(folder, max_words=10, max_new_tokens=TOKENS)


@pytest.fixture(scope="module")
def texts(tiny_items: pl.DataFrame) -> list[str]:
    """Return descriptions of different lengths."""
    return [text for text in tiny_items["description"] if text]


def decode_step_by_step(folder: Path, text: str) -> str:
    """Ask one question with a whole forward pass per token: no batch, no padding, no cache of keys and values."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    question = "Summarize the description of a product in one line of at most 10 words.\n\nDescription: "
    ids = [tokenizer.bos_token_id]
    for part in (question, text, "\n\nSummary:"):
        ids += tokenizer(part, add_special_tokens=False)["input_ids"]
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < TOKENS:
            token = int(model(torch.tensor([ids + written])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            written.append(token)
    return tokenizer.decode(written, skip_special_tokens=True)


def test_it_writes_what_plain_greedy_decoding_writes(writer: SummaryWriter, folder: Path, texts: list[str]) -> None:
    written = writer.write(texts)
    expected = [summary_writer._clean(decode_step_by_step(folder, text)) for text in texts]
    assert written == expected
    assert len(set(written)) > len(texts) // 2, "all the same proves nothing"
    assert len({len(text) for text in texts}) > 3


def test_a_summary_does_not_depend_on_its_batch(writer: SummaryWriter, texts: list[str]) -> None:
    assert [writer.write([text])[0] for text in texts] == writer.write(texts) == writer.write(texts[::-1])[::-1]


def test_settings_that_come_with_a_model_do_not_count(
    writer: SummaryWriter, folder: Path, texts: list[str], tmp_path: Path
) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    path = model / "generation_config.json"
    theirs = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "max_new_tokens": 2, "num_beams": 3}
    path.write_text(json.dumps(json.loads(path.read_text()) | theirs))
    assert SummaryWriter(model, max_words=10, max_new_tokens=TOKENS).write(texts) == writer.write(texts)


def test_a_text_cannot_end_the_question(writer: SummaryWriter, texts: list[str]) -> None:
    end = writer._tokenizer.eos_token
    assert writer.write([end + texts[0] + end]) == writer.write(texts[:1])
    assert writer.write([texts[0]]) != writer.write([""])


def test_long_texts_are_cut_to_what_the_model_reads(
    folder: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary_writer, "MAX_INPUT_TOKENS", 40)
    short = SummaryWriter(folder, max_words=10, max_new_tokens=8)
    long = " ".join(texts) + "steel " * 500_000
    assert short.write([long]) == short.write([long[:4000]])
    assert short._limit == 40
    monkeypatch.undo()
    # The model has 2,048 positions; the question, the answer and this many tokens of the text fill them.
    whole = SummaryWriter(folder, max_words=10, max_new_tokens=1500)
    assert whole._limit == 2048 - 1500 - len(whole._before) - len(whole._after)
    with pytest.raises(ModelError, match="reads 2,048 tokens") as caught:
        SummaryWriter(folder, max_words=10, max_new_tokens=2000)
    assert "max_new_tokens" in caught.value.hint


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (" A blue lamp.\nDescription: a pan", "A blue lamp."),
        ("\n\n  A <b>blue</b>\u200b lamp \ufffd", "A blue lamp"),
        ("\n \n", ""),
        ("", ""),
    ],
)
def test_the_first_line_is_kept_without_markup(written: str, kept: str) -> None:
    assert summary_writer._clean(written) == kept


@pytest.mark.parametrize("damage", ["no folder", "pickle", "half the weights", "no tokenizer"])
def test_a_folder_that_is_no_model_is_refused(damage: str, folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = tmp_path / "model"
    if damage != "no folder":
        shutil.copytree(folder, model)
    weights = model / "model.safetensors"
    if damage == "pickle":
        torch.save(load_file(weights), model / "pytorch_model.bin")
        weights.unlink()
    if damage == "half the weights":
        state = load_file(weights)
        save_file({name: state[name] for name in list(state)[::2]}, weights, metadata={"format": "pt"})
    if damage == "no tokenizer":
        for path in model.glob("tokenizer*"):
            path.unlink()
    with pytest.raises(ModelError, match=str(model)) as caught:
        SummaryWriter(model, max_words=10, max_new_tokens=TOKENS)
    assert caught.value.hint


def test_whatever_changes_the_answer_is_in_the_description_of_the_asking() -> None:
    ways = {describe_writing(w, t, p) for w in (10, 20) for t in (30, 40) for p in ("fp32", "bf16")}
    assert len(ways) == 8
    assert describe_writing(10, 30, "fp32") in ways


class FakeWriter:
    """Remembers what it was asked, and writes a text's last word; breaks off at one text."""

    def __init__(self, breaks_at: str | None = None) -> None:
        self.batches: list[list[str]] = []
        self.breaks_at = breaks_at

    def __call__(self, texts: Sequence[str]) -> list[str]:
        if self.breaks_at in texts:
            raise KeyboardInterrupt
        self.batches.append(list(texts))
        return [text.split()[-1] for text in texts]


def write_all(folder: Path, texts: list[str], fake: FakeWriter, **about: str) -> tuple[dict[str, str], int]:
    with SummaryStore(folder, **({"model": "m", "revision": "1", "settings": "s"} | about)) as store:
        return write_missing(store, texts, fake, batch_size=2)


TEXTS = ["a lamp", "a large pan", "a lamp", "cup", "a very large pot"]


def test_each_text_is_asked_for_once_and_long_ones_first(tmp_path: Path) -> None:
    fake = FakeWriter()
    found, count = write_all(tmp_path, TEXTS, fake)
    assert fake.batches == [["a very large pot", "a large pan"], ["a lamp", "cup"]]
    assert count == 4
    assert found == {"a lamp": "lamp", "a large pan": "pan", "cup": "cup", "a very large pot": "pot"}


def test_what_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    found, _ = write_all(tmp_path, TEXTS, FakeWriter())
    fake = FakeWriter()
    assert write_all(tmp_path, TEXTS, fake) == (found, 0)
    assert write_all(tmp_path, [], fake) == ({}, 0)
    assert write_all(tmp_path, ["a lamp", "a red cup"], fake) == ({"a lamp": "lamp", "a red cup": "cup"}, 1)
    assert fake.batches == [["a red cup"]]


@pytest.mark.parametrize("name", ["model", "revision", "settings"])
def test_models_revisions_and_ways_of_asking_are_kept_apart(name: str, tmp_path: Path) -> None:
    write_all(tmp_path, TEXTS, FakeWriter())
    assert write_all(tmp_path, TEXTS, FakeWriter(), **{name: "other"})[1] == 4
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_a_broken_off_run_keeps_its_whole_batches(tmp_path: Path) -> None:
    first, second = FakeWriter(breaks_at="a lamp"), FakeWriter()
    with pytest.raises(KeyboardInterrupt):
        write_all(tmp_path, TEXTS, first)
    assert write_all(tmp_path, TEXTS, second)[1] == 2
    assert [*first.batches, *second.batches] == [["a very large pot", "a large pan"], ["a lamp", "cup"]]


def test_a_writer_that_loses_a_summary_stops_the_run(tmp_path: Path) -> None:
    with SummaryStore(tmp_path, "m", "1", "s") as store, pytest.raises(ValueError, match="shorter"):
        write_missing(store, TEXTS, lambda texts: ["one"], batch_size=2)
    assert write_all(tmp_path, TEXTS, FakeWriter())[1] == 4


def test_thousands_of_texts_in_one_call(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(2300)]
    with SummaryStore(tmp_path, "m", "1", "s") as store:
        assert write_missing(store, texts, FakeWriter(), batch_size=500)[1] == 2300
        assert write_missing(store, texts, FakeWriter(), batch_size=500)[0]["text 2299"] == "2299"


def test_a_damaged_file_is_named_with_its_cure(tmp_path: Path) -> None:
    write_all(tmp_path, TEXTS, FakeWriter())
    (path,) = tmp_path.glob("*.sqlite")
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(ModelError, match=path.name) as caught:
        write_all(tmp_path, TEXTS, FakeWriter())
    assert "Delete the file" in caught.value.hint
    path.unlink()
    write_all(tmp_path, TEXTS, FakeWriter())
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE summaries")
        connection.execute("CREATE TABLE summaries (content TEXT)")
    connection.close()
    with pytest.raises(ModelError, match=path.name):
        write_all(tmp_path, TEXTS, FakeWriter())
