"""A table of new items and their pictures: read, judged, and made a batch of the raw folder."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import IMAGE_OK, ITEM_ID
from illmrec.data.files.csv_files import iterate_records, read_header, require_columns
from illmrec.data.files.picture_files import SUFFIXES, list_pictures
from illmrec.data.images import probe_images
from illmrec.data.readers.added import ADDED, BATCH, PICTURE
from illmrec.errors import DataError
from pipelines.parameters.data import PrepareConfig, ValidateConfig

ENDINGS = ("csv", "csv.gz", "parquet")
TEXTS = ("title", "brand", "category", "description")
IMAGE = "image"
MAX_ID = 512
"""Longest item id, in characters."""


@dataclass(frozen=True)
class NewItems:
    """A table that was read.

    Args:
        base: folder that references of pictures start from.
        table: item_id, texts, ``category`` as a list, ``image``: a reference or "".
        rejected: (row, reason) of malformed rows.
        path: the file.
    """

    base: Path
    table: pl.DataFrame
    rejected: list[tuple[int, str]]
    path: Path


@dataclass(frozen=True)
class Judged:
    """New items that passed.

    Args:
        items: columns of :data:`illmrec.data.readers.added.BATCH`.
        pictures: file name in the batch -> where it lies now.
        counts: what was found.
    """

    items: pl.DataFrame
    pictures: dict[str, Path]
    counts: dict[str, int]


def read_new_items(given: Path) -> NewItems:
    """Read a table, or the table of a folder laid out like a catalog of your own.

    Args:
        given: ``.csv``, ``.csv.gz`` or ``.parquet`` with the column item_id and, where known, title, brand, category
            (``A > B > C``), description and image (relative to the table's folder); or a folder with such a table
            named ``items``. Without the column ``image``, pictures are found as ``images/<item_id>.jpg`` and so on.

    Raises:
        DataError: when there is no such table or it cannot be read.
    """
    path = _find_table(given)
    records, has_image = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    pictures = {} if has_image else list_pictures(path.parent / "images")
    rows: list[dict[str, Any]] = []
    rejected: list[tuple[int, str]] = []
    known: set[str] = set()
    for number, record in records:
        reason = _judge_row(record, known)
        if record is None or reason:
            rejected.append((number, reason))
            continue
        item = record[ITEM_ID] or ""
        known.add(item)
        named = f"images/{pictures[item]}" if item in pictures else ""
        category = [part.strip() for part in (record.get("category") or "").split(" > ") if part.strip()]
        texts = {name: record.get(name) for name in TEXTS if name != "category"}
        rows.append({ITEM_ID: item, **texts, "category": category, IMAGE: (record.get(IMAGE) or "") or named})
    schema = {**{name: kind for name, kind in BATCH.items() if name != PICTURE}, IMAGE: pl.String}
    return NewItems(path.parent, pl.DataFrame(rows, schema=schema), rejected, path)


def judge_new_items(new: NewItems, known: set[str], prepare: PrepareConfig, gate: ValidateConfig) -> Judged:
    """Leave out what the catalog has, probe pictures, and refuse a bad batch whole.

    Args:
        new: the table.
        known: ids of the catalog.
        prepare: bounds of malformed rows and of pictures.
        gate: bounds of pictures and titles; the same as for the whole catalog.

    Raises:
        DataError: when too many rows are malformed, too few items have a readable picture, or too many lack a title.
    """
    total = new.table.height + len(new.rejected)
    if len(new.rejected) > prepare.max_rejected_share * total:
        row, reason = new.rejected[0]
        found = f"{len(new.rejected)} of {total} rows are malformed, the first: {reason}"
        raise DataError(f"{found}.", path=new.path, row=row, hint="Mend the rows; nothing was added.")
    table = new.table.filter(~pl.col(ITEM_ID).is_in(pl.Series(sorted(known), dtype=pl.String).implode()))
    references = table[IMAGE].to_list()
    probes = list(probe_images(new.base, [reference or "." for reference in references], prepare.max_pixels))
    names = [
        _name_picture(probe.sha256, reference) if probe.status == IMAGE_OK else ""
        for probe, reference in zip(probes, references, strict=True)
    ]
    pictures = {name: new.base / reference for name, reference in zip(names, references, strict=True) if name}
    items = table.with_columns(pl.Series(PICTURE, names, pl.String)).select(list(BATCH)).cast(pl.Schema(BATCH))
    items = items.sort(ITEM_ID)
    counts = {
        "rows": total,
        "rows_rejected": len(new.rejected),
        "known": new.table.height - items.height,
        "new": items.height,
        "with_picture": len([name for name in names if name]),
        "pictures_refused": sum(bool(r) and p.status != IMAGE_OK for p, r in zip(probes, references, strict=True)),
        "without_title": items.filter(pl.col("title").fill_null("").str.strip_chars() == "").height,
    }
    _refuse_bad(counts, new.path, gate)
    return Judged(items, pictures, counts)


def write_batch(raw: Path, judged: Judged) -> str:
    """Publish a batch by one rename; return its name, which is a function of its content.

    Raises:
        DataError: when a picture changed between being judged and being copied.
    """
    content = items_digest(judged)
    place = raw / ADDED / content
    atomic.sweep_partial(raw / ADDED)
    with atomic.write_folder(place) as folder:
        (folder / "images").mkdir()
        for name, source in judged.pictures.items():
            shutil.copyfile(source, folder / "images" / name)
            if atomic.digest_file(folder / "images" / name) != name.split(".")[0]:
                raise DataError("changed while it was added.", path=source, hint="Add it again; nothing was added.")
        atomic.write_parquet(folder / "items.parquet", judged.items)
    return content


def items_digest(judged: Judged) -> str:
    """Return the name of a batch: a digest of its rows, pictures included by their content."""
    rows = judged.items.with_columns(pl.col("category").list.join("\x1f")).rows()
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _find_table(given: Path) -> Path:
    if given.is_file():
        if given.name.endswith(tuple(f".{ending}" for ending in ENDINGS)):
            return given
        raise DataError(f"ends in {given.suffix!r}, expected one of .{', .'.join(ENDINGS)}.", path=given)
    for ending in ENDINGS:
        path = given / f"items.{ending}"
        if path.is_file():
            return path
    hint = "Give a table, or a folder with items.csv or items.parquet."
    raise DataError("there is no table of items.", path=given, hint=hint)


Record = dict[str, str | None]


def _read_csv(path: Path) -> tuple[list[tuple[int, Record | None]], bool]:
    header = read_header(path)
    require_columns(path, header, [ITEM_ID])
    return [(line, dict(record) if record else None) for line, record in iterate_records(path)], IMAGE in header


def _read_parquet(path: Path) -> tuple[list[tuple[int, Record | None]], bool]:
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"is not readable: {first}.", path=path, hint="Write the file again.") from None
    require_columns(path, table.columns, [ITEM_ID])
    if isinstance(table.schema.get("category"), pl.List):
        table = table.with_columns(pl.col("category").list.join(" > "))
    names = [name for name in (ITEM_ID, *TEXTS, IMAGE) if name in table.columns]
    rows = table.select(pl.col(names).cast(pl.String, strict=False)).iter_rows(named=True)
    return [(number, row) for number, row in enumerate(rows, start=1)], IMAGE in names


def _judge_row(record: Record | None, known: set[str]) -> str:
    """Return why a row cannot be used, or ""."""
    if record is None:
        return "wrong number of fields"
    item = record.get(ITEM_ID) or ""
    if not item.strip():
        return "no item"
    if len(item) > MAX_ID or any(not character.isprintable() for character in item):
        return "an item id of several lines, or a very long one"
    return "the item stands twice in the table" if item in known else ""


def _name_picture(sha256: str, reference: str) -> str:
    suffix = Path(reference).suffix.lower()
    return sha256 + (suffix if suffix in SUFFIXES else ".jpg")


def _refuse_bad(counts: dict[str, int], path: Path, gate: ValidateConfig) -> None:
    new = counts["new"]
    if not new:
        return
    readable, untitled = counts["with_picture"] / new, counts["without_title"] / new
    faults = []
    if readable < gate.min_decodable_share:
        faults.append(f"{readable:.0%} have a readable picture, at least {gate.min_decodable_share:.0%} must")
    if untitled > gate.max_empty_title_share:
        faults.append(f"{untitled:.0%} lack a title, at most {gate.max_empty_title_share:.0%} may")
    if faults:
        hint = "Mend the batch, or change the bounds in section `validate`; nothing was added."
        raise DataError(f"the gate refuses {new} new items: {'; '.join(faults)}.", path=path, hint=hint)
