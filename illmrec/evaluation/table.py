"""What an evaluation measured, as one tidy table: a row per number, a column per thing that tells numbers apart.

====================  =======  ===========  =========  ========  ========  =========  ======  =====
what                  model    variant      place      against   protocol  metric     cutoff  ends
====================  =======  ===========  =========  ========  ========  =========  ======  =====
a mean over users     illmrec                                    full      ndcg       10      yes
a paired difference   illmrec                          sasrec    full      ndcg       10      and p
with wrong pictures   illmrec  shuffled     prompt               full      ndcg       10      yes
what they change      illmrec  shuffled     prompt     intact    full      ndcg       10      and p
its users as it is    illmrec  intact                            full      ndcg       10      yes
of all lists at once  illmrec                                    lists     coverage   10      no
a count or a share                                               cases     users              no
====================  =======  ===========  =========  ========  ========  =========  ======  =====

An empty cell is null. ``low`` and ``high`` are the ends of the interval over users; a difference has ``p`` besides, and
``p_holm``, corrected for all differences that were tested with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import polars as pl

from illmrec import atomic
from illmrec.columns import Schema
from illmrec.errors import DataError, IllmrecError
from illmrec.evaluation.metrics import Metric
from illmrec.evaluation.summary import Difference, Estimate

FULL, LISTS, CASES = "full", "lists", "cases"
"""Protocols: targets ranked among the full catalog; the best items of the full catalog; what was evaluated on."""
INTACT = "intact"
"""The variant with its own pictures, and what variants are compared with."""

SCHEMA: Schema = {
    **dict.fromkeys(("model", "variant", "place", "against", "protocol", "metric"), pl.String),
    "cutoff": pl.Int32,
    **dict.fromkeys(("value", "low", "high", "p", "p_holm"), pl.Float64),
}
NEVER_NULL = ("protocol", "metric", "value")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One row.

    Args:
        model: whose; None for what is of the cases.
        variant: what stands in place of its pictures, or :data:`INTACT`; None for the model on all users.
        place: where that stands: ``prompt``, ``retrieval`` or ``both``.
        against: what ``value`` is the difference to: another model, or :data:`INTACT`; None where it is no difference.
        protocol: what targets were ranked among, :data:`LISTS` or :data:`CASES`.
        metric: its name without the cutoff.
        cutoff: k; None where there is none.
        value: the mean, the difference, the count or the share.
        low: lower end of its interval.
        high: upper end.
        p: two-sided p-value of a difference.
        p_holm: the same, corrected.
    """

    model: str | None = None
    variant: str | None = None
    place: str | None = None
    against: str | None = None
    protocol: str = FULL
    metric: str
    cutoff: int | None = None
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def name(self) -> Metric:
        """The metric with its cutoff."""
        return Metric(self.metric, self.cutoff)

    @property
    def label(self) -> str:
        """What the number is of, such as ``illmrec with shuffled in prompt minus intact, full, ndcg@10``."""
        wrong = None if self.variant is None else f"with {self.variant}" + (f" in {self.place}" if self.place else "")
        minus = None if self.against is None else f"minus {self.against}"
        whose = " ".join(part for part in (self.model, wrong, minus) if part)
        return ", ".join(part for part in (whose, self.protocol, str(self.name)) if part)

    @property
    def estimate(self) -> Estimate | None:
        """The value with its interval; None where it has none."""
        return None if self.low is None or self.high is None else Estimate(self.value, self.low, self.high)


class Where(TypedDict, total=False):
    """What a row is looked for by, beside its metric; see :class:`Measurement`."""

    model: str | None
    variant: str | None
    place: str | None
    against: str | None
    protocol: str


def measure_mean(metric: Metric, estimate: Estimate, **where: Unpack[Where]) -> Measurement:
    """Return the row of a mean."""
    ends = {"low": estimate.low, "high": estimate.high}
    return Measurement(metric=metric.name, cutoff=metric.cutoff, value=estimate.value, **ends, **where)


def measure_difference(metric: Metric, difference: Difference, **where: Unpack[Where]) -> Measurement:
    """Return the row of a paired difference."""
    found = difference.estimate
    return Measurement(
        metric=metric.name,
        cutoff=metric.cutoff,
        value=found.value,
        low=found.low,
        high=found.high,
        p=difference.p,
        p_holm=difference.holm,
        **where,
    )


def measure_single(metric: Metric, value: float, **where: Unpack[Where]) -> Measurement:
    """Return the row of a number without an interval."""
    return Measurement(metric=metric.name, cutoff=metric.cutoff, value=float(value), **where)


