"""Job ``retrain``: from the gate to promotion or refusal."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from illmrec import atomic
from illmrec.errors import IllmrecError, ModelError, NothingToDoError
from illmrec.progress import announce
from pipelines.growth.step_log import StepLog, sign_inputs
from pipelines.parameters.data import PrepareConfig
from pipelines.parameters.operation import PromoteConfig, RegisterConfig
from pipelines.parameters.reading import STAGES
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.lock import hold_lock, locked
from pipelines.project.receipts import write_receipt
from pipelines.registry.promote import promote
from pipelines.registry.register import register
from pipelines.registry.warm_start import find_start
from pipelines.stages.train import train

Start = Literal["scratch", "warm"]
BEFORE_TRAINING = (
    *("prepare", "validate", "split", "encoders", "embed-images", "embed-text"),
    *("summarize", "validate-features", "train-cf"),
)
AFTER_TRAINING = ("evaluate", "export")
VALIDATION = "validation_ndcg@10"


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        name: unique within the job.
        settings: what decides its result beside files.
        reads: files and folders.
        writes: files and folders.
        run: does it and returns what is worth keeping.
    """

    name: str
    settings: dict[str, Any]
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    run: Callable[[], dict[str, Any]]


@locked("retrain")
def retrain(context: Context, start: str, *, promotes: bool, run_stage: Callable[[str], None]) -> dict[str, Any]:
    """Run the steps that are due; return what was done.

    Args:
        context: the data set.
        start: ``scratch``, ``warm`` or ``compare``.
        promotes: end with a promotion or a refusal.
        run_stage: runs a stage's command.

    Raises:
        NothingToDoError: when every step was finished before.
        DataError: when the gate refuses the data.
        ModelError: when the challenger is refused.
    """
    log = StepLog(context.layout.retraining)
    ran: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    for step in plan_steps(context, start, promotes=promotes, run_stage=run_stage):
        inputs = sign_inputs(step.settings, step.reads)
        facts = log.find(step.name, inputs, step.writes)
        if facts is None and _is_kept(step, context.layout, log):
            facts = {"kept": True}
            log.record(step.name, inputs, step.writes, facts)
        elif facts is None:
            announce(f"--- {step.name} {context.layout.dataset}")
            facts = step.run()
            # Signed before it ran: what changed meanwhile was perhaps not read.
            log.record(step.name, inputs, step.writes, facts)
            ran.append(step.name)
        found[step.name] = facts
    return _finish(context, ran, found)


