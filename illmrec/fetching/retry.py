"""Trying again, with waits that double, are spread at random, and respect what the server asks for."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from illmrec.fetching.failures import TransientError

Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """How often and after how long something is tried again.

    Attributes:
        attempts: tries in a row without progress.
        first_seconds: upper end of the first wait; it doubles each time.
        longest_seconds: no wait is longer; a server that asks for more is given up.
        sleep: waits.
        draw: a number in [0, 1), so that many clients do not come back at the same moment.
    """

    attempts: int = 6
    first_seconds: float = 1.0
    longest_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = field(default_factory=lambda: random.Random().random)

    def choose_wait(self, attempt: int, asked: float | None) -> float | None:
        """Return the seconds to wait after failed attempt ``attempt`` (from 1); None to give up.

        Args:
            attempt: failures in a row so far.
            asked: what the server asked for.
        """
        if attempt >= self.attempts or (asked is not None and asked > self.longest_seconds):
            return None
        ceiling = min(self.first_seconds * 2.0 ** min(attempt - 1, 30), self.longest_seconds)
        spread = ceiling * (0.5 + 0.5 * self.draw())
        return spread if asked is None else min(max(spread, asked), self.longest_seconds)


def retry(operation: Callable[[], Result], backoff: Backoff, measure: Callable[[], int] = lambda: 0) -> Result:
    """Call ``operation`` until it returns or there is no point in going on.

    Args:
        operation: raises :class:`TransientError` where another try may help.
        backoff: how often and after how long.
        measure: how much is done so far; a failure after progress counts as the first in a row.

    Raises:
        TransientError: the last one.
    """
    failures, done = 0, measure()
    while True:
        try:
            return operation()
        except TransientError as error:
            now = measure()
            failures, done = (1 if now > done else failures + 1), now
            wait = backoff.choose_wait(failures, error.retry_after)
            if wait is None:
                if error.retry_after is not None and error.retry_after > backoff.longest_seconds:
                    error.hint = f"The server asks to wait {error.retry_after:,.0f} s: run the same command after that."
                raise
            log.info("%s Trying again in %.1f s.", error, wait)
            backoff.sleep(wait)
