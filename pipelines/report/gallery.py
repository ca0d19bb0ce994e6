"""The gallery: some users' histories, held-out test items and nightly recommendations, as pictures."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID, SEQUENCES, USER_ID, USER_INDEX
from illmrec.data.catalog import Catalog
from illmrec.errors import DataError
from illmrec.scoring.output import RECOMMENDATIONS, check_run
from illmrec.seeds import generator
from pipelines.assembly.pictures import list_readable_pictures
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.report.figures import MODELS, OURS
from pipelines.report.reading import Missing, scan_table
from pipelines.report.thumbnails import make_thumbnails

HISTORY, TOP = 10, 10
TITLE_LENGTH, ID_LENGTH = 160, 60


@dataclass(frozen=True)
class Tile:
    """One item as it is shown; ``picture`` is a data URI, None where there is none to show."""

    item_id: str
    title: str
    picture: str | None


@dataclass(frozen=True)
class Recommendation:
    """One line of the nightly export.

    Args:
        rank: 1-based.
        tile: the item.
        score: sum of the shares, or what stands for it where no model scored.
        shares: by feature type; empty where no model scored.
        reason: ``model``, or why the model was not asked.
        image_fallback: text stood in for the item's picture.
        is_test_item: the item is the user's held-out test item.
    """

    rank: int
    tile: Tile
    score: float
    shares: Mapping[str, float]
    reason: str
    image_fallback: bool
    is_test_item: bool


@dataclass(frozen=True)
class GalleryUser:
    """One user.

    Args:
        user_id: the catalog's own id.
        history: the last items before the test item, oldest first.
        history_length: how many there are in all.
        held_out: the test item.
        ranks: 1-based full-catalog rank of the test item by model; empty when not evaluated.
        recommendations: the nightly list; empty when the export holds none for this user.
    """

    user_id: str
    history: tuple[Tile, ...]
    history_length: int
    held_out: Tile
    ranks: Mapping[str, float]
    recommendations: tuple[Recommendation, ...]

    @property
    def is_hit(self) -> bool:
        """Whether I-LLMRec ranked the test item among the first ten."""
        return self.ranks.get(OURS, np.inf) <= TOP


@dataclass(frozen=True)
class Gallery:
    """Chosen users, and what could not be shown.

    Args:
        users: the users.
        night: ``dt=.../run=...`` of the export shown, or which command makes one.
        pictures: pictures that lie in the page, counted once each.
        lost_pictures: pictures that were readable when prepared and no longer open.
    """

    users: tuple[GalleryUser, ...]
    night: str | Missing
    pictures: int
    lost_pictures: int


def choose_users(
    users: int, ranks: npt.NDArray[np.float64] | None, count: int, *parts: int | str
) -> npt.NDArray[np.int64]:
    """Return ``int64 [<= count]`` user indices: half hits and half misses, as far as there are both.

    Args:
        users: number of users.
        ranks: ``float64 [users]``: rank of each test item; None draws from all users alike.
        count: how many to choose.
        parts: what the draw is for; equal parts choose equal users.
    """
    order = generator("gallery", *parts).permutation(users)
    if ranks is None:
        return np.sort(order[:count])
    hit = ranks[order] <= TOP
    hits, misses = order[hit], order[~hit]
    wanted = max(count - len(misses), -(-min(count, users) // 2))
    taken = hits[:wanted]
    return np.sort(np.concatenate([taken, misses[: count - len(taken)]]))


def build_gallery(shelf: Shelf, night: str | Missing, count: int, pixels: int) -> Gallery:
    """Choose users and gather everything that is shown of them.

    Raises:
        DataError: when tables are damaged or do not fit each other.
    """
    layout = shelf.layout
    items = layout.prepared / "items.parquet"
    catalog = Catalog(scan_table(items, (ITEM_ID, "title"), f"illmrec prepare --dataset {layout.dataset}").collect())
    path, remedy = layout.split / "sequences.parquet", f"illmrec split --dataset {layout.dataset}"
    sequences = scan_table(path, tuple(SEQUENCES), remedy)
    tested = sequences.filter(pl.col("test").is_not_null()).select(USER_INDEX).sort(USER_INDEX).collect().to_series()
    ranks = read_ranks(layout, tested)
    column = None if ranks is None else ranks[f"{OURS}_full"].to_numpy()
    chosen = tested.to_numpy()[choose_users(len(tested), column, count, layout.dataset)]
    rows = sequences.filter(pl.col(USER_INDEX).is_in(chosen.tolist())).sort(USER_INDEX).collect()
    lists = {} if isinstance(night, Missing) else read_night(layout, night, rows[USER_ID])
    wanted = _list_items(rows, lists, catalog)
    if wanted and not 0 <= min(wanted) <= max(wanted) < len(catalog):
        raise DataError("names items outside items.parquet.", path=path, hint=f"Run `{remedy}` again.")
    thumbnails = make_thumbnails(list_readable_pictures(shelf, catalog), wanted, pixels)
    tiles = _make_tiles(catalog, wanted, thumbnails)
    by_user = {} if ranks is None else ranks.rows_by_key(USER_INDEX, named=True, unique=True)
    users = tuple(_build_user(row, tiles, by_user, lists, catalog) for row in rows.iter_rows(named=True))
    shown = sum(picture is not None for picture in thumbnails.values())
    return Gallery(users, night, shown, len(thumbnails) - shown)


def read_ranks(layout: Layout, users: pl.Series) -> pl.DataFrame | None:
    """Return the full-catalog ranks of each user's first target by user_index, None before evaluation.

    Args:
        layout: where they lie.
        users: user_index of every user with a target, ascending.

    Raises:
        DataError: when the ranks are of other users.
    """
    path, remedy = layout.evaluation / "ranks.parquet", f"illmrec evaluate --dataset {layout.dataset}"
    if not path.exists():
        return None
    columns = (USER_INDEX, *(f"{model}_full" for model in MODELS))
    ranks = scan_table(path, columns, remedy).collect().unique(USER_INDEX, keep="first").sort(USER_INDEX)
    if ranks[USER_INDEX].to_list() != users.to_list():
        message = f"has {ranks.height} users, the split has {len(users)}; they must be the same."
        raise DataError(message, path=path, hint=f"Run `{remedy}` again.")
    return ranks


def read_night(layout: Layout, night: str, user_ids: pl.Series) -> dict[str, list[dict[str, Any]]]:
    """Return the first rows of each user's list in a published export, by user_id.

    Raises:
        DataError: when the export differs from its manifest or lacks columns.
    """
    folder = layout.exports / night
    lists: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(check_run(folder)["files"]):
        table = scan_table(folder / name, tuple(RECOMMENDATIONS), f"illmrec recommend --dataset {layout.dataset}")
        mine = table.filter(pl.col(USER_ID).is_in(user_ids.to_list()), pl.col("rank") <= TOP)
        for row in mine.sort(USER_ID, "rank").collect().iter_rows(named=True):
            lists.setdefault(row[USER_ID], []).append(row)
    return lists


def _list_items(rows: pl.DataFrame, lists: Mapping[str, list[dict[str, Any]]], catalog: Catalog) -> set[int]:
    history = rows.select(pl.concat_list(pl.col("train"), pl.col("valid")).list.tail(HISTORY).explode())
    seen = set(history.to_series().to_list()) | set(rows["test"].to_list())
    offered = pl.Series([row[ITEM_ID] for rows in lists.values() for row in rows], dtype=pl.String)
    return seen | {index for index in catalog.index_items(offered).tolist() if index >= 0}


def _make_tiles(catalog: Catalog, wanted: set[int], thumbnails: Mapping[int, str | None]) -> dict[str, Tile]:
    shown = catalog.items[sorted(wanted)].rows()
    return {
        item_id: Tile(shorten(item_id, ID_LENGTH), shorten(title, TITLE_LENGTH), thumbnails.get(index))
        for index, (item_id, title) in zip(sorted(wanted), shown, strict=True)
    }


def _build_user(
    row: Mapping[str, Any],
    tiles: Mapping[str, Tile],
    ranks: Mapping[int, Mapping[str, float]],
    lists: Mapping[str, list[dict[str, Any]]],
    catalog: Catalog,
) -> GalleryUser:
    ids = catalog.item_ids
    history = [*row["train"], row["valid"]]
    test = ids[row["test"]]
    own = ranks.get(row[USER_INDEX])
    mine = {} if own is None else {model: float(own[f"{model}_full"]) for model in MODELS}
    return GalleryUser(
        shorten(row[USER_ID], ID_LENGTH),
        tuple(tiles[ids[index]] for index in history[-HISTORY:]),
        len(history),
        tiles[test],
        mine,
        tuple(_build_recommendation(line, tiles, test) for line in lists.get(row[USER_ID], [])),
    )


def _build_recommendation(line: Mapping[str, Any], tiles: Mapping[str, Tile], test: str) -> Recommendation:
    unknown = Tile(shorten(line[ITEM_ID], ID_LENGTH), "", None)
    shares = {name: line[f"share_{name}"] for name in ("image", "cf", "text")}
    return Recommendation(
        line["rank"],
        tiles.get(line[ITEM_ID], unknown),
        line["score"],
        {name: value for name, value in shares.items() if value is not None},
        line["reason"],
        line["image_fallback"],
        line[ITEM_ID] == test,
    )


def shorten(text: str, length: int) -> str:
    """Return catalog text on one line, without control characters, cut to ``length`` characters."""
    spaced = "".join(" " if unicodedata.category(letter) in {"Cc", "Cs"} else letter for letter in text[: 4 * length])
    line = " ".join(spaced.split())
    return line if len(line) <= length and len(text) <= 4 * length else line[: length - 1].rstrip() + "…"
