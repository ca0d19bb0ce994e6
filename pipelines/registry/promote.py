"""Job ``promote``: the challenger becomes champion, if it can be shown not to be worse."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from illmrec.errors import ModelError, NothingToDoError
from pipelines.parameters.operation import PromoteConfig
from pipelines.project.context import Context
from pipelines.project.lock import locked
from pipelines.registry.alias_log import Action, list_rolled_back
from pipelines.registry.comparing import judge_versions
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHAMPION
from pipelines.registry.verdicts import Verdict, list_reasons
from pipelines.registry.version import Version


@dataclass(frozen=True)
class Judgement:
    """What was said of a challenger.

    Args:
        challenger: the version.
        champion: the version it would replace; None for the first.
        verdicts: the answer to each question.
        reasons: why it is refused; none where it is not.
    """

    challenger: Version
    champion: Version | None
    verdicts: list[Verdict]
    reasons: list[str]

    def as_facts(self) -> dict[str, Any]:
        """Return it as the command prints it and the receipt keeps it."""
        unanswered = [verdict.check for verdict in self.verdicts if verdict.outcome == "not checked"]
        return {
            "model": self.challenger.name,
            "version": self.challenger.number,
            "replaces": self.champion.number if self.champion else None,
            **{f"check_{verdict.check}": f"{verdict.outcome}; {verdict.found}" for verdict in self.verdicts},
            "not_checked": ", ".join(unanswered) or "nothing",
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "refused_because": self.reasons,
        }

    def explain(self, force: str | None) -> str:
        """Return what the audit log says of the promotion."""
        if self.reasons:
            return f"forced: {force}; refused because: {'; '.join(self.reasons)}"
        return "; ".join(verdict.describe() for verdict in self.verdicts)


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
    judgement = judge_challenger(context, registry)
    facts, refused = judgement.as_facts(), bool(judgement.reasons)
    if refused and force is None:
        registry.write_receipt("promote", facts | {"promoted": False})
        reasons = "".join(f"\n  {reason}" for reason in judgement.reasons)
        hint = "The champion stays. See docs/runbook.md, `Promotion`, for each reason."
        raise ModelError(f"{judgement.challenger.describe()} is refused:{reasons}", hint=hint)
    action: Action = "force" if refused else "promote"
    registry.move_alias(judgement.challenger, CHAMPION, action=action, why=judgement.explain(force))
    registry.write_receipt("promote", facts | {"promoted": True, "forced": force if refused else None})
    return facts | {"alias": CHAMPION, "forced": refused}


def judge_challenger(context: Context, registry: Registry) -> Judgement:
    """Say whether the challenger may take the champion's place, and move nothing.

    Raises:
        NothingToDoError: when the challenger is the champion.
        ModelError: when its files or the audit log are damaged.
    """
    challenger, champion = registry.challenger, registry.find_champion()
    if champion is not None and champion.number == challenger.number:
        hint = "Nothing is needed. A new training is put up with `illmrec register`."
        raise NothingToDoError(f"{champion.describe()} is champion already.", hint=hint)
    files = registry.fetch(challenger)  # nothing is promoted whose files do not verify
    verdicts = judge_versions(context, registry, files, champion)
    reasons = list_reasons(verdicts, context.section(PromoteConfig).required)
    if challenger.number in list_rolled_back(registry.read_log(), CHAMPION):
        reasons.append("rollback: this version was champion and was rolled back from")
    return Judgement(challenger, champion, verdicts, reasons)
