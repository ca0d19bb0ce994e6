"""The expectation the built-in ones lack: a bound on the share of flagged rows that no empty column can pass."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
from great_expectations.execution_engine import ExecutionEngine, PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics import ColumnMapMetricProvider, column_condition_partial


class ColumnValuesDifferFrom(ColumnMapMetricProvider):
    """Metric: rows whose 0/1 flag differs from ``listed``; the others are the ones worth listing."""

    condition_metric_name = "column_values.differ_from_listed"
    condition_value_keys = ("listed",)

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, listed: int, **_: Any) -> pd.Series:  # noqa: N805 - GX makes it a classmethod
        return column != listed


class ExpectShareToBeBetween(ColumnMapExpectation):
    """Expect the share of rows whose flag is 1 to lie between two bounds, both included.

    Fails on an empty table and on any null, where the built-in expectations pass: no rows show nothing.

    Args:
        column: a column of zeros and ones.
        min_share: smallest share of ones.
        max_share: largest share of ones.
        listed: flag value of the rows to list as unexpected: 1 when ones are bad, 0 when ones are good.
    """

    min_share: float = 0.0
    max_share: float = 1.0
    listed: int = 1

    map_metric: ClassVar[str | None] = ColumnValuesDifferFrom.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("min_share", "max_share", "listed")
    args_keys: ClassVar[tuple[str, ...]] = ("column", "min_share", "max_share", "listed")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> dict[str, Any]:
        outcome: dict[str, Any] = super()._validate(metrics, runtime_configuration, execution_engine)
        rows = metrics["table.row_count"]
        nulls = metrics["column_values.nonnull.unexpected_count"]
        listed = metrics[f"{self.map_metric}.unexpected_count"]
        ones = listed if self.listed else rows - nulls - listed
        share = ones / rows if rows else None
        outcome["success"] = share is not None and not nulls and self.min_share <= share <= self.max_share
        outcome.setdefault("result", {})["observed_value"] = share
        return outcome
