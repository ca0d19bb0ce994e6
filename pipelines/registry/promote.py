"""Job ``promote``: the challenger becomes champion, if it can be shown not to be worse."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from illmrec.errors import ModelError, NothingToDoError
from pipelines.parameters.operation import PromoteConfig
from pipelines.project.context import Context
from pipelines.project.lock import locked
from pipelines.registry.alias_log import list_rolled_back
from pipelines.registry.comparing import judge_versions
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHAMPION
from pipelines.registry.verdicts import Verdict, list_reasons
from pipelines.registry.version import Version


@locked("registry")
def promote(context: Context, force: str | None = None) -> dict[str, Any]:
    """Judge, move the alias, write the audit log and a receipt; return what was done.

    Args:
        context: the data set.
        force: reason to promote a challenger that is refused; None to let a refusal stand.

    Raises:
        NothingToDoError: when the challenger is the champion.
        ModelError: when the challenger is refused, or its files are damaged.
    """
    registry = Registry(context)
    challenger, champion = registry.challenger, registry.find_champion()
    if champion is not None and champion.number == challenger.number:
        hint = "Nothing is needed. A new training is put up with `illmrec register`."
        raise NothingToDoError(f"{champion.describe()} is champion already.", hint=hint)
    files = registry.fetch(challenger)  # nothing is promoted whose files do not verify
    verdicts = judge_versions(context, registry, files, champion)
    reasons = list_reasons(verdicts, context.section(PromoteConfig).required)
    if challenger.number in list_rolled_back(registry.read_log(), CHAMPION):
        reasons.append("rollback: this version was champion and was rolled back from")
    facts = _describe(challenger, champion, verdicts, reasons)
    if reasons and force is None:
        registry.write_receipt("promote", facts | {"promoted": False})
        hint = "The champion stays. See docs/runbook.md, `Promotion`, for each reason."
        found = "".join(f"\n  {reason}" for reason in reasons)
        raise ModelError(f"{challenger.describe()} is refused:{found}", hint=hint)
    why = "; ".join(verdict.describe() for verdict in verdicts)
    if reasons:
        why = f"forced: {force}; refused because: {'; '.join(reasons)}"
    registry.move_alias(challenger, CHAMPION, action="force" if reasons else "promote", why=why)
    registry.write_receipt("promote", facts | {"promoted": True, "forced": force if reasons else None})
    return facts | {"alias": CHAMPION, "forced": bool(reasons)}


def _describe(
    challenger: Version, champion: Version | None, verdicts: list[Verdict], reasons: list[str]
) -> dict[str, Any]:
    return {
        "model": challenger.name,
        "version": challenger.number,
        "replaces": champion.number if champion else None,
        **{f"check_{verdict.check}": f"{verdict.outcome}; {verdict.found}" for verdict in verdicts},
        "not_checked": ", ".join(verdict.check for verdict in verdicts if verdict.outcome == "not checked")
        or "nothing",
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "refused_because": reasons,
    }
