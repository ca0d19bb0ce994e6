"""The note that marks a folder as synthetic, and lets the next run know that it may replace it."""

from __future__ import annotations

from pathlib import Path

from illmrec.errors import DataError

NOTICE = "SYNTHETIC.md"
GENERATOR_VERSION = 1
"""Raised whenever the same seed would give other bytes."""

_TITLE = "# Synthetic data set\n"


def write_notice(folder: Path, layout: str, seed: int) -> None:
    """Write the note into ``folder``; ``layout`` names the publisher's layout in plain words."""
    text = (
        f"{_TITLE}\n"
        "Everything in this folder was made by `illmrec sample`. No person, product, picture or interaction in it is\n"
        "real, and no figure measured on it says anything about real data.\n\n"
        f"- layout: {layout}\n"
        f"- seed: {seed}\n"
        f"- generator version: {GENERATOR_VERSION}\n\n"
        "The next `illmrec sample` replaces the folder as a whole; keep nothing of your own in it.\n"
    )
    (folder / NOTICE).write_text(text, encoding="utf-8")


def is_synthetic(folder: Path) -> bool:
    """Return whether a raw folder says that its data were made up."""
    return (folder / NOTICE).exists()


def refuse_foreign(folder: Path) -> None:
    """Check that ``folder`` may be replaced: it is absent, empty or marked as synthetic.

    Raises:
        DataError: when it holds anything else, so that real data are never overwritten.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    ours = folder.is_dir() and not folder.is_symlink()
    if ours and (not any(folder.iterdir()) or _is_marked(folder / NOTICE)):
        return
    raise DataError(
        f"holds something that `illmrec sample` did not write (no {NOTICE} of its own), so it is left alone.",
        path=folder,
        hint="Move it away, or run with --root set to another folder.",
    )


def _is_marked(notice: Path) -> bool:
    if not notice.is_file():
        return False
    with notice.open("rb") as file:
        return file.read(len(_TITLE)) == _TITLE.encode()
