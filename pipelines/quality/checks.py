"""A check: one expectation about one frame of facts, with the words that explain it to a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import great_expectations.expectations as gxe
import polars as pl
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from pipelines.quality.expectations import ExpectShareToBeBetween

Severity = Literal["critical", "warning"]
Observed = Literal["row_count", "offending_rows", "share", "value"]

PREPARE_AGAIN = "run `illmrec prepare` again with the parameters of this run"
EMPTY_ITEMS = "items.parquet is empty: see prepare.folder, prepare.user_core and prepare.item_core"
"""Remedies that several suites name."""


@dataclass(frozen=True)
class Check:
    """One expectation about one frame of :mod:`pipelines.quality.facts`.

    ``expected`` completes the sentence "expected ..."; ``remedy`` names the parameter or the data to change;
    ``observed`` says which number of the result is reported; ``offending`` selects the rows to name.
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
    offending: pl.Expr

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
        expectation = gxe.ExpectTableRowCountToBeBetween, {"min_value": minimum}
        return self._check(
            name, f"{minimum} or more {self.frame}", remedy, severity, "row_count", expectation, pl.lit(value=False)
        )

    def none(self, name: str, column: str, what: str, remedy: str) -> Check:
        """Expect no row flagged by ``column``; critical."""
        expectation = ExpectShareToBeBetween, {"column": column, "max_share": 0.0}
        return self._check(name, f"0 {what}", remedy, "critical", "offending_rows", expectation, pl.col(column) == 1)

    def at_most(
        self, name: str, column: str, share: float, what: str, remedy: str, severity: Severity = "warning"
    ) -> Check:
        """Expect at most a share of rows flagged by ``column``."""
        expectation = ExpectShareToBeBetween, {"column": column, "max_share": share}
        expected = f"at most {share:g} as the share of {what}"
        return self._check(name, expected, remedy, severity, "share", expectation, pl.col(column) == 1)

    def at_least(
        self, name: str, column: str, share: float, what: str, remedy: str, severity: Severity = "warning"
    ) -> Check:
        """Expect at least a share of rows flagged by ``column``; the rows that are not flagged offend."""
        expectation = ExpectShareToBeBetween, {"column": column, "min_share": share, "listed": 0}
        expected = f"at least {share:g} as the share of {what}"
        return self._check(name, expected, remedy, severity, "share", expectation, pl.col(column) == 0)

    def no_less(self, name: str, column: str, minimum: int, what: str, remedy: str) -> Check:
        """Expect every value of ``column`` to reach ``minimum``; critical. Nulls pass."""
        expectation = gxe.ExpectColumnValuesToBeBetween, {"column": column, "min_value": minimum}
        offending = pl.col(column) < minimum
        return self._check(name, f"0 {what}", remedy, "critical", "offending_rows", expectation, offending)

    def no_more(self, name: str, column: str, maximum: float, what: str, remedy: str) -> Check:
        """Expect no value of ``column`` above ``maximum``; critical. Nulls pass."""
        expectation = gxe.ExpectColumnValuesToBeBetween, {"column": column, "max_value": maximum}
        offending = pl.col(column) > maximum
        return self._check(name, f"0 {what}", remedy, "critical", "offending_rows", expectation, offending)

    def filled(self, name: str, column: str, what: str, remedy: str) -> Check:
        """Expect no null in ``column``; critical."""
        expectation = gxe.ExpectColumnValuesToNotBeNull, {"column": column}
        return self._check(
            name, f"0 {what}", remedy, "critical", "offending_rows", expectation, pl.col(column).is_null()
        )

    def value_at_least(
        self, name: str, column: str, minimum: float, what: str, remedy: str, severity: Severity = "warning"
    ) -> Check:
        """Expect the least value of ``column``, usually a frame of one row, to reach ``minimum``."""
        expectation = gxe.ExpectColumnMinToBeBetween, {"column": column, "min_value": minimum}
        expected = f"at least {minimum:g} as {what}"
        return self._check(name, expected, remedy, severity, "value", expectation, pl.col(column) < minimum)

    def _check(
        self,
        name: str,
        expected: str,
        remedy: str,
        severity: Severity,
        observed: Observed,
        expectation: tuple[type[Expectation], dict[str, Any]],
        offending: pl.Expr,
    ) -> Check:
        return Check(self.suite, self.frame, name, expected, remedy, severity, observed, *expectation, offending)

    def columns(self) -> list[Check]:
        """Guard of a frame of columns: each is there, of its type, and holds no null."""
        remedy = "run `illmrec prepare` again; the tables lack what this version writes"
        nulls = "required columns with nulls or without rows"
        return [
            self.none("required_columns_present", "missing", "required columns missing or of another type", remedy),
            self.no_more("required_columns_not_null", "null_share", 0.0, nulls, remedy),
        ]
