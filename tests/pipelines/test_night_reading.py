"""Which users a night reads again, and that their numbers do not depend on who else is read."""

from __future__ import annotations

import dataclasses
import datetime
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.tiny import build_recommender, make_sequences
from illmrec.errors import InterruptedRunError
from illmrec.features.encode import EncodedBatch
from illmrec.models import passes
from illmrec.models.backbone import Backbone
from illmrec.models.passes import UserReader
from illmrec.models.recommender import Recommender
from pipelines.nights.reading import Represented, StoreSettings, read_here, represent_audience

DAY = datetime.date(2026, 1, 31)
FACTS = {"tensors": "one"}
USERS = 24

Rows = list[Any]


@pytest.fixture(scope="module")
def rows() -> Rows:
    sequences = make_sequences(USERS, 20, (1, 12), seed=5)
    return [sequences[user] for user in range(USERS)]


@pytest.fixture
def model(tiny_backbone: Backbone, tiny_items: pl.DataFrame) -> Recommender:
    return build_recommender(tiny_backbone, tiny_items)


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., Represented]:
    def run(model: Recommender, rows: Rows, **more: Any) -> Represented:
        reader = UserReader(model, more.pop("pass_tokens", None))
        facts, stop = more.pop("facts", FACTS), more.pop("stop", threading.Event())
        engine = more.pop("engine", read_here(reader))
        settings = dataclasses.replace(StoreSettings(tmp_path / "kept", 2, 7), **more)
        return represent_audience(reader, rows, DAY, facts, settings, engine, stop)

    return run


def read_all(model: Recommender, rows: Rows) -> Any:
    return UserReader(model).read([model.cut_history(row) for row in rows])


@pytest.mark.parametrize("pass_tokens", [1, 600, 5000])
def test_numbers_do_not_depend_on_who_else_is_read(model: Recommender, rows: Rows, pass_tokens: int) -> None:
    reader = UserReader(model, pass_tokens)
    assert reader.shares_passes
    shown = [model.cut_history(row) for row in rows]
    together = reader.read(shown)
    backwards = reader.read(shown[::-1])[::-1]
    some = reader.read(shown[3:8])
    assert together.tobytes() == np.ascontiguousarray(backwards).tobytes()
    assert together[3:8].tobytes() == some.tobytes()
    assert np.abs(together - model.represent_users(rows, 4)).max() < 1e-5


def test_packed_batches_would_depend_on_it(model: Recommender, rows: Rows) -> None:
    assert (model.represent_users(rows, 8)[:3] != model.represent_users(rows[:3], 8)).any(), "passes are not needed"


def test_a_plan_holds_every_user_once_in_whole_passes(model: Recommender, rows: Rows) -> None:
    for tokens in (1, 600, 5000):
        batches = UserReader(model, tokens).plan([model.cut_history(row) for row in rows])
        assert sorted(np.concatenate(batches).tolist()) == list(range(USERS))


