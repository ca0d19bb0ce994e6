from __future__ import annotations

import datetime

import pytest

from illmrec.fetching.client import parse_retry_after
from illmrec.fetching.failures import RefusedError, TransientError
from illmrec.fetching.retry import Backoff, retry


def make_failing(errors: list[Exception]):
    def operation() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return operation


def test_waits_double_are_spread_and_bounded() -> None:
    waits: list[float] = []
    backoff = Backoff(attempts=6, first_seconds=1, longest_seconds=5, sleep=waits.append, draw=lambda: 0.0)
    assert retry(make_failing([TransientError("x")] * 5), backoff) == "done"
    assert waits == [0.5, 1.0, 2.0, 2.5, 2.5]
    assert Backoff(first_seconds=1, draw=lambda: 0.999).choose_wait(1, None) == pytest.approx(1.0, abs=1e-3)


def test_giving_up_raises_the_last_error_and_says_what_to_do() -> None:
    waits: list[float] = []
    backoff = Backoff(attempts=3, sleep=waits.append)
    with pytest.raises(TransientError, match="last") as error:
        retry(make_failing([TransientError("a"), TransientError("b"), TransientError("last")]), backoff)
    assert len(waits) == 2
    assert "same command" in error.value.hint


def test_what_the_server_asks_for_is_waited() -> None:
    waits: list[float] = []
    backoff = Backoff(attempts=3, longest_seconds=60, sleep=waits.append, draw=lambda: 0.0)
    retry(make_failing([TransientError("x", retry_after=7.0)]), backoff)
    assert waits == [7.0]


def test_a_server_that_asks_for_too_long_is_given_up_at_once() -> None:
    with pytest.raises(TransientError) as error:
        retry(make_failing([TransientError("x", retry_after=3600.0)]), Backoff(longest_seconds=60))
    assert "3,600 s" in error.value.hint


def test_progress_starts_the_count_anew() -> None:
    done = iter(range(100))
    waits: list[float] = []
    backoff = Backoff(attempts=2, sleep=waits.append, draw=lambda: 0.0)
    assert retry(make_failing([TransientError("x")] * 5), backoff, lambda: next(done)) == "done"
    assert waits == [0.5] * 5


def test_final_errors_are_not_tried_again() -> None:
    with pytest.raises(RefusedError):
        retry(make_failing([RefusedError("no")]), Backoff(sleep=lambda _: pytest.fail("waited")))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("120", 120.0), (" 5 ", 5.0), ("soon", None), ("-3", None), ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0)],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    now = datetime.datetime(2026, 11, 24, 12, 0, 0, tzinfo=datetime.UTC)
    assert parse_retry_after(value, now) == seconds


def test_a_date_in_the_past_means_now() -> None:
    assert parse_retry_after("Tue, 24 Nov 2020 12:00:30 GMT") == 0.0
