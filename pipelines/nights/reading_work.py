"""Reading users in Ray actors: each loads the model once and reads whatever users it is given."""

from __future__ import annotations

from dataclasses import dataclass

from illmrec.features.encode import Engine
from illmrec.models.passes import UserReader
from pipelines.nights.model import load_model
from pipelines.nights.precision import convert
from pipelines.nights.reading import read_here
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.registry.version_files import VersionFiles


@dataclass(frozen=True)
class ReadingWork:
    """What an actor needs to read users."""

    layout: Layout
    """The project; catalog and features are found through it."""
    files: VersionFiles
    """The model's."""
    precision: str
    """Number format of the language model."""
    pass_tokens: int
    """Tokens of a pass, as the driver decided."""

    def start(self) -> Engine[list[int]]:
        """Load the model."""
        shelf = Shelf(self.layout)
        model = load_model(shelf, self.files).recommender
        if self.precision != "trained":
            model = convert(shelf, self.files, model, self.precision)
        return read_here(UserReader(model, self.pass_tokens))