def _finish(context: Context, ran: list[str], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = {"ran": ran, "passed_over": [name for name in found if name not in ran]}
    for name in ("choose", "register", "promote"):
        facts |= found.get(name, {})
    write_receipt(context.layout.receipts, "retrain", facts)
    refused = facts.get("refused")
    version = f"version {facts.get('version')} of {facts.get('model')}"
    if not ran:
        outcome = f"{version} was {'refused' if refused else 'made'} with the same data and parameters"
        raise NothingToDoError(f"every step was finished before: {outcome}.", hint="See `illmrec registry list`.")
    if refused:
        raise ModelError(str(refused), hint="The champion stays. See docs/runbook.md, `Promotion`.")
    return facts


def plan_steps(context: Context, start: str, *, promotes: bool, run_stage: Callable[[str], None]) -> list[Step]:
    """Return all steps in order."""
    layout = context.layout
    starts: tuple[Start, ...] = (
        ("scratch", "warm") if start == "compare" else ("warm" if start == "warm" else "scratch",)
    )
    steps = [_plan_stage(context, stage, run_stage) for stage in BEFORE_TRAINING]
    steps += [_plan_training(context, way) for way in starts]
    variants = tuple(_variant(layout, way) for way in starts)
    steps.append(
        Step("choose", {"starts": starts}, variants, (layout.model, layout.curves), lambda: choose(layout, starts))
    )
    steps += [_plan_stage(context, stage, run_stage) for stage in AFTER_TRAINING]
    made = (layout.model, layout.head, layout.evaluation, layout.quality, layout.feature_quality)
    if (layout.root / ".dvc").is_dir() and (layout.root / "dvc.yaml").is_file():
        steps.append(Step("record", {}, made, (), lambda: record_in_dvc(layout)))
    settings = context.section(RegisterConfig).model_dump(mode="json")
    steps.append(Step("register", settings, made, (), lambda: register_once(context)))
    if promotes:
        settings = context.section(PromoteConfig).model_dump(mode="json")
        steps.append(Step("promote", settings, made, (), lambda: promote_or_refuse(context)))
    return steps


def _plan_stage(context: Context, stage: str, run_stage: Callable[[str], None]) -> Step:
    def run() -> dict[str, Any]:
        run_stage(stage)
        return {}

    section = STAGES[stage.replace("-", "_")]
    reads, writes = _list_files(context)[stage]
    return Step(stage, context.section(section).model_dump(mode="json"), reads, writes, run)


def _list_files(context: Context) -> dict[str, tuple[tuple[Path, ...], tuple[Path, ...]]]:
    """Return what each stage reads and writes."""
    layout = context.layout
    raw = layout.root / context.section(PrepareConfig).folder
    prepared, split, encoders = layout.prepared, layout.split, layout.encoders
    image, text, cf = (layout.features(kind) for kind in ("image", "text", "cf"))
    return {
        "prepare": ((raw,), (prepared,)),
        "validate": ((prepared,), (layout.quality,)),
        "split": ((prepared, layout.quality), (split,)),
        "encoders": ((), (encoders,)),  # kept when the catalog grows
        "embed-images": ((prepared, encoders), (image,)),
        "embed-text": ((prepared, encoders), (text,)),
        "summarize": ((prepared,), (layout.summaries,)),
        "validate-features": ((prepared, image, text), (layout.feature_quality,)),
        "train-cf": ((prepared, split), (cf, layout.cf_model)),
        "evaluate": ((split, encoders, image, text, cf, layout.cf_model, layout.model), (layout.evaluation,)),
        "export": ((split, encoders, image, text, cf, layout.model, layout.feature_quality), (layout.head,)),
    }


def _plan_training(context: Context, way: Start) -> Step:
    layout = context.layout
    features = tuple(layout.features(kind) for kind in ("image", "text", "cf"))
    reads = (layout.split, layout.encoders, layout.summaries, layout.prepared / "items.parquet", *features)
    settings = context.section(STAGES["train"]).model_dump(mode="json")
    return Step(f"train-{way}", settings, reads, (_variant(layout, way),), lambda: train_variant(context, way))


def _variant(layout: Layout, way: Start) -> Path:
    return layout.retraining / way


def train_variant(context: Context, way: Start) -> dict[str, Any]:
    """Train one way and keep the model aside."""
    layout = context.layout
    with hold_lock(layout.lock("train")):
        atomic.sweep_partial(layout.artifacts, layout.model.name)
        with contextlib.redirect_stdout(sys.stderr):
            facts = train(context, find_start(context) if way == "warm" else None)
        with atomic.write_folder(_variant(layout, way)) as folder:
            shutil.copytree(layout.model, folder / "model")
            shutil.copytree(layout.curves, folder / "curves")
    return {f"{way}_{VALIDATION}": facts[VALIDATION], f"{way}_steps": facts["steps"]}


def choose(layout: Layout, starts: tuple[Start, ...]) -> dict[str, Any]:
    """Put the model that ranks the validation targets best where the next stages look for it.

    The test targets have no say: what is chosen by them cannot be judged by them.
    """
    scores = {way: _read_validation(_variant(layout, way)) for way in starts}
    best = max(starts, key=lambda way: scores[way])
    for name, place in (("model", layout.model), ("curves", layout.curves)):
        with atomic.write_folder(place) as folder:
            shutil.copytree(_variant(layout, best) / name, folder, dirs_exist_ok=True)
    return {"start": best, **{f"{way}_{VALIDATION}": score for way, score in scores.items()}}


def _read_validation(variant: Path) -> float:
    state = json.loads((variant / "model" / "state.json").read_text(encoding="utf-8"))["state"]
    return float(state[VALIDATION])


def record_in_dvc(layout: Layout) -> dict[str, Any]:
    """Tell DVC what the stages made, so that dvc.lock names it and `dvc repro` finds nothing to do.

    Raises:
        IllmrecError: when DVC fails.
    """
    stages = [f"{name}@{layout.dataset}" for name in STAGES]
    targets = [*(["data.dvc"] if (layout.root / "data.dvc").is_file() else []), *stages]
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


def register_once(context: Context) -> dict[str, Any]:
    """Register, unless a run that was killed just after had done so."""
    registered = register(_reopen(context), once=True)
    return {"model": registered.model, "version": registered.version}


def _reopen(context: Context) -> Context:
    """Return a context that reads what the stages have made since."""
    return Context(context.layout, context.params)


def promote_or_refuse(context: Context) -> dict[str, Any]:
    """Promote; a refusal is a result and not a failure of the step."""
    try:
        facts = promote(_reopen(context))
    except NothingToDoError:
        return {"promoted": True, "refused": None}
    except ModelError as refusal:
        return {"promoted": False, "refused": str(refusal)}
    return {"promoted": True, "refused": None, "replaces": facts["replaces"], "quality": facts.get("check_quality")}


def _is_kept(step: Step, layout: Layout, log: StepLog) -> bool:
    """Return whether the encoders are those of an earlier `dvc repro`: another catalog is no reason to replace them."""
    return step.name == "encoders" and not log.knows("encoders") and (layout.encoders / "encoders.json").is_file()
