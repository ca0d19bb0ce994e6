"""Scoring the parts of a night, here or in Ray actors: each loads head and catalog once and scores whole parts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.data.histories import Ragged
from illmrec.errors import ModelError
from illmrec.scoring.head import Head
from illmrec.scoring.item_side import read_items
from illmrec.scoring.offer import Offer
from illmrec.scoring.rows import FloatArray, Marks, Part, PartScorer, SearchSettings
from pipelines.engines.ray_parts import map_parts
from pipelines.nights.candidates import open_proposer
from pipelines.parameters.operation import RecommendConfig
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.registry.version_files import VersionFiles


@dataclass(frozen=True)
class ScoringWork:
    """What is needed to score users; small enough to be sent.

    Args:
        layout: the project; catalog and projected items are found through it.
        files: the model's files.
        config: the section.
        items_key: under which the projected catalog is kept.
        marks: what rows say of items and model.
        popularity: ``int64 [n_items]``: known interactions.
        offer: the items that may be recommended.
    """

    layout: Layout
    files: VersionFiles
    config: RecommendConfig
    items_key: str
    marks: Marks
    popularity: npt.NDArray[np.int64]
    offer: Offer

    def start(self) -> Callable[[bytes], bytes]:
        """Load everything in an actor; return what makes an encoded part an encoded table.

        Raises:
            ModelError: when the projected catalog is not where the driver kept it.
        """
        head = Head(self.files.folder / "head.onnx", self.files.version.tags["onnx_sha256"])
        items = read_items(self.layout.representations, self.items_key)
        if items is None:
            hint = "Every machine of the cluster must see the project under the same path; or use engine: local."
            raise ModelError("the projected catalog is not there.", path=self.layout.representations, hint=hint)
        scorer = self.prepare(head, items, Shelf(self.layout))
        return lambda part: write_table(scorer.score(read_part(part)))

    def prepare(self, head: Head, items: FloatArray, shelf: Shelf) -> PartScorer:
        """Return what scores a part; ``items`` is the projected catalog."""
        offer = self.offer
        return PartScorer(
            settings=self.config.make(SearchSettings),
            head=head,
            offer=offer,
            items=offer.choose(items),
            item_ids=shelf.catalog.items[ITEM_ID].gather(offer.indices),
            popularity=offer.choose(self.popularity),
            marks=self.marks.choose(offer),
            propose=open_proposer(shelf, self.config.candidates, offer, self.popularity),
        )


def score_on_ray(work: ScoringWork, parts: Iterable[Part], actors: int) -> list[pl.DataFrame]:
    """Return the rows of every part, in order of the parts, scored in ``actors`` Ray actors."""
    done = dict(map_parts(work, [write_part(part) for part in parts], actors))
    return [pl.read_ipc(io.BytesIO(done[number])) for number in sorted(done)]


def write_part(part: Part) -> bytes:
    """Return a part as bytes that run no code when they are read."""
    file = io.BytesIO()
    ids = np.frombuffer(json.dumps([part.warm, part.cold]).encode(), dtype=np.uint8)
    np.savez(file, number=part.number, ids=ids, hidden=part.hidden, values=part.seen.values, offsets=part.seen.offsets)
    return file.getvalue()


def read_part(content: bytes) -> Part:
    """Return what :func:`write_part` was given."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        warm, cold = json.loads(arrays["ids"].tobytes())
        seen = Ragged(arrays["values"], arrays["offsets"])
        return Part(int(arrays["number"]), warm, arrays["hidden"], seen, cold)


def write_table(table: pl.DataFrame) -> bytes:
    """Return a table as Arrow's file format."""
    file = io.BytesIO()
    table.write_ipc(file)
    return file.getvalue()
