"""What ``retrain`` made, in the eyes of DVC."""

from __future__ import annotations

import subprocess
import sys

from illmrec.errors import IllmrecError
from pipelines.graph import STAGES
from pipelines.growth.step_log import Result
from pipelines.project.context import Context
from pipelines.project.layout import Layout


def is_dvc_project(layout: Layout) -> bool:
    """Return whether DVC watches the project."""
    return (layout.root / ".dvc").is_dir() and (layout.root / "dvc.yaml").is_file()


def list_targets(layout: Layout) -> list[str]:
    """Return what `dvc commit` is given, in DVC's names: the raw data, and every stage of the data set."""
    raw = ["data.dvc"] if (layout.root / "data.dvc").is_file() else []
    return [*raw, *(f"{stage.name}@{layout.dataset}" for stage in STAGES)]


def record_in_dvc(context: Context) -> Result:
    """Tell DVC what the stages made, so that dvc.lock names it and `dvc repro` finds nothing to do.

    Raises:
        IllmrecError: when DVC fails.
    """
    layout = context.layout
    done = subprocess.run(  # noqa: S603 - the names of data sets are checked letters and digits
        [sys.executable, "-m", "dvc", "--wait-for-lock", "commit", "--force", *list_targets(layout)],
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
