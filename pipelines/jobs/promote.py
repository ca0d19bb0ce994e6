"""Job ``promote``: the challenger becomes champion, if its figures allow it."""

from __future__ import annotations

from typing import Any

import click

from illmrec.config import PromoteConfig, RegisterConfig
from illmrec.errors import ModelError, NothingToDoError
from pipelines.context import Context, dataset_options, open_context
from pipelines.jobs.register import write_receipt
from pipelines.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Make the challenger champion, unless its metric is clearly below the champion's.

    The first challenger becomes champion as it is. Later ones may lose at most promote.margin of promote.metric. Exit
    code 4 when refused, 6 when the challenger is the champion already.

    \b
    Example:
      illmrec promote --dataset amazon
    """
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("registry")):
        facts = promote(context)
    context.emit(facts)


def promote(context: Context) -> dict[str, Any]:
    """Compare and move the alias, write a receipt, return what was done."""
    from pipelines.tracking import CHALLENGER, CHAMPION, Tracker, metric_tag

    config = context.section(PromoteConfig)
    name = context.section(RegisterConfig).name_prefix + context.layout.dataset
    tracker = Tracker(context.layout.root)
    challenger = tracker.resolve(name, CHALLENGER)
    try:
        champion = tracker.resolve(name, CHAMPION)
    except ModelError:
        champion = None
    if champion is not None and champion.version == challenger.version:
        raise NothingToDoError(f"version {champion.version} of {name} is champion already.")
    facts: dict[str, Any] = {"model": name, "version": challenger.version, "metric": config.metric}
    key = metric_tag(config.metric)
    if key not in challenger.tags:
        raise ModelError(f"version {challenger.version} of {name} has no tag {key!r}.", hint="Check promote.metric.")
    facts["challenger"] = float(challenger.tags[key])
    if champion is not None:
        facts |= {"replaces": champion.version, "champion": float(champion.tags[key])}
        floor = facts["champion"] * (1.0 - config.margin)
        if facts["challenger"] < floor:
            write_receipt(context.layout.receipts, "promote", facts | {"promoted": False})
            found = f"{config.metric} is {facts['challenger']:.4f}, at least {floor:.4f} is needed"
            hint = "The champion stays. See the run's curves, or raise promote.margin."
            raise ModelError(f"version {challenger.version} of {name} is refused: {found}.", hint=hint)
    tracker.set_alias(challenger, CHAMPION)
    write_receipt(context.layout.receipts, "promote", facts | {"promoted": True})
    return facts | {"alias": CHAMPION}
