"""Typed errors on their way from a Ray worker: Ray would wrap them in its own, so they travel as text in a row."""

from __future__ import annotations

import json

from illmrec import errors


def write_error(error: errors.IllmrecError) -> str:
    """Return an error as text."""
    content = {
        "kind": type(error).__name__,
        "message": error.message,
        "path": str(error.path or ""),
        "hint": error.hint,
    }
    return json.dumps(content)


def raise_written(text: str) -> None:
    """Raise what :func:`write_error` wrote; nothing for an empty text.

    Raises:
        IllmrecError: of the kind that was written.
    """
    if text:
        content = json.loads(text)
        kind: type[errors.IllmrecError] = getattr(errors, content["kind"])
        raise kind(content["message"], path=content["path"] or None, hint=content["hint"])
