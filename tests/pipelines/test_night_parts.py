"""Parts of a night: who is in which, and their way to another process and back."""

from __future__ import annotations

import numpy as np

from illmrec.data.histories import pack_rows
from illmrec.scoring.output import choose_partition
from pipelines.nights.audience import Audience, cut_into_parts
from pipelines.nights.scoring_work import read_part, write_part


def make_audience(users: int) -> Audience:
    rows = [[user % 7, (user + 3) % 7] if user % 4 else [] for user in range(users)]
    return Audience([f"u{user:03d}" for user in range(users)], pack_rows(rows), np.arange(7, dtype=np.int64), None)


def test_every_user_is_in_the_part_of_the_files() -> None:
    audience = make_audience(60)
    hidden = np.arange(len(audience.warm) * 3, dtype=np.float32).reshape(-1, 3)
    parts = list(cut_into_parts(audience, hidden, 8))
    assert [part.number for part in parts] == list(range(8))
    assert sorted(user for part in parts for user in part.warm + part.cold) == audience.user_ids
    place = {audience.user_ids[user]: row for row, user in enumerate(audience.warm)}
    for part in parts:
        assert {choose_partition(user, 8) for user in part.warm + part.cold} <= {part.number}
        for row, user in enumerate(part.warm):
            assert (part.hidden[row] == hidden[place[user]]).all()
            assert part.seen[row].tolist() == audience.histories[audience.user_ids.index(user)].tolist()


def test_a_users_part_does_not_depend_on_who_else_came() -> None:
    small, large = make_audience(30), make_audience(60)
    before, after = (
        {
            user: part.number
            for part in cut_into_parts(audience, np.zeros((len(audience.warm), 1), dtype=np.float32), 8)
            for user in part.warm + part.cold
        }
        for audience in (small, large)
    )
    assert all(after[user] == number for user, number in before.items())


def test_a_part_comes_back_as_it_was_sent() -> None:
    audience = make_audience(40)
    for part in cut_into_parts(audience, np.full((len(audience.warm), 2), 1 / 3, dtype=np.float32), 16):
        back = read_part(write_part(part))
        assert (back.number, back.warm, back.cold) == (part.number, part.warm, part.cold)
        assert (back.hidden == part.hidden).all()
        assert back.hidden.dtype == np.float32
        assert (back.seen.values == part.seen.values).all()
        assert (back.seen.offsets == part.seen.offsets).all()
