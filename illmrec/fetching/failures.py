"""Why a download did not happen: what may be tried again and what may not."""

from __future__ import annotations

from illmrec.errors import DataError


class RefusedError(DataError):
    """The address, the redirect or the answer breaks a rule of ours; asking again cannot help."""


class AnsweredError(DataError):
    """The server gave a final answer that is not the file, such as 404.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class TransientError(DataError):
    """The connection or the server failed in a way that may pass.

    Attributes:
        retry_after: seconds the server asked us to wait; None when it did not.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint or "Run the same command again: it goes on where it stopped.")
        self.retry_after = retry_after
