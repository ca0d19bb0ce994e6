"""The training curves as a picture, for people who look at a run in MLflow."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

LOSSES = {
    "loss": "all parts",
    "image": "image",
    "cf": "CF",
    "text": "text",
    "retrieval": "retrieval",
    "alignment": "alignment",
}
"""Columns of train.csv that are losses, and what they are called in the legend."""


def draw_curves(path: Path, title: str) -> bytes:
    """Return train.csv as SVG: losses by step on a logarithmic axis, validation below, every axis named.

    Args:
        path: the CSV file that ``train`` writes.
        title: stands above both.
    """
    from matplotlib.figure import Figure

    table = pl.read_csv(path, infer_schema_length=None)
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for column, name in LOSSES.items():
        if column in table.columns:
            shown = table.select("step", pl.col(column).cast(pl.Float64)).drop_nulls()
            if shown.height:
                above.plot(shown["step"], shown[column], label=name, linewidth=1.2)
    above.set_yscale("log")
    above.set_ylabel("loss")
    above.legend(loc="upper right", fontsize=8)
    checked = table.select("step", pl.col("validation").cast(pl.Float64)).drop_nulls()
    below.plot(checked["step"], checked["validation"], marker="o")
    below.set_ylabel("validation NDCG@10, full catalog")
    below.set_xlabel("training step")
    figure.suptitle(title)
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    return content.getvalue()
