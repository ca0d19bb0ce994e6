"""Where an artifact comes from: commit, pipeline lock, parameters, code version."""

from __future__ import annotations

import subprocess
from pathlib import Path

import illmrec
from illmrec.atomic import digest_file
from pipelines.parameters.reading import Params, digest_parameters


def describe_lineage(root: Path, params: Params, dataset: str) -> dict[str, str]:
    """Return flat facts for tags: git commit (with ``+changes`` when the tree is dirty), dvc.lock and parameters."""
    lock = root / "dvc.lock"
    return {
        "git_commit": _git_commit(root),
        "dvc_lock_sha256": digest_file(lock) if lock.is_file() else "none",
        "params_sha256": digest_parameters(params, dataset),
        "illmrec_version": illmrec.__version__,
        "dataset": dataset,
    }


def _git_commit(root: Path) -> str:
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return "none"
    return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
