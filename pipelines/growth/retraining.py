"""Job ``retrain``: from the gate to promotion or refusal.

Its steps are the stages of :mod:`pipelines.graph`, with two exceptions (training may begin from the champion, encoders
are kept), and what follows them: record, register, promote. DVC alone cannot do it: a stage of ``dvc.yaml`` that is
outdated is run again, the encoders with it, and a project need not be watched by DVC to be retrained.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from illmrec import atomic
from illmrec.errors import ModelError, NothingToDoError
from illmrec.progress import announce
from pipelines.graph import STAGES, Stage
from pipelines.growth.recording import RunCommand, is_dvc_project, record_in_dvc
from pipelines.growth.starts import STARTS, TRAIN, choose, place_variant, train_variant
from pipelines.growth.step_log import Result, Step, StepLog
from pipelines.parameters.data import PrepareConfig
from pipelines.parameters.operation import PromoteConfig, RegisterConfig
from pipelines.parameters.reading import SECTIONS
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.lock import locked
from pipelines.project.receipts import write_receipt
from pipelines.registry.promote import promote
from pipelines.registry.register import register


@locked("retrain")
def retrain(context: Context, start: str, *, promotes: bool, run: RunCommand) -> Result:
    """Run the steps that are due; return what was done.

    Args:
        context: the data set.
        start: ``scratch``, ``warm`` or ``compare``.
        promotes: end with a promotion or a refusal.
        run: runs the subcommands of stages, which refuse what their gates refuse.

    Raises:
        NothingToDoError: when every step was finished before.
        DataError: when the gate refuses the data.
        ModelError: when the challenger is refused.
    """
    atomic.sweep_partial(context.layout.retraining)
    log = StepLog(context.layout.retraining)

    def begin(step: Step) -> None:
        announce(f"--- {step.name} {context.layout.dataset}")
        ran.append(step.name)

    ran: list[str] = []
    steps = plan_steps(context, start, promotes=promotes, run=run)
    results = {step.name: log.bring_up_to_date(step, begin) for step in steps}
    return _conclude(context, ran, results)


def _conclude(context: Context, ran: list[str], results: Mapping[str, Result]) -> Result:
    """Write the receipt; return what it says, or raise where nothing ran or the challenger was refused."""
    summary: Result = {"ran": ran, "passed_over": [name for name in results if name not in ran]}
    for name in ("choose", "register", "promote"):
        summary |= results.get(name, {})
    write_receipt(context.layout.receipts, "retrain", summary)
    refused = summary.get("refused")
    if not ran:
        version = f"version {summary.get('version')} of {summary.get('model')}"
        outcome = f"{version} was {'refused' if refused else 'made'} with the same data and parameters"
        raise NothingToDoError(f"every step was finished before: {outcome}.", hint="See `illmrec registry list`.")
    if refused:
        raise ModelError(str(refused), hint="The champion stays. See docs/runbook.md, `Promotion`.")
    return summary


def plan_steps(context: Context, start: str, *, promotes: bool, run: RunCommand) -> list[Step]:
    """Return all steps in order: those of the stages, then those that use what the stages made."""
    steps: list[Step] = []
    for stage in STAGES:
        steps += _plan_training(context, start) if stage is TRAIN else [_plan_stage(context, stage, run)]
    return [*steps, *_plan_publication(context, promotes=promotes, run=run)]


def _plan_stage(context: Context, stage: Stage, run: RunCommand) -> Step:
    def run_stage() -> Result:
        run([stage.command, "--dataset", context.layout.dataset])
        return {}

    # Another catalog is no reason to replace the encoders: every feature would mean something else.
    kept = stage.name == "encoders"
    reads = () if kept else _list_inputs(context, stage)
    writes = _list_outputs(context.layout, stage)
    return Step(stage.command, _list_settings(context, stage), reads, writes, run_stage, adopts=kept)


def _plan_training(context: Context, start: str) -> list[Step]:
    """Return a step for each start, and the choice between what they made."""
    layout, starts = context.layout, STARTS[start]
    variants = tuple(place_variant(layout, one) for one in starts)
    settings, reads = _list_settings(context, TRAIN), _list_inputs(context, TRAIN)
    steps = [
        Step(f"train-{one}", settings, reads, (variant,), functools.partial(train_variant, replace(context), one))
        for one, variant in zip(starts, variants, strict=True)
    ]
    best = functools.partial(choose, layout, starts)
    return [*steps, Step("choose", {"starts": starts}, variants, _list_outputs(layout, TRAIN), best)]


def _plan_publication(context: Context, *, promotes: bool, run: RunCommand) -> list[Step]:
    made = tuple(path for stage in STAGES for path in _list_outputs(context.layout, stage))

    def plan(name: str, settings: dict[str, Any], work: Callable[[Context], Result]) -> Step:
        return Step(name, settings, made, (), functools.partial(work, replace(context)))

    steps = [plan("record", {}, functools.partial(record_in_dvc, run))] if is_dvc_project(context.layout) else []
    steps.append(plan("register", context.section(RegisterConfig).model_dump(mode="json"), register_once))
    if promotes:
        steps.append(plan("promote", context.section(PromoteConfig).model_dump(mode="json"), promote_or_refuse))
    return steps


def _list_settings(context: Context, stage: Stage) -> dict[str, Any]:
    """Return the parameters that a stage reads: its own, and further sections by their names."""
    sections = {name: context.section(SECTIONS[name]).model_dump(mode="json") for name in (stage.name, *stage.sections)}
    return sections.pop(stage.name) | sections


def _list_inputs(context: Context, stage: Stage) -> tuple[Path, ...]:
    raw = (context.layout.root / context.section(PrepareConfig).folder,) if stage.name == "prepare" else ()
    return (*raw, *(context.layout.artifacts / place for place in stage.inputs))


def _list_outputs(layout: Layout, stage: Stage) -> tuple[Path, ...]:
    return tuple(layout.artifacts / place for place in stage.outputs)


def register_once(context: Context) -> Result:
    """Register, unless a run that was killed just after had done so."""
    registered = register(context, once=True)
    return {"model": registered.model, "version": registered.version}


def promote_or_refuse(context: Context) -> Result:
    """Promote; a refusal is a result and not a failure of the step."""
    try:
        receipt = promote(context)
    except NothingToDoError:
        return {"promoted": True, "refused": None}
    except ModelError as refusal:
        return {"promoted": False, "refused": str(refusal)}
    return {"promoted": True, "refused": None, "replaces": receipt["replaces"], "quality": receipt.get("check_quality")}
