"""The feature matrix: one memory-mapped file per feature type, rows looked up by item_index.

A folder holds ``values.npy`` (float16 ``[n_items, d_f]``), ``present.npy`` (bool ``[n_items]``: False where a policy
filled the row because the item has no picture, text or training interaction) and ``header.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from illmrec import atomic
from illmrec.errors import ModelError

Normalisation = Literal["rms", "global_rms"]


@dataclass(frozen=True)
class MatrixHeader:
    """What the numbers of a matrix are."""

    kind: str
    """Feature type: image, cf or text."""
    encoder: str
    """Name of the model that made them."""
    revision: str
    """Pinned revision or digest of its weights."""
    width: int
    """Coordinates per row."""
    normalisation: Normalisation
    """``rms``: every row scaled to a root mean square of 1; ``global_rms``: one scale for the whole matrix."""
    item_digest: str
    """Digest of the catalog the rows belong to."""
    missing: int
    """Rows filled by ``missing_policy``."""
    missing_policy: str
    """What stands in for an item without the real thing."""
    sources: str = ""
    """Digest of the pictures or texts that were encoded, see :func:`digest_sources`; empty where nobody asks for it."""


def digest_sources(item_indices: npt.NDArray[np.integer], keys: Sequence[str]) -> str:
    """Return a digest of what features are made of.

    Args:
        item_indices: ``int [n]``: whose each picture or text is.
        keys: its digest.
    """
    lines = (f"{item} {key}\n" for item, key in zip(item_indices.tolist(), keys, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class FeatureMatrix:
    """A matrix opened for reading.

    Attributes:
        header: what the numbers are: encoder, width, normalisation, digest of the items.
        values: ``float16 [n_items, d_f]``, mapped into memory.
        present: ``bool [n_items]``: True where the row is the item's own feature.
    """

    header: MatrixHeader
    values: npt.NDArray[np.float16]
    present: npt.NDArray[np.bool_]

    def rows(self, item_indices: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, d_f]``: the rows of ``item_indices``."""
        return np.asarray(self.values[item_indices], dtype=np.float32)

    def mean(self, block: int = 65536) -> npt.NDArray[np.float32]:
        """Return ``float32 [d_f]``: the mean of the items' own features, zeros where no item has one.

        Read ``block`` rows at a time and added up in double precision.
        """
        total, own = np.zeros(self.values.shape[1]), np.flatnonzero(self.present)
        for start in range(0, len(own), block):
            total += self.values[own[start : start + block]].sum(axis=0, dtype=np.float64)
        return np.asarray(total / max(len(own), 1), dtype=np.float32)


def normalise(values: npt.NDArray[np.float32], how: Normalisation) -> npt.NDArray[np.float32]:
    """Scale ``float32 [n, d]`` so that coordinates are of the order of 1, whatever encoder they come from.

    Layers behind the features can then use one learning rate. Directions within a row never change; ``global_rms``
    also keeps the rows' relative lengths, which carry popularity in CF embeddings.
    """
    if how == "rms":
        scale = np.sqrt(np.mean(np.square(values), axis=1, keepdims=True))
    else:
        scale = np.sqrt(np.mean(np.square(values), keepdims=True))
    return np.asarray(values / np.maximum(scale, np.float32(1e-12)), dtype=np.float32)


def write_matrix(
    folder: Path, header: MatrixHeader, values: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]
) -> None:
    """Publish a matrix whole.

    Raises:
        ModelError: when a value is not finite or shapes disagree with the header.
    """
    if values.shape != (len(present), header.width):
        raise ModelError(f"features are {values.shape}, expected {(len(present), header.width)}.", path=folder)
    with write_blocks(folder, len(present), header.width) as matrix:
        matrix.write(0, values)
        matrix.finish(header, present)


class MatrixWriter:
    """A matrix being written block by block, so that it never lies in memory as a whole.

    Attributes:
        partial: the folder under way; what else is put there is published with the matrix.
    """

    def __init__(self, folder: Path, partial: Path, n_items: int, width: int) -> None:
        self._folder, self.partial = folder, partial
        shape = (n_items, width)
        self._values = np.lib.format.open_memmap(partial / "values.npy", mode="w+", dtype=np.float16, shape=shape)

    def write(self, rows: int | npt.NDArray[np.integer], values: npt.NDArray[np.float32]) -> None:
        """Store ``float32 [n, width]``.

        Args:
            rows: the first of n rows in a row, or ``int [n]``, their indices.
            values: what to store, rounded to float16.

        Raises:
            ModelError: when a value is not finite.
        """
        with np.errstate(over="ignore"):  # an overflow is infinite, which the next line refuses
            stored = values.astype(np.float16)
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            first = int(np.flatnonzero(~finite)[0])
            row = rows + first if isinstance(rows, int) else int(rows[first])
            hint = "Check the encoder's weights."
            raise ModelError("a feature is not a finite number.", path=self._folder, row=row, hint=hint)
        self._values[slice(rows, rows + len(values)) if isinstance(rows, int) else rows] = stored

    def finish(self, header: MatrixHeader, present: npt.NDArray[np.bool_]) -> None:
        """Write what belongs to the values: the header and the ``bool [n_items]`` mask."""
        self._values.flush()
        np.save(self.partial / "present.npy", present, allow_pickle=False)
        atomic.write_json(self.partial / "header.json", asdict(header))


@contextlib.contextmanager
def write_blocks(folder: Path, n_items: int, width: int) -> Iterator[MatrixWriter]:
    """Yield a writer; the matrix takes its place when the block ends without an error, after ``finish``."""
    with atomic.write_folder(folder) as partial:
        yield MatrixWriter(folder, partial, n_items, width)


def open_matrix(folder: Path, item_digest: str) -> FeatureMatrix:
    """Map the feature matrix of one type into memory; nothing but the rows asked for is read.

    Args:
        folder: where ``values.npy``, ``present.npy`` and ``header.json`` lie.
        item_digest: of the catalog whose items the rows must be, :attr:`illmrec.Catalog.digest`.

    Raises:
        ModelError: when it is damaged or belongs to another catalog.

    Example:
        >>> catalog = illmrec.Catalog(pl.read_parquet("artifacts/shop/prepared/items.parquet"))
        >>> matrix = illmrec.open_matrix(Path("artifacts/shop/features/image"), catalog.digest)
        >>> matrix.header.width, matrix.present.tolist()
        (24, [True, True, False, True])
        >>> matrix.rows(np.array([3, 0])).shape
        (2, 24)
    """
    try:
        header = MatrixHeader(**json.loads((folder / "header.json").read_text(encoding="utf-8")))
        values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
        present = np.load(folder / "present.npy", allow_pickle=False)
    except (OSError, EOFError, ValueError, TypeError) as error:
        hint = "Run `dvc repro` to make it again."
        raise ModelError(f"feature matrix cannot be read: {error}", path=folder, hint=hint) from None
    if header.item_digest != item_digest:
        hint = "Run `dvc repro`: the catalog has changed since the features were made."
        raise ModelError("feature matrix belongs to another catalog.", path=folder, hint=hint)
    if values.shape != (len(present), header.width):
        raise ModelError(f"feature matrix is {values.shape}, expected {(len(present), header.width)}.", path=folder)
    return FeatureMatrix(header, values, present)
