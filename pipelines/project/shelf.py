"""The artifacts of one data set: each is opened once, by an accessor that knows its form and which stage makes it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import polars as pl

from illmrec.atomic import digest_file
from illmrec.columns import (
    IMAGES,
    INTERACTIONS,
    ITEM_ID,
    ITEMS,
    NEGATIVES,
    SEQUENCES,
    SUMMARIES,
    TARGETS,
    USER_ID,
    Schema,
)
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged, Sequences, ragged_from_column, read_sequences
from illmrec.errors import DataError, IllmrecError, MissingArtifactError, ModelError
from illmrec.evaluation.table import MetricsTable, read_metrics
from illmrec.features.matrix import FeatureMatrix, open_matrix
from pipelines.graph import find_maker
from pipelines.project.artifacts import read_object, read_table
from pipelines.project.layout import Layout

ENCODER_KEYS = ("name", "revision", "folder")
HEAD_KEYS = ("onnx_sha256", "parity", "tensors_sha256")
"""What the export says of itself and a version needs."""


class Shelf:
    """What the stages of one data set made; every accessor raises MissingArtifactError naming the command to run.

    Args:
        layout: where it lies.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._digests: dict[Path, str] = {}

    # --- files ---------------------------------------------------------------------------------------------------

    def name_maker(self, path: Path) -> str:
        """Return the subcommand, with its options, that makes an artifact."""
        below = self.layout.artifacts in path.parents
        stage = find_maker(path.relative_to(self.layout.artifacts).as_posix()) if below else None
        return f"{stage.command if stage else 'prepare'} --dataset {self.layout.dataset}"

    def require(self, path: Path) -> Path:
        """Return an artifact's path, if it is there.

        Raises:
            MissingArtifactError: otherwise; the message names the command that makes it.
        """
        if not path.exists():
            hint = f"Run `illmrec {self.name_maker(path)}` or `dvc repro`."
            raise MissingArtifactError("does not exist yet.", path=path, hint=hint)
        return path

    def read_table(self, path: Path, schema: Schema | None = None) -> pl.DataFrame:
        """Read a Parquet table; see :func:`pipelines.project.artifacts.read_table`."""
        return read_table(path, self.name_maker(path), schema)

    def read_object(self, path: Path, *keys: str, refusal: type[IllmrecError] = DataError) -> dict[str, Any]:
        """Read a JSON object; see :func:`pipelines.project.artifacts.read_object`."""
        return read_object(path, self.name_maker(path), keys, refusal)

    def digest(self, path: Path) -> str:
        """Return the sha256 of an artifact, read once."""
        if path not in self._digests:
            self._digests[path] = digest_file(self.require(path))
        return self._digests[path]

    # --- tables of prepare -----------------------------------------------------------------------------------------

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The items, in the order of their indices."""
        return Catalog(self.read_table(self.layout.prepared / "items.parquet", ITEMS))

    @functools.cached_property
    def interactions(self) -> pl.DataFrame:
        """Interactions of the k-core, in history order."""
        return self.read_table(self.layout.prepared / "interactions.parquet", INTERACTIONS)

    @functools.cached_property
    def interactions_below_core(self) -> pl.DataFrame:
        """Interactions that the k-core left out, in history order."""
        return self.read_table(self.layout.prepared / "interactions_below_core.parquet", INTERACTIONS)

    @functools.cached_property
    def users(self) -> pl.DataFrame:
        """Every user of the raw data, those below the core included."""
        return self.read_table(self.layout.prepared / "users.parquet", {USER_ID: pl.String})

    @functools.cached_property
    def images(self) -> pl.DataFrame:
        """A row per picture, with what became of it."""
        return self.read_table(self.layout.prepared / "images.parquet", IMAGES)

    @functools.cached_property
    def prepare_summary(self) -> dict[str, Any]:
        """What `prepare` read and dropped."""
        return self.read_object(self.layout.prepared / "summary.json")

    # --- gates -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def gate(self) -> dict[str, Any]:
        """Result of the data gate, whether it passed or not."""
        return self.read_object(self.layout.quality / "gate.json", "passed")

    @functools.cached_property
    def feature_gate(self) -> dict[str, Any]:
        """Result of the feature gate, whether it passed or not."""
        return self.read_object(self.layout.feature_quality / "gate.json", "passed")

    @functools.cached_property
    def profile(self) -> dict[str, Any]:
        """The data in a few counts, for comparison with later data."""
        return self.read_object(self.layout.quality / "profile.json")

    # --- split -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def sequences(self) -> Sequences:
        """What is learned from, and the validation targets; row = user_index."""
        return read_sequences(self.read_table(self.layout.split / "sequences.parquet", SEQUENCES))

    @functools.cached_property
    def targets(self) -> pl.DataFrame:
        """The test targets, a row each."""
        return self.read_table(self.layout.split / "targets.parquet", TARGETS)

    @functools.cached_property
    def split_method(self) -> str:
        """``leave_one_out`` or ``global_time``."""
        return str(self.read_object(self.layout.split / "summary.json", "method")["method"])

    def read_candidates(self, table: str = "negatives") -> Ragged:
        """Read sampled candidates, uniform or by popularity; row = user_index."""
        path = self.layout.split / f"{table}.parquet"
        return ragged_from_column(self.read_table(path, NEGATIVES)["negatives"])

    # --- features --------------------------------------------------------------------------------------------------

    def open_features(self, *kinds: str) -> dict[str, FeatureMatrix]:
        """Map the feature matrices of some types into memory."""
        folders = {kind: self.require(self.layout.features(kind)) for kind in kinds}
        return {kind: open_matrix(folder, self.catalog.digest) for kind, folder in folders.items()}

    @functools.cached_property
    def summaries(self) -> list[str]:
        """The summary of every item, in index order.

        Raises:
            ModelError: when they are of another catalog.
        """
        path = self.layout.summaries / "summaries.parquet"
        table = self.read_table(path, SUMMARIES)
        if table[ITEM_ID].to_list() != list(self.catalog.item_ids):
            hint = f"Run `illmrec {self.name_maker(path)}`: the catalog has changed."
            raise ModelError("the summaries are of another catalog.", path=path, hint=hint)
        return table["summary"].to_list()

    @functools.cached_property
    def _encoders(self) -> dict[str, Any]:
        return self.read_object(self.layout.encoders / "encoders.json", refusal=ModelError)

    def read_encoder(self, role: str) -> dict[str, Any]:
        """Return what `encoders` recorded of one role: image, text or backbone.

        Raises:
            ModelError: when the record lacks something.
        """
        path = self.layout.encoders / "encoders.json"
        record = self._encoders.get(role)
        hint = f"Run `illmrec {self.name_maker(path)}` again."
        if not isinstance(record, dict):
            raise ModelError(f"lacks {role}.", path=path, hint=hint)
        lacking = [key for key in ENCODER_KEYS if key not in record]
        if lacking:
            raise ModelError(f"the record of the {role} encoder lacks {', '.join(lacking)}.", path=path, hint=hint)
        return record

    # --- models and results ----------------------------------------------------------------------------------------

    @functools.cached_property
    def model_state(self) -> dict[str, Any]:
        """What was saved beside the trained tensors: settings, catalog, encoders, features."""
        saved = self.read_object(self.layout.model / "state.json", "state", refusal=ModelError)
        state: dict[str, Any] = saved["state"]
        return state

    @property
    def is_evaluated(self) -> bool:
        """Whether `evaluate` has run, in this release or an earlier one."""
        return any((self.layout.evaluation / f"metrics.{form}").exists() for form in ("parquet", "json"))

    @functools.cached_property
    def metrics(self) -> MetricsTable:
        """What `evaluate` measured; see :meth:`read_metrics`."""
        return self.read_metrics()

    def read_metrics(self, refusal: type[IllmrecError] = DataError) -> MetricsTable:
        """Read what `evaluate` measured.

        Raises:
            MissingArtifactError: when it has not run, or an earlier release did.
            DataError: or ``refusal``, when the table is damaged.
        """
        path = self.layout.evaluation / "metrics.parquet"
        command = f"illmrec {self.name_maker(path)}"
        old = path.with_suffix(".json")
        if old.exists() and not path.exists():
            hint = f"Run `{command}`: it writes {path.name}."
            raise MissingArtifactError("was made by an earlier release.", path=old, hint=hint)
        return read_metrics(self.require(path), f"Run `{command}` again.", refusal)

    @functools.cached_property
    def head(self) -> dict[str, Any]:
        """What `export` says of the ONNX head."""
        return self.read_object(self.layout.head / "head.json", *HEAD_KEYS, refusal=ModelError)
