"""Names of results in a flat mapping: ``model/protocol/metric``, with ``.low`` and ``.high`` for an interval's ends.

A difference reads ``first-second/protocol/metric`` and has ``.p`` and ``.holm`` besides. A model with wrong pictures
reads ``illmrec[images shuffled in prompt]``.
"""

from __future__ import annotations

from collections.abc import Mapping

from illmrec.evaluation.summary import Difference, Estimate

INTACT = "intact"


def name_variant(model: str, variant: str) -> str:
    """Return what a variant of a model is called, such as ``illmrec[images shuffled in prompt]``."""
    return f"{model}[{variant}]"


def flatten_estimate(key: str, estimate: Estimate) -> dict[str, float]:
    """Return the value under ``key`` and the interval's ends."""
    return {key: estimate.value, f"{key}.low": estimate.low, f"{key}.high": estimate.high}


def flatten_estimates(protocol: str, estimates: Mapping[tuple[str, str], Estimate]) -> dict[str, float]:
    """Return estimates of (model, metric) under one protocol."""
    flat: dict[str, float] = {}
    for (model, metric), estimate in estimates.items():
        flat |= flatten_estimate(f"{model}/{protocol}/{metric}", estimate)
    return flat


def flatten_differences(protocol: str, differences: Mapping[tuple[str, str, str], Difference]) -> dict[str, float]:
    """Return differences of (first, second, metric) under one protocol."""
    flat: dict[str, float] = {}
    for (first, second, metric), difference in differences.items():
        key = f"{first}-{second}/{protocol}/{metric}"
        flat |= flatten_estimate(key, difference.estimate) | {f"{key}.p": difference.p, f"{key}.holm": difference.holm}
    return flat
