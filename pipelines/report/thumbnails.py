"""Catalog pictures made small enough to lie inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping

from illmrec.errors import DataError
from illmrec.progress import track
from pipelines.assembly.pictures import Picture

QUALITY = 82


def make_thumbnails(pictures: Iterable[Picture], wanted: set[int], pixels: int) -> Mapping[int, str | None]:
    """Return the first picture of each wanted item as a data URI, by item_index.

    Args:
        pictures: readable pictures, by item and position.
        wanted: item indices to show.
        pixels: longest side.

    Returns:
        None as the value where a picture that was readable when prepared no longer opens; items without a picture
        have no entry.
    """
    first: dict[int, Picture] = {}
    for picture in pictures:
        if picture.item_index in wanted:
            first.setdefault(picture.item_index, picture)
    return {index: encode_thumbnail(first[index], pixels) for index in track(first, "thumbnails", unit="picture")}


def encode_thumbnail(picture: Picture, pixels: int) -> str | None:
    """Return one picture as a JPEG data URI no larger than ``pixels`` a side; None when it does not open.

    The picture is encoded anew, so nothing of the original file but its colours reaches the page.
    """
    try:
        image = picture.open()
    except DataError:
        return None
    image.thumbnail((pixels, pixels))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=QUALITY, optimize=True, comment=b"")
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
