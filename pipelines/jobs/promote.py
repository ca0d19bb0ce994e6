"""Job ``promote``: the challenger becomes champion, if it can be shown not to be worse."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from illmrec.config import PromoteConfig, RegisterConfig
from illmrec.errors import IllmrecError, ModelError, NothingToDoError
from pipelines.context import Context, dataset_options, open_context
from pipelines.jobs.register import write_receipt
from pipelines.lock import hold_lock

if TYPE_CHECKING:
    import polars as pl

    from pipelines.promotion import Comparison, Verdict
    from pipelines.release import Release
    from pipelines.tracking import Released, Tracker


@click.command()
@dataset_options
@click.option("--force", metavar="REASON", default=None, help="Promote in spite of a refusal; REASON is written down.")
def command(dataset: str, as_json: bool, force: str | None) -> None:
    r"""Make the challenger champion, if it can be shown to lose less than a margin.

    Both versions' ranks of the same test targets are compared user by user: the interval of the difference must lie
    above promote.margin. It must also be shown to rank better than a list of popular items, and cold items, coverage,
    latency, memory and fallback share must hold. The first challenger is judged by itself. Each answer is printed; what
    could not be asked is called `not checked`. Exit code 4 when refused, 6 when the challenger is the champion already.

    \b
    Example:
      illmrec promote --dataset amazon
      illmrec promote --dataset amazon --force "new data, judged by hand, ticket 17"
    """
    if force is not None and not force.strip():
        raise click.UsageError("--force needs a reason in words.")
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("registry")):
        facts = promote(context, force)
    # The lines `check_...` say the same for people.
    context.emit(facts if as_json else {key: value for key, value in facts.items() if key != "verdicts"})


def promote(context: Context, force: str | None = None) -> dict[str, Any]:
    """Judge, move the alias, write the audit log and a receipt; return what was done.

    Args:
        context: the data set.
        force: reason to promote a challenger that is refused; None to let a refusal stand.

    Raises:
        NothingToDoError: when the challenger is the champion.
        ModelError: when the challenger is refused, or its files are damaged.
    """
    from pipelines.alias_log import list_rolled_back, move_alias, read_log
    from pipelines.promotion import list_reasons
    from pipelines.release import fetch_release
    from pipelines.tracking import CHALLENGER, CHAMPION, Tracker

    layout, config = context.layout, context.section(PromoteConfig)
    name = context.section(RegisterConfig).name_prefix + layout.dataset
    tracker = Tracker(layout.root)
    challenger, champion = tracker.resolve(name, CHALLENGER), tracker.find(name, CHAMPION)
    if champion is not None and champion.version == challenger.version:
        hint = "Nothing is needed. A new training is put up with `illmrec register`."
        raise NothingToDoError(f"version {champion.version} of {name} is champion already.", hint=hint)
    release = fetch_release(layout, tracker, challenger)  # nothing is promoted whose files do not verify
    verdicts = judge_versions(context, tracker, release, champion)
    reasons = list_reasons(verdicts, config.required)
    if challenger.version in list_rolled_back(read_log(layout.alias_log), CHAMPION):
        reasons.append("rollback: this version was champion and was rolled back from")
    facts = _describe(challenger, champion, verdicts, reasons)
    if reasons and force is None:
        write_receipt(layout.receipts, "promote", facts | {"promoted": False})
        hint = "The champion stays. See docs/runbook.md, `Promotion`, for each reason."
        found = "".join(f"\n  {reason}" for reason in reasons)
        raise ModelError(f"version {challenger.version} of {name} is refused:{found}", hint=hint)
    why = "; ".join(verdict.describe() for verdict in verdicts)
    if reasons:
        why = f"forced: {force}; refused because: {'; '.join(reasons)}"
    move_alias(layout.alias_log, tracker, challenger, CHAMPION, action="force" if reasons else "promote", why=why)
    write_receipt(layout.receipts, "promote", facts | {"promoted": True, "forced": force if reasons else None})
    return facts | {"alias": CHAMPION, "forced": bool(reasons)}


def judge_versions(context: Context, tracker: Tracker, release: Release, champion: Released | None) -> list[Verdict]:
    """Return every verdict on a challenger.

    Args:
        context: the data set.
        tracker: the store.
        release: the challenger's files.
        champion: the version it would replace; None for the first.
    """
    from pipelines.promotion import judge, read_figures
    from pipelines.registered_ranks import RANKS_FILE, read_ranks

    path = release.find(RANKS_FILE)
    ranks = read_ranks(path) if path else None
    return judge(
        context.section(PromoteConfig),
        read_figures(release.released.tags),
        read_figures(champion.tags) if champion else None,
        ranks,
        lambda: "no champion" if champion is None else compare_ranks(context, tracker, release, ranks, champion),
    )


def compare_ranks(
    context: Context, tracker: Tracker, release: Release, ranks: pl.DataFrame | None, champion: Released
) -> Comparison | str:
    """Return both versions' ranks, paired if there is any way, or why there are none.

    Registered ranks are paired when both were won in the same contest: same histories, targets and items. Otherwise
    the champion ranks today's targets, if they are the challenger's. Failing that, two groups of users are compared.
    """
    from pipelines.promotion import Comparison, share_of_pairs
    from pipelines.registered_ranks import RANKS_FILE, read_ranks
    from pipelines.release import fetch_release

    config = context.section(PromoteConfig)
    if ranks is None:
        return "the challenger was registered without ranks"
    try:
        old = fetch_release(context.layout, tracker, champion)
    except ModelError as error:
        return f"the champion's files do not verify: {error}"
    path = old.find(RANKS_FILE)
    before = read_ranks(path) if path else None
    same = release.released.tags.get("split_sha256", "") == champion.tags.get("split_sha256", "none")
    if before is not None and same and share_of_pairs(ranks, before) >= config.min_shared:
        return Comparison(ranks, before, "paired")
    today, note = _rank_today(context, release, old)
    if today is not None:
        shared = share_of_pairs(ranks, today)
        if shared >= config.min_shared:
            return Comparison(ranks, today, "re-evaluated", "the test targets are others than the champion's")
        note = f"the champion could rank {shared:.0%} of the challenger's targets"
    return note if before is None else Comparison(ranks, before, "unpaired", note)


def _rank_today(context: Context, release: Release, champion: Release) -> tuple[pl.DataFrame | None, str]:
    from pipelines.reevaluation import rank_release
    from pipelines.registered_ranks import digest_split

    try:
        if digest_split(context.layout) != release.released.tags.get("split_sha256"):
            return None, "today's split is not the one the challenger was ranked on"
        return rank_release(context, champion), ""
    except IllmrecError as error:
        return None, f"the champion cannot be ranked on today's split: {error}"


def _describe(
    challenger: Released, champion: Released | None, verdicts: list[Verdict], reasons: list[str]
) -> dict[str, Any]:
    return {
        "model": challenger.name,
        "version": challenger.version,
        "replaces": champion.version if champion else None,
        **{f"check_{verdict.check}": f"{verdict.outcome}; {verdict.found}" for verdict in verdicts},
        "not_checked": ", ".join(verdict.check for verdict in verdicts if verdict.outcome == "not checked")
        or "nothing",
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "refused_because": reasons,
    }
