"""How similar an item's picture and description are, beside pairs put together by chance."""

from __future__ import annotations

import numpy as np

from illmrec.errors import DataError
from pipelines.parameters.features import ValidateFeaturesConfig
from pipelines.quality.comparison import PictureTextComparison
from pipelines.quality.pairs import Pairs
from pipelines.studies.plots import histograms
from pipelines.studies.study import Bench, Row, Study

BINS = 40


def compare(bench: Bench) -> Pairs | None:
    """Return the similarities of own and of shuffled pairs; None where the picture encoder has no text tower."""
    comparison = _make_comparison(bench)
    comparison.run()
    return comparison.pairs


def measure(bench: Bench) -> list[Row]:
    """Return a row per bin of own and of shuffled pairs, with the chance that an own pair is the more similar one.

    Raises:
        DataError: when the picture encoder cannot read texts, or fewer than two items have both.
    """
    comparison = _make_comparison(bench)
    comparison.run()
    pairs = comparison.pairs
    if pairs is None:
        hint = "Use an encoder with a text tower (encoders.image.source: open_clip) for this study."
        raise DataError(f"pictures and descriptions cannot be compared: {comparison.reason}.", hint=hint)
    everything = np.concatenate([pairs.own, pairs.shuffled])
    edges = np.linspace(everything.min(), everything.max(), BINS + 1)
    rows: list[Row] = []
    for name, values in (("own", pairs.own), ("shuffled", pairs.shuffled)):
        counts, _ = np.histogram(values, edges)
        facts = {"pairs": name, "mean": float(values.mean()), "std": float(values.std()), "auc": pairs.auc}
        rows += [
            {**facts, "left": float(left), "right": float(right), "share": float(count / len(values))}
            for left, right, count in zip(edges, edges[1:], counts, strict=False)
        ]
    return rows


def _make_comparison(bench: Bench) -> PictureTextComparison:
    shelf = bench.shelf
    images = shelf.open_features("image")["image"]
    return PictureTextComparison(shelf, bench.context.section(ValidateFeaturesConfig), shelf.catalog, images)


STUDY = Study(
    title="Pictures and descriptions",
    question="Cosine of the picture's and the description's vector from the two towers of one encoder: an item's own "
    "pair, and pairs put together by chance. What is shared can be seen; a cosine's height differs from one encoder to "
    "another.",
    paper="Figures 1(c), 8 and 9",
    measure=measure,
    shown=("pairs", "left", "right", "share", "mean", "auc"),
    draw=histograms("left", "share", "pairs", "cosine of picture and description"),
    seeded=False,
    trains=False,
)
