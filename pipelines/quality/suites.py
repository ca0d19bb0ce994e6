"""Every check of the prepared tables, suite by suite.

Great Expectations passes an empty batch and an all-null column, so each suite begins with guards: required columns
present, no nulls, enough rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.quality.checks import Check
from pipelines.quality.core_suite import check_core
from pipelines.quality.description_suite import check_descriptions, check_items, check_raw_descriptions
from pipelines.quality.image_suite import check_images, check_pictures
from pipelines.quality.interaction_suite import check_clock, check_crowds, check_interactions
from pipelines.quality.verdict import NotChecked


def build_checks(bounds: ValidateConfig, prepared: PrepareConfig) -> list[Check]:
    """Return every check of the four suites, guards first in each."""
    return [
        *check_images(bounds),
        *check_pictures(bounds),
        *check_core(bounds, prepared),
        *check_interactions(prepared),
        *check_clock(bounds),
        *check_crowds(bounds),
        *check_items(bounds),
        *check_descriptions(bounds),
        *check_raw_descriptions(bounds),
    ]


def choose_runnable(checks: Sequence[Check], absent: Mapping[str, str]) -> tuple[list[Check], list[NotChecked]]:
    """Part the checks that can run from those about a frame that is absent.

    Args:
        checks: all checks.
        absent: name of a frame that could not be made -> why.
    """
    runnable = [check for check in checks if check.frame not in absent]
    skipped: Iterable[Check] = (check for check in checks if check.frame in absent)
    return runnable, [NotChecked(check.suite, check.name, absent[check.frame]) for check in skipped]
