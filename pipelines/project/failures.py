"""What may go wrong around the project rather than in it: a full disk, a folder of somebody else's, a broken store.

Libraries raise classes of their own for these, or the system's :class:`OSError`. Here they become errors that say what
to do. Anything else is a defect of this project and keeps its traceback.
"""

from __future__ import annotations

import errno

from illmrec.errors import IllmrecError, MachineError, ModelError

STORES = ("mlflow", "sqlalchemy", "sqlite3", "alembic")
"""Packages whose exceptions mean that the store of runs and models cannot be used."""

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
SHAPES = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST}

HINTS = {
    "full": "Free some space (`illmrec doctor` says how much there is), then give the same command again: what was "
    "there before is whole.",
    "refused": "Change the owner or the permissions of that path, or work in a folder of your own (--root).",
    "shape": "Where a folder is needed lies a file, or the other way round: move it away.",
    "files": "Raise the limit of open files, for instance `ulimit -n 4096`.",
    "memory": "Stop other programs, or lower train.pass_tokens, embed_images.batch_size or recommend.pass_tokens.",
    "store": "Run `illmrec doctor`. Look at MLFLOW_TRACKING_URI where it is set; a damaged mlflow.db comes back from a "
    "backup.",
}


def explain_failure(error: BaseException) -> IllmrecError | None:
    """Return the error to show in place of ``error``; None where it is no failure of the surroundings."""
    names = [f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__]
    if any(name.split(".")[0] in STORES for name in names):
        return ModelError(f"the store of runs and models fails: {_describe(error)}.", hint=HINTS["store"])
    if isinstance(error, MemoryError) or any(name.endswith(".OutOfMemoryError") for name in names):
        return MachineError(f"memory is used up: {_describe(error)}.", hint=HINTS["memory"])
    return _explain_system(error) if isinstance(error, OSError) and error.errno is not None else None


def _explain_system(error: OSError) -> MachineError:
    path = error.filename2 or error.filename
    told = (error.strerror or str(error)).lower()
    return MachineError(f"the system refuses: {told}.", path=path, hint=_choose_hint(error.errno))


def _choose_hint(number: int | None) -> str:
    if number in FULL:
        return HINTS["full"]
    if number in REFUSED:
        return HINTS["refused"]
    if number in SHAPES:
        return HINTS["shape"]
    return (
        HINTS["files"] if number in (errno.EMFILE, errno.ENFILE) else "Run `illmrec doctor`; -v shows where it failed."
    )


def _describe(error: BaseException) -> str:
    """Return an error's telling line: stores wrap the cause into pages of SQL."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("(raised as a result")]
    return (telling[0] if telling else type(error).__name__).rstrip(".")
