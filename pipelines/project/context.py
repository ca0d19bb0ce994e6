"""What every verb gets: the data set's paths, its artifacts and its parameters."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from pipelines.parameters.reading import Params, SectionType
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf


@dataclass(frozen=True)
class Context:
    """One data set in one project."""

    layout: Layout
    params: Params

    @functools.cached_property
    def shelf(self) -> Shelf:
        """The data set's artifacts; a verb that makes some takes a new context to read them."""
        return Shelf(self.layout)

    def section(self, kind: type[SectionType]) -> SectionType:
        """Return this data set's section of one kind."""
        return self.params.section(kind, self.layout.dataset)
