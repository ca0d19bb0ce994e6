"""The tables of a data set as objects of the library: catalog, sequences, candidates, summaries."""

from __future__ import annotations

from illmrec.columns import ITEM_ID, ITEMS, NEGATIVES, SEQUENCES, SUMMARIES
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged, Sequences, ragged_from_column, read_sequences
from illmrec.errors import ModelError
from pipelines.project.artifacts import read_table
from pipelines.project.layout import Layout


def load_catalog(layout: Layout) -> Catalog:
    """Open the items table of ``prepare``."""
    return Catalog(read_table(layout.prepared / "items.parquet", f"prepare --dataset {layout.dataset}", ITEMS))


def load_sequences(layout: Layout) -> Sequences:
    """Open the leave-one-out split."""
    path = layout.split / "sequences.parquet"
    return read_sequences(read_table(path, f"split --dataset {layout.dataset}", SEQUENCES))


def load_negatives(layout: Layout) -> Ragged:
    """Open the sampled candidates; row = user_index."""
    path = layout.split / "negatives.parquet"
    return ragged_from_column(read_table(path, f"split --dataset {layout.dataset}", NEGATIVES)["negatives"])


def load_summaries(layout: Layout, catalog: Catalog) -> list[str]:
    """Return the summary of every item, in index order."""
    path = layout.summaries / "summaries.parquet"
    table = read_table(path, f"summarize --dataset {layout.dataset}", SUMMARIES)
    if table[ITEM_ID].to_list() != list(catalog.item_ids):
        hint = f"Run `illmrec summarize --dataset {layout.dataset}`: the catalog has changed."
        raise ModelError("the summaries are of another catalog.", path=path, hint=hint)
    return table["summary"].to_list()
