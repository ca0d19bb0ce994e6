"""Job ``repro``: `dvc repro` for several data sets at the same time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

BUSY = "is busy, it is being blocked by"
BUSY_RETRIES = 60


@click.command()
@click.option("--dataset", "chosen", multiple=True, help="Data set of the parameters file; default: all of them.")
@click.option("--jobs", type=click.IntRange(1), default=None, help="Data sets at a time; default: processor cores.")
@click.option("--pull", is_flag=True, help="Fetch from the DVC remote what it holds, and make only the rest.")
def command(chosen: tuple[str, ...], jobs: int | None, pull: bool) -> None:
    r"""Bring all stages up to date, several data sets at a time.

    The same as `dvc repro`, which takes one stage after the other: stages of different data sets do not depend on each
    other, and one core per data set does more than two cores on one. Each data set's output is in work/logs/.

    With --pull, what a DVC remote holds is fetched instead of made again. At the end it says so when git would take
    outputs into a commit.

    \b
    Example:
      illmrec repro
      illmrec repro --dataset amazon --dataset hm --jobs 2
      illmrec repro --pull
    """
    from illmrec.errors import IllmrecError
    from pipelines.graph import list_shared_targets, list_stage_targets
    from pipelines.parameters.data import PrepareConfig
    from pipelines.parameters.reading import read_params
    from pipelines.project.ignored import describe_unignored

    root, params_path = click.get_current_context().find_root().obj
    params = read_params(params_path)
    for dataset in chosen:
        params.section(PrepareConfig, dataset)
    datasets = list(chosen) or params.datasets
    cores = os.cpu_count() or 1
    at_once = min(jobs or cores, len(datasets))
    logs = root / "work" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    threads = max(1, cores // at_once)
    options = ["--pull"] if pull else []
    # What all data sets wait for comes first, by itself. Then each process takes its stages one by one: DVC lets nobody
    # look at what a running stage reads, and stages of all data sets read what these made.
    shared = logs / "shared.log"
    if reproduce(root, [*options, *list_shared_targets(root)], shared, threads):
        raise IllmrecError(f"what all data sets wait for failed:\n{read_tail(shared)}", hint=f"See {logs}.")
    options += ["--single-item"]
    with ThreadPoolExecutor(at_once) as pool:
        runs = [
            pool.submit(reproduce, root, [*options, *list_stage_targets(name)], logs / f"{name}.log", threads)
            for name in datasets
        ]
        codes = [run.result() for run in runs]
    if warning := describe_unignored(root):
        click.echo(warning, err=True)
    failed = [dataset for dataset, code in zip(datasets, codes, strict=True) if code]
    if failed:
        shown = "\n".join(read_tail(logs / f"{dataset}.log") for dataset in failed)
        error = IllmrecError(f"stages failed for {', '.join(failed)}:\n{shown}", hint=f"See {logs}.")
        error.exit_code = find_exit_code(shown)
        raise error
    click.echo(f"up to date: {', '.join(datasets)}")


def reproduce(root: Path, arguments: list[str], log: Path, threads: int) -> int:
    """Run `dvc repro` with some arguments until nothing of DVC's own stands in its way; return its exit code."""
    log.unlink(missing_ok=True)
    for _ in range(BUSY_RETRIES):
        code = run_dvc(root, arguments, log, threads)
        # While one process looks at a file, DVC turns others away at once, --wait-for-lock or not.
        if not code or BUSY not in read_tail(log):
            break
        time.sleep(1.0)
    return code


def run_dvc(root: Path, arguments: list[str], log: Path, threads: int) -> int:
    """Run `dvc repro` once, tell of every stage on stderr, append all output to ``log``; return its exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # noqa: S603 - the names of data sets are checked letters and digits
        [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *arguments],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with log.open("a", encoding="utf-8") as file:
        for line in process.stdout or ():
            file.write(line)
            file.flush()
            if is_news(line) and BUSY not in line:
                click.echo(f"{log.stem}: {line.strip()}", err=True)
    return process.wait()


def find_exit_code(output: str) -> int:
    """Return the exit code of the stage that failed, which DVC names but does not pass on; 1 where it names none."""
    named = re.findall(r"exited with (\d+)", output)
    return int(named[0]) if named else 1


def is_news(line: str) -> bool:
    """Return whether a line of DVC's output belongs on the terminal: a stage begins, is skipped or fails."""
    return line.startswith(("Running stage", "Stage", "ERROR", "error"))


def read_tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log."""
    tail: Sequence[str] = log.read_text(encoding="utf-8").splitlines()[-lines:]
    return "\n".join(tail)
