r"""What DVC takes for pictures in shards, beside the same pictures as loose files.

Both hold the same made-up bytes. Each round adds a folder to a new project, asks for its status, then removes the
folder and checks it out again from the cache. Everything runs as commands of their own, so times are wall seconds with
the start of DVC in them, and no memory is measured.

\b
Example:
  python -m benchmarks.versions --quick --json
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import measure

PICTURE_BYTES = 2_000
PAIRS = 5
STEPS = {"dvc add": ["add", "data"], "dvc status, nothing changed": ["status"], "dvc checkout": ["checkout"]}


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="2,000 pictures, one round; ends within 50 seconds.")
@click.option("--pictures", type=click.IntRange(min=1), default=None, help="Number of pictures; default 100,000.")
@click.option("--pairs", type=click.IntRange(min=1), default=None, help=f"Measured pairs; default {PAIRS}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(quick: bool, pictures: int | None, pairs: int | None, as_json: bool) -> None:
    """Measure and print."""
    count, rounds = pictures or (2_000 if quick else 100_000), pairs or (1 if quick else PAIRS)
    with tempfile.TemporaryDirectory() as folder:
        layouts = {"loose": Path(folder) / "loose", "shards": Path(folder) / "shards"}
        _write_loose(layouts["loose"], count)
        _write_shards(layouts["shards"], count)
        times: dict[str, list[tuple[float, float]]] = {step: [] for step in STEPS}
        for number in range(rounds):
            found = {name: _run_round(Path(folder) / f"{name}-{number}", raw) for name, raw in layouts.items()}
            for step in STEPS:
                times[step].append((found["loose"][step], found["shards"][step]))
    settings: dict[str, Any] = {
        "pictures": count,
        "bytes a picture": PICTURE_BYTES,
        "reference": "one file a picture",
        "pairs": rounds,
        "time": "wall seconds, the start of DVC included",
    }
    rows = [measure.make_row(step, pairs_of_step) for step, pairs_of_step in times.items()]
    measure.show("versions", settings, rows, as_json)


def _draw(number: int) -> bytes:
    return np.random.default_rng(number).bytes(PICTURE_BYTES)


def _write_loose(folder: Path, count: int) -> None:
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        (folder / "images" / f"i{number:07d}.jpg").write_bytes(_draw(number))


def _write_shards(folder: Path, count: int) -> None:
    """Write the pictures through the writer that ``illmrec fetch images`` uses."""
    from illmrec.columns import IMAGE_OK
    from illmrec.data.shards import MAX_PICTURES, PictureRow, ShardStore

    store = ShardStore(folder / "images", min_batch=MAX_PICTURES)
    for number in range(count):
        content = _draw(number)
        digest = hashlib.sha256(content).hexdigest()
        url = f"https://images.example/{number}.jpg"
        row = PictureRow(f"i{number:07d}", 0, url, IMAGE_OK, digest, 8, 8, len(content), None, None, "", 0)
        store.add(row, content)
    store.close()


def _run_round(project: Path, raw: Path) -> dict[str, float]:
    """Return the seconds of each step in a new project over a copy of ``raw``."""
    project.mkdir()
    shutil.copytree(raw, project / "data")
    _run_dvc(project, ["init", "--no-scm", "--quiet"])
    seconds = {}
    for step, arguments in STEPS.items():
        if arguments == ["checkout"]:
            shutil.rmtree(project / "data")
        start = time.perf_counter()
        _run_dvc(project, arguments)
        seconds[step] = time.perf_counter() - start
    shutil.rmtree(project)
    return seconds


def _run_dvc(project: Path, arguments: list[str]) -> None:
    private = {"DVC_SITE_CACHE_DIR": str(project / "site-cache"), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(command, cwd=project, env=os.environ | private, check=True, capture_output=True)  # noqa: S603


if __name__ == "__main__":
    main()
