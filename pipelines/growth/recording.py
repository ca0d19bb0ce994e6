"""What ``retrain`` made, in the eyes of DVC."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from illmrec.errors import IllmrecError
from pipelines.graph import list_shared_targets, list_stage_targets
from pipelines.growth.step_log import Result
from pipelines.project.context import Context
from pipelines.project.layout import Layout

RunCommand = Callable[[Sequence[str]], None]
"""Runs a subcommand, given with its options, in this process."""


def is_dvc_project(layout: Layout) -> bool:
    """Return whether DVC watches the project."""
    return (layout.root / ".dvc").is_dir() and (layout.root / "dvc.yaml").is_file()


def record_in_dvc(run: RunCommand, context: Context) -> Result:
    """Tell DVC what the stages made, so that dvc.lock names it and `dvc repro` finds nothing to do.

    What code they reach is written first, for else `dvc repro` would find it changed.

    Raises:
        IllmrecError: when DVC fails.
    """
    layout = context.layout
    targets = [*list_shared_targets(layout.root), *list_stage_targets(layout.dataset)]
    run(["code"])
    done = subprocess.run(  # noqa: S603 - the names of data sets are checked letters and digits
        [sys.executable, "-m", "dvc", "--wait-for-lock", "commit", "--force", *targets],
        cwd=layout.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-5:])
        raise IllmrecError(f"dvc commit failed:\n{tail}", hint="Run `dvc status`, mend it, and give the command again.")
    return {}
