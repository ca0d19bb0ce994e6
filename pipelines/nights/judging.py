"""The audit of a night: what it is compared with, and what is left behind when it is refused."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID
from illmrec.errors import DataError, ModelError
from illmrec.scoring.audit import Bounds, Check, Due, audit_recommendations, count_days, list_faults
from illmrec.scoring.output import POINTER, Night, check_run, find_latest
from pipelines.nights.inputs import Inputs
from pipelines.project.layout import Layout
from pipelines.project.receipts import write_receipt

log = logging.getLogger(__name__)

AUDIT_FILE = "audit.json"


def find_published(layout: Layout) -> Night | None:
    """Return the night that readers are pointed to; None where there is none, or it is damaged."""
    if not (layout.exports / POINTER).is_file():
        return None
    try:
        night = find_latest(layout.exports)
        check_run(night.folder)
    except DataError as error:
        log.warning("the night published last is damaged and compared with nothing: %s", error)
        return None
    return night


def audit_night(inputs: Inputs, table: pl.DataFrame, published: Night | None) -> None:
    """Check a night, keep what was found among the receipts, and stop one that fails.

    Args:
        inputs: what it was made of.
        table: its rows.
        published: the night that readers are pointed to; None for none.

    Raises:
        ModelError: naming every failed check; what was published before stays.
    """
    last = choose_comparison(published, inputs.run_folder.name, inputs.day)
    checks = judge_night(inputs, table, last)
    compared = None if last is None else last.folder.name
    keep_audit(inputs.layout, checks, {"date": inputs.day.isoformat(), "run": inputs.run_id, "compared_with": compared})
    refuse_faults(checks)


def judge_night(inputs: Inputs, table: pl.DataFrame, last: Night | None) -> list[Check]:
    """Return every check of a night.

    Args:
        inputs: what it was made of.
        table: its rows.
        last: the night to compare with, already found to be the right one; None for none.
    """
    catalog, audience, offer = inputs.catalog, inputs.audience, inputs.offer
    bounds = inputs.config.audit.model_dump()
    across = bounds.pop("overlap_across_models")
    due = Due(
        users=pl.Series(audience.user_ids, dtype=pl.String),
        items=catalog.items[ITEM_ID].gather(offer.indices),
        seen=inputs.interactions.filter(pl.col(ITEM_ID).is_in(catalog.item_ids)),
        k=inputs.config.k,
        age_days=count_days(audience.newest, inputs.day),
        withdrawn=catalog.items.filter(pl.Series(~offer.allowed))[ITEM_ID],
    )
    models = table["model_version"].unique().to_list()
    comparable = last is not None and (across or models == [last.model])
    rows = None if last is None else last.read()
    return audit_recommendations(table, due, Bounds(**bounds), last=rows, compare_lists=comparable)


def choose_comparison(published: Night | None, folder_name: str, day: datetime.date) -> Night | None:
    """Return the published night where tonight can be compared with it: an earlier or the same day, another run."""
    if published is None or published.folder.name == folder_name or published.date > day.isoformat():
        return None
    return published


def keep_audit(layout: Layout, checks: list[Check], night: dict[str, Any]) -> None:
    """Write audit.json among the receipts, and a dated copy."""
    body = night | {
        "passed": all(check.passed for check in checks),
        "checks": [_describe(check) for check in checks],
    }
    atomic.write_json(layout.receipts / AUDIT_FILE, body)
    write_receipt(layout.receipts, "audit", body)


def _describe(check: Check) -> dict[str, Any]:
    body = dataclasses.asdict(check) | {"passed": check.passed}
    # JSON knows no infinity; it stands for "nothing known at all".
    return body | ({"value": None} if check.value == float("inf") else {})


def refuse_faults(checks: list[Check]) -> None:
    """Stop a night that fails its audit.

    Raises:
        ModelError: naming every failed check; what was published before stays.
    """
    faults = list_faults(checks)
    if faults:
        hint = (
            "The last published night stays. work/receipts/<data set>/audit.json has every check; docs/runbook.md says "
            "what to do about each."
        )
        raise ModelError(f"the recommendations fail their audit: {'; '.join(faults)}.", hint=hint)
