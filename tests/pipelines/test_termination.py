"""SIGTERM as a request, once; the second one is the usual end."""

import os
import signal

import pytest

from pipelines.project.termination import notice_sigterm


class EndedError(Exception):
    """Stands for the end of the process."""


def end(*_: object) -> None:
    raise EndedError


def test_the_first_signal_is_noticed_and_the_second_ends() -> None:
    before = signal.signal(signal.SIGTERM, end)
    try:
        with notice_sigterm() as asked:
            assert not asked.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            assert asked.is_set()
            with pytest.raises(EndedError):
                os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)