def test_where_company_matters_everybody_is_read_alone(
    model: Recommender, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = UserReader._run

    def disturbed(self: UserReader, histories: Sequence[Any], size: int, count: int) -> Any:
        return original(self, histories, size, count) + (len(histories) if count > 1 else 0)

    monkeypatch.setattr(UserReader, "_run", disturbed)
    reader = UserReader(model, 5000)
    assert not reader.shares_passes
    assert np.abs(read_all(model, rows) - reader.read([model.cut_history(row) for row in rows])).max() < 1e-5


def test_nothing_changed_reads_nobody(model: Recommender, rows: Rows, night: Any) -> None:
    first, second = night(model, rows), night(model, rows)
    assert (first.encoded, first.from_store) == (USERS, 0)
    assert (second.encoded, second.from_store) == (0, USERS)
    assert first.hidden.tobytes() == second.hidden.tobytes() == read_all(model, rows).tobytes()


def test_one_more_interaction_reads_that_user_only(model: Recommender, rows: Rows, night: Any) -> None:
    night(model, rows)
    changed = [*rows[:7], np.append(rows[7], np.int32(3)), *rows[8:]]
    found = night(model, changed)
    assert (found.encoded, found.from_store) == (1, USERS - 1)
    assert found.hidden.tobytes() == night(model, changed, ignore=True).hidden.tobytes()
    assert found.hidden.tobytes() == read_all(model, changed).tobytes()


def test_a_new_user_is_read_and_nobody_else(model: Recommender, rows: Rows, night: Any) -> None:
    night(model, rows)
    grown = [*rows[:2], np.array([5, 0, 5, 19], np.int32), *rows[2:]]
    found = night(model, grown)
    assert (found.encoded, found.from_store) == (1, USERS)
    assert found.hidden.tobytes() == read_all(model, grown).tobytes()


def test_what_the_model_is_not_shown_changes_nothing(model: Recommender, rows: Rows, night: Any) -> None:
    night(model, rows)
    longest = max(range(USERS), key=lambda user: len(rows[user]))
    assert len(rows[longest]) > model.history_limit
    older = [np.append(np.int32(1), row) if user == longest else row for user, row in enumerate(rows)]
    assert night(model, older).encoded == 0


def count_readers(model: Recommender, rows: Rows, item: int) -> int:
    readers = sum(item in model.cut_history(row) for row in rows)
    assert 0 < readers < USERS
    return readers


def test_a_changed_title_reads_the_item_s_readers(
    tiny_backbone: Backbone, tiny_items: pl.DataFrame, rows: Rows, night: Any
) -> None:
    model = build_recommender(tiny_backbone, tiny_items)
    night(model, rows)
    title = pl.when(pl.col("item_id") == "item-004").then(pl.lit("another title")).otherwise(pl.col("title"))
    renamed = build_recommender(tiny_backbone, tiny_items.with_columns(title=title))
    found = night(renamed, rows)
    assert found.encoded == count_readers(model, rows, 4)
    assert found.hidden.tobytes() == read_all(renamed, rows).tobytes()


def test_a_changed_picture_reads_the_item_s_readers(model: Recommender, rows: Rows, night: Any) -> None:
    night(model, rows)
    image = model.features["image"]
    values = image.values.copy()
    values[4] = -values[4]
    model.features = {**model.features, "image": dataclasses.replace(image, values=values)}
    found = night(model, rows)
    assert found.encoded == count_readers(model, rows, 4)
    assert found.hidden.tobytes() == read_all(model, rows).tobytes()


def test_a_changed_cf_row_reads_nobody_because_no_prompt_holds_it(model: Recommender, rows: Rows, night: Any) -> None:
    night(model, rows)
    cf = model.features["cf"]
    model.features = {**model.features, "cf": dataclasses.replace(cf, values=-cf.values)}
    assert night(model, rows).encoded == 0


@pytest.mark.parametrize("change", ["model", "threads", "pass"])
def test_another_model_or_arithmetic_reads_everybody(
    model: Recommender, rows: Rows, night: Any, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(model, rows)
    if change == "threads":
        monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    more = {"model": {"facts": {"tensors": "two"}}, "threads": {}, "pass": {"pass_tokens": 2000}}[change]
    assert night(model, rows, **more).encoded == USERS
    monkeypatch.undo()
    assert night(model, rows).encoded == 0, "the store of the model before was not kept"


def test_full_reads_everybody_and_gives_the_same_rows(model: Recommender, rows: Rows, night: Any) -> None:
    first, full = night(model, rows), night(model, rows, ignore=True)
    assert full.encoded == USERS
    assert full.hidden.tobytes() == first.hidden.tobytes()


def test_a_stopped_night_goes_on_where_it_was(
    model: Recommender, rows: Rows, night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "BATCH_USERS", 5)
    stop = threading.Event()
    reader = UserReader(model)

    def stopping(batches: Sequence[Any]) -> Iterator[EncodedBatch]:
        for encoded in read_here(reader)(batches):
            stop.set()
            yield encoded

    with pytest.raises(InterruptedRunError, match="kept") as caught:
        night(model, rows, stop=stop, engine=stopping)
    assert caught.value.exit_code == 143
    found = night(model, rows)
    assert found.from_store >= 5
    assert found.encoded == USERS - found.from_store > 0
    assert found.hidden.tobytes() == read_all(model, rows).tobytes()


def test_a_damaged_store_costs_time_and_no_row(model: Recommender, rows: Rows, night: Any, tmp_path: Path) -> None:
    first = night(model, rows)
    (store,) = (tmp_path / "kept").glob("*.sqlite")
    content = store.read_bytes()
    place = content.index(first.hidden[5].tobytes())
    store.write_bytes(content[:place] + b"\x00\x00\x80\x7f" + content[place + 4 :])  # infinity
    again = night(model, rows)
    assert (again.encoded, again.from_store) == (1, USERS - 1)
    assert again.hidden.tobytes() == first.hidden.tobytes()
