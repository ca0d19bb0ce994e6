"""Typed errors. Each says what is wrong, where, what was expected, and what to do next.

::

    IllmrecError                    exit code
      ParameterError                2
      MissingArtifactError          2
      DataError                     3
      ModelError                    4
      LockedError                   5
      NothingToDoError              6
      MachineError                  7
      InterruptedRunError           143

The command line turns them into one message and an exit code; nothing else in the project does.
"""

from __future__ import annotations

from pathlib import Path


class IllmrecError(Exception):
    """Base of every error a user can cause or cure; :mod:`illmrec.errors` has its kinds.

    Args:
        message: what is wrong, with the value got and the value expected.
        path: the file or folder concerned.
        row: 1-based line or row in ``path``.
        hint: the next command to run or thing to change.

    Attributes:
        exit_code: what the command line ends with.

    Example:
        >>> try:
        ...     illmrec.read_latest(Path("exports/nowhere"))
        ... except illmrec.IllmrecError as error:
        ...     print(type(error).__name__, error.exit_code, error.hint)
        DataError 3 Run `illmrec recommend`.
    """

    exit_code = 2

    def __init__(self, message: str, *, path: Path | str | None = None, row: int | None = None, hint: str = "") -> None:
        """Store the parts and compose the text that users see."""
        self.message, self.path, self.row, self.hint = message, path, row, hint
        where = "" if path is None else f"{path}: " if row is None else f"{path}, row {row}: "
        super().__init__(where + message)


class ParameterError(IllmrecError):
    """A parameter is unknown, of the wrong type or out of range. Exit code 2."""


class MissingArtifactError(IllmrecError):
    """A command needs the output of an earlier command that has not run. Exit code 2."""


class DataError(IllmrecError):
    """Raw or prepared data are missing, malformed or refused by the quality gate. Exit code 3."""

    exit_code = 3


class ModelError(IllmrecError):
    """A model, checkpoint or registry entry is missing, damaged or refused by a gate. Exit code 4."""

    exit_code = 4


class LockedError(IllmrecError):
    """Another run holds the lock of this stage or job. Exit code 5."""

    exit_code = 5


class NothingToDoError(IllmrecError):
    """The request is already satisfied. Exit code 6."""

    exit_code = 6


class MachineError(IllmrecError):
    """The machine cannot do it: the disk or the memory is full, or a folder is somebody else's. Exit code 7."""

    exit_code = 7


class InterruptedRunError(IllmrecError):
    """A run was asked to stop and did, with its state saved. Exit code 143, as of a process that SIGTERM ended."""

    exit_code = 143
