"""A finished project put under git and DVC, with the code its stages depend on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("illmrec", "pipelines", "dvc.yaml", ".dvcignore", ".gitignore")


def run(folder: Path, *arguments: str) -> str:
    """Run a command that must succeed; return what it printed."""
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder / "work" / "site"), "GIT_AUTHOR_NAME": "t"}
    environment |= {"GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(folder: Path, *arguments: str) -> str:
    """Run DVC of this environment."""
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def copy_code(folder: Path) -> None:
    """Copy what the stages depend on."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def record_as_made(folder: Path) -> None:
    """Let DVC own the data and take the stages' outputs as they are, made by the code that is here."""
    run(folder, sys.executable, "-m", "pipelines", "code")
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "add", "-q", "data")
    dvc(folder, "commit", "-f", "dvc.yaml")


def commit_all(folder: Path) -> None:
    """Commit what git does not ignore."""
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "-q", "-m", "state")


def install_environment(root: Path) -> None:
    """Put this process's environment where `make environment` finds it up to date."""
    (root / ".venv").mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name != ".ready":
            (root / ".venv" / entry.name).symlink_to(entry)
    made_from = f"{root.resolve()}\n".encode() + b"".join(
        (root / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")
    )
    digest = subprocess.run(["git", "hash-object", "--stdin"], input=made_from, capture_output=True, check=True)
    (root / ".venv" / ".ready").write_bytes(digest.stdout)
