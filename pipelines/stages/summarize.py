"""Stage ``summarize``: descriptions to summaries of bounded length."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID, SUMMARIES
from illmrec.data.catalog import Catalog
from illmrec.errors import ModelError, ParameterError
from illmrec.features.sources import ModelSource, locate_model
from illmrec.features.summarizing.extracts import ExtractiveSummarizer, count_words, cut_words
from illmrec.features.summarizing.file import read_summaries
from illmrec.features.summarizing.store import SummaryStore, write_missing
from illmrec.progress import track
from pipelines.parameters.features import SummarizeConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages import Facts, stage

Extract = Callable[[str], str]


@dataclass(frozen=True)
class _Source:
    """Summaries of one source, before they are cut to their longest length."""

    texts: list[str]
    about: dict[str, Any]
    """Goes into summary.json."""
    run: dict[str, int] = field(default_factory=dict)
    """Printed only, because it depends on what earlier runs left behind."""


@stage("summarize")
def run(context: Context) -> Facts:
    """Shorten the descriptions of the data set."""
    return summarize(context.shelf, context.section(SummarizeConfig))


def summarize(shelf: Shelf, config: SummarizeConfig) -> dict[str, Any]:
    """Write the table of summaries; return its facts, and for a model how many summaries it had to write."""
    layout, catalog = shelf.layout, shelf.catalog
    descriptions = catalog.items["description"].to_list()
    # Asked for only where it is needed, because weighing the words reads the whole catalog.
    weigh = functools.cache(lambda: ExtractiveSummarizer(descriptions))
    extract = functools.cache(lambda text: weigh().summarize(text, config.max_words) if text else "")
    if config.source == "model":
        source = _ask_model(layout, config, descriptions, extract)
    elif config.source == "file":
        source = _read_file(layout, config, catalog, extract)
    else:
        source = _Source([extract(text) for text in track(descriptions, "choose sentences", unit="text")], {})
    summaries = [cut_words(text, config.max_words) for text in source.texts]
    before = [count_words(text) for text in descriptions if text]
    after = [count_words(short) for text, short in zip(descriptions, summaries, strict=True) if text]
    facts = {
        "method": config.source,
        "max_words": config.max_words,
        "items": len(catalog),
        "items_without_description": len(catalog) - len(before),
        "summaries": sum(map(bool, summaries)),
        "mean_words_before": _mean(before),
        "mean_words_after": _mean(after),
    } | source.about
    if config.source != "extractive":  # extracts are chosen to fit
        facts["cut"] = sum(count_words(text) > config.max_words for text in source.texts)
    with atomic.write_folder(layout.summaries) as folder:
        table = pl.DataFrame({ITEM_ID: catalog.item_ids, "summary": summaries}, schema=SUMMARIES)
        atomic.write_parquet(folder / "summaries.parquet", table)
        atomic.write_json(folder / "summary.json", facts)
    return facts | source.run


def _ask_model(layout: Layout, config: SummarizeConfig, descriptions: list[str], extract: Extract) -> _Source:
    # The other sources need no torch.
    from illmrec.features.summarizing.writer import SummaryWriter, describe_writing
    from pipelines.assembly.loading import pick_device

    located = _locate(layout, config)
    asked: dict[str, Any] = config.model_dump(include={"max_words", "max_new_tokens", "precision"})

    @functools.cache
    def load() -> SummaryWriter:
        return SummaryWriter(located.path, device=pick_device(), **asked)

    told = [text for text in descriptions if text]
    settings = describe_writing(**asked)
    with SummaryStore(layout.summary_cache, located.name, located.revision, settings) as store:
        by_text, count = write_missing(store, told, lambda texts: load().write(texts), batch_size=config.batch_size)
    silent = sum(not by_text[text] for text in told)
    texts = [(by_text[text] or extract(text)) if text else "" for text in descriptions]
    about = {"model": located.name, "revision": located.revision, "extractive_fallbacks": silent}
    return _Source(texts, about, {"written": count})


def _locate(layout: Layout, config: SummarizeConfig) -> ModelSource:
    if config.name is None:
        hint = "Give the hub name or local folder of a causal language model, or set summarize.source to extractive."
        raise ParameterError("summarize.name is missing.", hint=hint)
    try:
        return locate_model(config.name, config.revision, root=layout.root)
    except ModelError as error:
        # This stage never reaches the hub, whatever encoders.allow_network says.
        fetch = f"`hf download {config.name.removeprefix('hf-hub:')} --revision {config.revision}`"
        hint = f"Fetch it with {fetch}, or name a local folder." if config.revision else error.hint
        raise ModelError(error.message, path=error.path, hint=hint) from None


def _read_file(layout: Layout, config: SummarizeConfig, catalog: Catalog, extract: Extract) -> _Source:
    if config.file is None:
        hint = "Name a CSV or Parquet file with the columns item_id and summary, or set summarize.source to extractive."
        raise ParameterError("summarize.file is missing.", hint=hint)
    path = layout.root / Path(config.file)
    given = read_summaries(path, set(catalog.item_ids))
    rows = catalog.items.select("item_id", "description").rows()
    texts = [given.texts.get(item_id) or extract(description) for item_id, description in rows]
    missing = sum(bool(description) and item_id not in given.texts for item_id, description in rows)
    about = {
        "file": config.file,
        "file_sha256": atomic.digest_file(path),
        "unknown_ids": given.unknown,
        "extractive_fallbacks": missing,
    }
    return _Source(texts, about)


def _mean(values: list[int]) -> float:
    return round(sum(values) / len(values), 2) if values else 0.0
