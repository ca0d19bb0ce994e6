"""A check: one expectation about one frame of facts, with the words that explain it to a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from pipelines.quality.expectations import ExpectShareToBeBetween

Severity = Literal["critical", "warning"]
Observed = Literal["row_count", "offending_rows", "share"]


@dataclass(frozen=True)
class Check:
    """One expectation about one frame of :func:`pipelines.quality.facts.gather_facts`.

    ``expected`` completes the sentence "expected ..."; ``remedy`` names the parameter or the data to change;
    ``observed`` says which number of the result is reported.
    """

    suite: str
    frame: str
    name: str
    expected: str
    remedy: str
    severity: Severity
    observed: Observed
    expectation_type: type[Expectation]
    arguments: dict[str, Any]

    @property
    def column(self) -> str | None:
        """The column the expectation is about; None when it is about the frame as a whole."""
        return self.arguments.get("column")

    def build_expectation(self) -> Expectation:
        """Return the expectation; ``meta`` carries the check's name through a run of Great Expectations."""
        return self.expectation_type(
            severity=FailureSeverity(self.severity),
            description=f"{self.name.replace('_', ' ').capitalize()} ({self.severity}): {self.expected}.",
            meta={"check": self.name},
            **self.arguments,
        )


@dataclass(frozen=True)
class Subject:
    """One frame within one suite; its methods make checks about it."""

    suite: str
    frame: str

    def rows(self, name: str, minimum: int, remedy: str, severity: Severity = "critical") -> Check:
        """Expect at least ``minimum`` rows."""
        kind, arguments = gxe.ExpectTableRowCountToBeBetween, {"min_value": minimum}
        expected = f"{minimum} or more {self.frame}"
        return Check(self.suite, self.frame, name, expected, remedy, severity, "row_count", kind, arguments)

    def none(self, name: str, column: str, what: str, remedy: str) -> Check:
        """Expect no row flagged by ``column``; critical."""
        kind, arguments = ExpectShareToBeBetween, {"column": column, "max_share": 0.0}
        return Check(self.suite, self.frame, name, f"0 {what}", remedy, "critical", "offending_rows", kind, arguments)

    def at_most(
        self, name: str, column: str, share: float, what: str, remedy: str, severity: Severity = "warning"
    ) -> Check:
        """Expect at most a share of rows flagged by ``column``."""
        kind, arguments = ExpectShareToBeBetween, {"column": column, "max_share": share}
        expected = f"at most {share:g} as the share of {what}"
        return Check(self.suite, self.frame, name, expected, remedy, severity, "share", kind, arguments)

    def at_least(
        self, name: str, column: str, share: float, what: str, remedy: str, severity: Severity = "warning"
    ) -> Check:
        """Expect at least a share of rows flagged by ``column``; the rows that are not flagged are listed."""
        kind, arguments = ExpectShareToBeBetween, {"column": column, "min_share": share, "listed": 0}
        expected = f"at least {share:g} as the share of {what}"
        return Check(self.suite, self.frame, name, expected, remedy, severity, "share", kind, arguments)

    def bounded(self, name: str, column: str, what: str, remedy: str, **bounds: float) -> Check:
        """Expect every value of ``column`` within ``min_value`` and ``max_value``; critical. Nulls pass."""
        kind, arguments = gxe.ExpectColumnValuesToBeBetween, {"column": column, **bounds}
        return Check(self.suite, self.frame, name, f"0 {what}", remedy, "critical", "offending_rows", kind, arguments)

    def filled(self, name: str, column: str, what: str, remedy: str) -> Check:
        """Expect no null in ``column``; critical."""
        kind, arguments = gxe.ExpectColumnValuesToNotBeNull, {"column": column}
        return Check(self.suite, self.frame, name, f"0 {what}", remedy, "critical", "offending_rows", kind, arguments)

    def columns(self) -> list[Check]:
        """Guard of a frame of columns: each is there, of its type, and holds no null."""
        remedy = "run `illmrec prepare` again; the tables lack what this version writes"
        nulls = "required columns with nulls or without rows"
        return [
            self.none("required_columns_present", "missing", "required columns missing or of another type", remedy),
            self.bounded("required_columns_not_null", "null_share", nulls, remedy, max_value=0.0),
        ]
