"""What became of the checks, in plain types: the content of gate.json and of the error that closes the gate."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from illmrec.errors import DataError

log = logging.getLogger(__name__)

GATE_FILE = "gate.json"
DOCS_INDEX = "docs/index.html"
NAMED_ROWS = 3
"""Offending rows named in an error message; gate.json names more."""


@dataclass(frozen=True)
class CheckResult:
    """What became of one check.

    ``observed`` is a number of rows or a share; None when there were no rows to observe. ``offending`` holds the first
    offending rows: row of the Parquet file, ids, and the value where it is a count. ``remedy`` says what to change.
    """

    suite: str
    name: str
    severity: str
    passed: bool
    observed: float | None
    expected: str
    remedy: str
    offending: list[dict[str, Any]]
    offending_count: int

    @property
    def is_critical_failure(self) -> bool:
        """Whether this result closes the gate."""
        return not self.passed and self.severity == "critical"


@dataclass(frozen=True)
class NotChecked:
    """A check that had nothing to look at, and why. It neither passed nor failed."""

    suite: str
    name: str
    reason: str


def describe_gate(
    results: Sequence[CheckResult], rows: Mapping[str, int], not_checked: Sequence[NotChecked] = ()
) -> dict[str, Any]:
    """Return what gate.json says: the verdict, the failures counted, every check, and the rows of each table."""
    critical = sum(result.is_critical_failure for result in results)
    return {
        "passed": critical == 0,
        "critical_failures": critical,
        "warnings": sum(not result.passed for result in results) - critical,
        "checks": [asdict(result) for result in results],
        "not_checked": [asdict(check) for check in not_checked],
        "data_docs": DOCS_INDEX,
        "rows": dict(rows),
    }


def refuse_failures(results: Sequence[CheckResult], judged: Path, quality: Path, what: str = "tables") -> None:
    """Return when no critical check failed.

    Args:
        results: the results of all checks.
        judged: folder of what was judged.
        quality: folder of gate.json and the Data Docs.
        what: what was judged, for the message.

    Raises:
        DataError: naming each failed critical check, what was observed and expected, and the first offending rows.
    """
    failures = [result for result in results if result.is_critical_failure]
    if not failures:
        return
    lines = "".join(f"\n  {describe_failure(failure)}" for failure in failures)
    remedies = "\n    ".join(f"{index}. {text}" for index, text in enumerate(_remedies(failures), start=1))
    seen = f"  All results: {quality / GATE_FILE}\n  Data Docs: {quality / DOCS_INDEX}"
    message = f"the data quality gate refused the {what}; failed critical checks: {len(failures)}{lines}"
    raise DataError(message, path=judged, hint=f"\n    {remedies}\n{seen}")


def warn_failures(results: Sequence[CheckResult]) -> None:
    """Log each failed check that does not close the gate, with its remedy."""
    for result in results:
        if not result.passed and not result.is_critical_failure:
            log.warning("%s; to do: %s", describe_failure(result), result.remedy)


def describe_failure(failure: CheckResult) -> str:
    """Return one line about one failed check; ids are quoted, so that none can act on a terminal."""
    observed = "nothing" if failure.observed is None else f"{failure.observed:g}"
    line = f"{failure.suite}.{failure.name}: observed {observed}, expected {failure.expected}"
    named = [", ".join(f"{key} {value!r}" for key, value in row.items()) for row in failure.offending[:NAMED_ROWS]]
    more = failure.offending_count - len(named)
    return "; ".join([line, *named, *([f"and {more} more"] if named and more > 0 else [])])


def _remedies(failures: Sequence[CheckResult]) -> list[str]:
    return list(dict.fromkeys(failure.remedy for failure in failures))
