"""What git would take into a commit although it is data, a model or a product of the pipeline.

DVC writes ``.gitignore`` entries for outputs and takes them back when a later stage fails, so a ``git add .`` after a
failed run can put gigabytes into the history.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

PRODUCTS = ("data", "artifacts", "exports", "work", "mlflow.db", "mlartifacts")
"""What git should never hold, relative to the project's root; small files of DVC's and git's own excepted."""

KEPT_BY_GIT = (".gitignore", ".dvc")
"""Endings of files below those folders that belong into git."""


def find_unignored(root: Path) -> list[str]:
    """Return the top-most product paths with files that git holds or would take, each with a trailing count of files.

    Empty where nothing is wrong, git is not installed or the project is not in a git repository.
    """
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *PRODUCTS]
    try:
        listed = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - fixed arguments
    except OSError:
        return []
    if listed.returncode:
        return []
    files = [name for name in listed.stdout.decode("utf-8", "replace").split("\0") if name]
    counts: dict[str, int] = {}
    for name in files:
        if not name.endswith(KEPT_BY_GIT):
            top = "/".join(name.split("/")[:2])
            counts[top] = counts.get(top, 0) + 1
    return [f"{path} ({count:,} file{'s' if count > 1 else ''})" for path, count in sorted(counts.items())]


def describe_unignored(root: Path) -> str:
    """Return a warning for the terminal, or nothing."""
    found = find_unignored(root)
    if not found:
        return ""
    tops = sorted({entry.split("/")[0].split(" ")[0] for entry in found})
    lines = [f"git would take products of the pipeline into a commit: {', '.join(found)}."]
    lines.append(f"next: put {', '.join('/' + top for top in tops)} into .gitignore before you commit.")
    return "\n".join(lines)