class MetricsTable:
    """The rows of one evaluation, each found by what it is of.

    Args:
        rows: no two of the same thing.
        path: where they were read; named in errors.
        hint: what to do where a row is missing.

    Raises:
        DataError: when two rows are of the same thing, or a number is not finite.
    """

    def __init__(self, rows: Iterable[Measurement], *, path: Path | None = None, hint: str = "") -> None:
        self.rows = tuple(rows)
        self._path, self._hint = path, hint
        self._places: dict[tuple[object, ...], Measurement] = {}
        for row in self.rows:
            key = (row.name, row.model, row.variant, row.place, row.against, row.protocol)
            if key in self._places:
                raise self.refuse(f"there are two rows of {row.label}")
            broken = [value for value in astuple(row) if isinstance(value, float) and not math.isfinite(value)]
            if broken:
                raise self.refuse(f"{row.label} is {broken[0]}, expected a number")
            self._places[key] = row

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def find(self, metric: Metric, **where: Unpack[Where]) -> Measurement | None:
        """Return one row; None where there is none. What is not named must be null, the protocol the full catalog."""
        keys = [where.get(name) for name in ("model", "variant", "place", "against")]
        return self._places.get((metric, *keys, where.get("protocol", FULL)))

    def get(self, metric: Metric, **where: Unpack[Where]) -> Measurement:
        """Return one row; arguments as those of :meth:`find`.

        Raises:
            DataError: when there is none.
        """
        row = self.find(metric, **where)
        if row is None:
            wanted = Measurement(metric=metric.name, cutoff=metric.cutoff, value=math.nan, **where)
            raise self.refuse(f"there is no {wanted.label}")
        return row

    def value(self, metric: Metric, **where: Unpack[Where]) -> float:
        """Return a row's value; raises DataError where there is no such row."""
        return self.get(metric, **where).value

    def interval(self, metric: Metric, **where: Unpack[Where]) -> Estimate:
        """Return a row's value with its interval; raises DataError where there is no such row, or it has no ends."""
        row = self.get(metric, **where)
        if row.estimate is None:
            raise self.refuse(f"{row.label} has no interval")
        return row.estimate

    def compare(self, metric: Metric, **where: Unpack[Where]) -> Difference:
        """Return a paired difference, of ``model`` to ``against``, with its tests.

        Raises:
            DataError: when there is no such row, or it lacks an end or a p-value.
        """
        row, estimate = self.get(metric, **where), self.interval(metric, **where)
        if row.p is None or row.p_holm is None:
            raise self.refuse(f"{row.label} has no p-value")
        return Difference(estimate, row.p, row.p_holm)

    def count(self, name: str) -> int:
        """Return a count of the cases; raises DataError where there is none, or it is no whole number."""
        row = self.get(Metric(name), protocol=CASES)
        if not row.value.is_integer():
            raise self.refuse(f"{row.label} is {row.value}, expected a whole number")
        return int(row.value)

    def select(self, metric: Metric | None = None, **where: Unpack[Where]) -> list[Measurement]:
        """Return the rows that are as asked, in their order; what is not named may be anything."""
        rows = self.rows if metric is None else [row for row in self.rows if row.name == metric]
        return [row for row in rows if all(getattr(row, name) == value for name, value in where.items())]

    def refuse(self, message: str) -> DataError:
        """Return the error that says what is wrong with the table, and what to do."""
        return DataError(f"{message}.", path=self._path, hint=self._hint)

    def as_rows(self) -> list[dict[str, Any]]:
        """Return every row as an object, null cells included."""
        return [asdict(row) for row in self.rows]

    def to_frame(self) -> pl.DataFrame:
        """Return the table, columns as in :data:`SCHEMA`."""
        return pl.DataFrame([astuple(row) for row in self.rows], schema=SCHEMA, orient="row")


def write_metrics(path: Path, table: MetricsTable) -> None:
    """Write a table as Parquet; equal tables give equal bytes."""
    atomic.write_parquet(path, table.to_frame())


def read_metrics(path: Path, hint: str = "", refusal: type[IllmrecError] = DataError) -> MetricsTable:
    """Read what :func:`write_metrics` wrote.

    Args:
        path: the file.
        hint: what to do where it is damaged.
        refusal: class of the error about a damaged file.

    Raises:
        DataError: or ``refusal``, when it is no Parquet, has other columns, lacks a value or has a row twice.
    """
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise refusal(f"is not readable as Parquet: {first}.", path=path, hint=hint) from None
    if dict(frame.schema) != SCHEMA:
        raise refusal(f"has the columns {dict(frame.schema)}, expected {SCHEMA}.", path=path, hint=hint)
    empty = [name for name in NEVER_NULL if frame[name].null_count()]
    if empty:
        raise refusal(f"has rows without {empty[0]}.", path=path, hint=hint)
    try:
        return MetricsTable((Measurement(**row) for row in frame.iter_rows(named=True)), path=path, hint=hint)
    except DataError as error:
        raise refusal(error.message, path=path, hint=hint) from None
