"""Stage ``validate-features``: the gate behind the encoders."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec import atomic
from illmrec.config import ValidateFeaturesConfig
from pipelines.context import dataset_options, open_context
from pipelines.layout import Layout
from pipelines.lock import hold_lock
from pipelines.quality.verdict import DOCS_INDEX, GATE_FILE, CheckResult, describe_gate, refuse_failures, warn_failures

if TYPE_CHECKING:
    import polars as pl

    from illmrec.data.catalog import Catalog
    from illmrec.features.matrix import FeatureMatrix
    from pipelines.quality.pairs import Pairs

KINDS = ("image", "text")
WORST_PAIRS = "worst_pairs.parquet"


@click.command(name="validate-features")
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Check the image and text matrices, and whether pictures and texts of items belong together.

    Each item's text is read by the text tower of the picture encoder and compared with the item's picture and with
    pictures of other items. An encoder without a text tower cannot do that; the result then says "not checked" and why.
    Writes gate.json, a Data Docs site and worst_pairs.parquet, also when a check fails; the exit code is 3 after a
    critical one.

    \b
    Example:
      illmrec validate-features --dataset amazon
    """
    context = open_context(dataset, as_json)
    layout = context.layout
    with hold_lock(layout.lock("validate-features")):
        atomic.sweep_partial(layout.artifacts, layout.feature_quality.name)
        results, facts = run_feature_gate(layout, context.section(ValidateFeaturesConfig))
    context.emit(facts)
    warn_failures(results)
    refuse_failures(results, layout.artifacts / "features", layout.feature_quality, "features")


def run_feature_gate(layout: Layout, bounds: ValidateFeaturesConfig) -> tuple[list[CheckResult], dict[str, Any]]:
    """Judge the matrices; publish gate.json, Data Docs and the worst pairs; return the results and what to print.

    Raises:
        MissingArtifactError: when a stage before has not run.
        ModelError: when a matrix is damaged or belongs to another catalog.
    """
    from pipelines.assembly import load_catalog, load_features
    from pipelines.quality.data_docs import write_index
    from pipelines.quality.pairs import summarize_pairs

    catalog = load_catalog(layout)
    matrices = load_features(layout, catalog, KINDS)
    pairs = PictureTextComparison(layout, bounds, catalog, matrices["image"])
    frames, absent = _gather_frames(catalog, matrices, pairs, bounds)

    from pipelines.quality.feature_suite import build_feature_checks
    from pipelines.quality.gate import run_checks
    from pipelines.quality.suites import choose_runnable

    checks, skipped = choose_runnable(build_feature_checks(bounds), absent)
    with atomic.write_folder(layout.feature_quality) as folder:
        docs = (folder / DOCS_INDEX).parent
        results = run_checks(checks, frames, docs)
        verdict = describe_gate(results, {kind: len(catalog) for kind in KINDS}, skipped)
        figures = summarize_pairs(pairs.pairs) if pairs.pairs else {}
        verdict["pairs"] = figures
        write_index(docs, verdict, "Feature quality gate")
        atomic.write_json(folder / GATE_FILE, verdict)
        _write_worst(folder / WORST_PAIRS, frames.get("pairs"), bounds.listed_pairs)
    return results, {
        "passed": verdict["passed"],
        "critical_failures": verdict["critical_failures"],
        "warnings": verdict["warnings"],
        "checks": len(results),
        "not_checked": "; ".join(dict.fromkeys(f"{check.suite}: {check.reason}" for check in skipped)) or "nothing",
        **figures,
        "gate": str(layout.feature_quality / GATE_FILE),
        "data_docs": str(layout.feature_quality / DOCS_INDEX),
    }


def _gather_frames(
    catalog: Catalog,
    matrices: dict[str, FeatureMatrix],
    compared: PictureTextComparison,
    bounds: ValidateFeaturesConfig,
) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """Return the frames to judge, and why others could not be made."""
    import polars as pl

    from pipelines.quality.flags import ROW
    from pipelines.quality.matrix_facts import describe_matrix, describe_rows
    from pipelines.quality.pairs import describe_pairs

    frames: dict[str, pl.DataFrame] = {}
    absent: dict[str, str] = {}
    for kind, matrix in matrices.items():
        frames[f"{kind}_rows"] = describe_rows(matrix, catalog.item_ids)
        whole = describe_matrix(matrix)
        if whole is None:
            absent[f"{kind}_matrix"] = "fewer than two items have a row of their own"
        else:
            frames[f"{kind}_matrix"] = whole
    compared.run()
    if compared.pairs is None:
        return frames, absent | dict.fromkeys(("pairs", "pair_summary"), compared.reason)
    frames["pairs"] = describe_pairs(compared.pairs, compared.items, catalog.item_ids, bounds.outlier_percentile)
    frames["pair_summary"] = pl.DataFrame({ROW: [1], "auc": [compared.pairs.auc]})
    return frames, absent


class PictureTextComparison:
    """Pictures beside texts. After :meth:`run` either ``pairs`` or ``reason`` is set."""

    def __init__(self, layout: Layout, bounds: ValidateFeaturesConfig, catalog: Catalog, images: FeatureMatrix) -> None:
        import numpy as np

        from pipelines.assembly import read_encoder

        self.layout, self.bounds, self.images = layout, bounds, images
        self.record = read_encoder(layout, "image")
        described = catalog.describe_items()
        self.items = np.array([item for item in np.flatnonzero(images.present).tolist() if described[item]], np.int64)
        self.texts = [described[item] for item in self.items.tolist()]
        self.pairs: Pairs | None = None
        self.reason = ""

    def run(self) -> None:
        """Compare, or find out why it cannot be done."""
        if self.record["source"] != "open_clip":
            self.reason = f"the picture encoder ({self.record['source']}) has no text tower"
        elif len(self.items) < 2:
            self.reason = "fewer than two items have both a picture and a text"
        else:
            self.pairs = self._compare()

    def _compare(self) -> Pairs:
        from illmrec.features.cache import FeatureCache, find_width
        from illmrec.features.encode import encode_missing, encode_texts_here
        from pipelines.assembly import key_tower_text, load_image_encoder, name_image_cache
        from pipelines.quality.pairs import compare_pairs

        name, revision = name_image_cache(self.record)
        # Loaded only if something must be encoded.
        load = functools.cache(lambda: load_image_encoder(self.layout)[0])
        width = find_width(self.layout.feature_cache, name, revision) or load().width
        keys = [key_tower_text(text) for text in self.texts]
        with FeatureCache(self.layout.feature_cache, name, revision, width) as cache:
            encode_missing(
                cache,
                keys,
                dict(zip(keys, self.texts, strict=True)).__getitem__,
                encode_texts_here(lambda texts: load().encode_texts(texts)),
                batch_size=self.bounds.batch_size,
                label="encode texts",
                unit="text",
            )
            return compare_pairs(
                lambda rows: self.images.rows(self.items[rows]),
                lambda rows: cache.load([keys[row] for row in rows.tolist()]),
                len(keys),
                shuffles=self.bounds.shuffles,
                seed=self.bounds.seed,
            )


def _write_worst(path: Path, pairs: pl.DataFrame | None, count: int) -> None:
    """Write the least similar pairs; an empty table where none were compared."""
    import polars as pl

    schema = {"item_id": pl.String, "similarity": pl.Float64, "percentile": pl.Float64, "outlier": pl.Int8}
    worst = pl.DataFrame(schema=schema) if pairs is None else pairs.select(list(schema)).head(count)
    atomic.write_parquet(path, worst)
