"""Where publishers keep their files: one table, every address relative to a base that a mirror may replace.

The addresses are the publishers' public ones as last known; they move from time to time, which is what a mirror and
the files' digests are for. None of these publishers gives digests of its files.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from illmrec.errors import ParameterError

AMAZON = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/"
GOODBOOKS = "https://raw.githubusercontent.com/zygmuntz/goodbooks-10k/master/"
MICROLENS = "https://recsys.westlake.edu.cn/"
HM = "https://www.kaggle.com/api/v1/competitions/data/download-all/h-and-m-personalized-fashion-recommendations"
HM_RULES = "https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/rules"

AMAZON_CATEGORIES = (
    "AMAZON_FASHION",
    "All_Beauty",
    "Appliances",
    "Arts_Crafts_and_Sewing",
    "Automotive",
    "Books",
    "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories",
    "Clothing_Shoes_and_Jewelry",
    "Digital_Music",
    "Electronics",
    "Gift_Cards",
    "Grocery_and_Gourmet_Food",
    "Home_and_Kitchen",
    "Industrial_and_Scientific",
    "Kindle_Store",
    "Luxury_Beauty",
    "Magazine_Subscriptions",
    "Movies_and_TV",
    "Musical_Instruments",
    "Office_Products",
    "Patio_Lawn_and_Garden",
    "Pet_Supplies",
    "Prime_Pantry",
    "Software",
    "Sports_and_Outdoors",
    "Tools_and_Home_Improvement",
    "Toys_and_Games",
    "Video_Games",
)

MICROLENS_TITLES = {
    "50k": "MicroLens-50k_titles.csv",
    "100k": "MicroLens-100k_title_en.csv",
    "1m": "MicroLens-1M_title.csv",
}
MICROLENS_NAMES = {"50k": "MicroLens-50k", "100k": "MicroLens-100k", "1m": "MicroLens-1M"}


@dataclass(frozen=True)
class RemoteFile:
    """One file of a publisher.

    Attributes:
        name: file name below the data set's folder.
        url: where it is.
        unpack_to: folder, below the data set's, that an archive is unpacked into; empty for an ordinary file.
    """

    name: str
    url: str
    unpack_to: str = ""


def list_amazon_files(category: str, base: str = "") -> list[RemoteFile]:
    """Return reviews (5-core) and metadata of one category of Amazon Reviews 2018.

    Raises:
        ParameterError: when there is no such category; names the nearest.
    """
    if category not in AMAZON_CATEGORIES:
        close = [known for known in AMAZON_CATEGORIES if category and category.lower() in known.lower()]
        close = close or difflib.get_close_matches(category, AMAZON_CATEGORIES, n=1, cutoff=0.3)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(AMAZON_CATEGORIES)}."
        raise ParameterError(f"there is no category {category!r} in Amazon Reviews 2018.", hint=hint)
    paths = (f"categoryFilesSmall/{category}_5.json.gz", f"metaFiles2/meta_{category}.json.gz")
    return [RemoteFile(path.rpartition("/")[2], join(base or AMAZON, path)) for path in paths]


def list_goodbooks_files(base: str = "") -> list[RemoteFile]:
    """Return the tables of Goodbooks-10k."""
    names = ("ratings.csv", "books.csv", "tags.csv", "book_tags.csv")
    return [RemoteFile(name, join(base or GOODBOOKS, name)) for name in names]


def list_microlens_files(variant: str, base: str = "", *, frames: bool = False) -> list[RemoteFile]:
    """Return pairs, titles and covers of one size of MicroLens.

    Args:
        variant: ``50k``, ``100k`` or ``1m``.
        base: mirror; the publisher's own when empty.
        frames: whether the archive of video frames (about 19 GB at 100k) is wanted as well.
    """
    name = MICROLENS_NAMES[variant]
    folder = f"{name}-Dataset/"
    archives = [f"{name}_covers"] + ([f"{name}_frames_interval_1_number_5"] if frames else [])
    tables = [f"{name}_pairs.csv", MICROLENS_TITLES[variant]]
    root = base or MICROLENS
    return [RemoteFile(file, join(root, folder + file)) for file in tables] + [
        RemoteFile(f"{archive}.zip", join(root, f"{folder}{archive}.zip"), archive) for archive in archives
    ]


def join(base: str, path: str) -> str:
    """Return the address of ``path`` below ``base``."""
    return f"{base.rstrip('/')}/{path}"
