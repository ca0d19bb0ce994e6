"""A synthetic catalog in the layout of H&M's Kaggle competition.

Files:
    ``articles.csv``: the 25 columns of the original. article_id is ten digits with leading zeros; product_code is its
    middle six digits without them. detail_desc may be empty. The colour columns name the garment's ground, which is
    the picture's background, not the printed motif.
    ``customers.csv``: customer_id (64 hexadecimal digits), FN, Active, club_member_status, fashion_news_frequency, age,
    postal_code; some customers never bought anything.
    ``transactions_train.csv``: t_dat (day), customer_id, article_id, price, sales_channel_id, in order of day. A second
    piece of the same article in one basket is a second, equal row.
    ``images/<first three digits of article_id>/<article_id>.jpg``.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from illmrec.samples.notice import write_notice
from illmrec.samples.pictures import Colour, draw_picture, draw_pose
from illmrec.samples.styles import STYLES, Style
from illmrec.samples.world import SECONDS_PER_DAY, Plan, World, build_world
from illmrec.seeds import generator

PLAN = Plan(users=500, items=250, categories=8, brands=10, start=1_537_401_600, days=730, session_share=0.35)
"""From 2018-09-20 to 2020-09-18; a third of the purchases share a basket with another."""

ARTICLE_COLUMNS = (
    "article_id", "product_code", "prod_name", "product_type_no", "product_type_name", "product_group_name",
    "graphical_appearance_no", "graphical_appearance_name", "colour_group_code", "colour_group_name",
    "perceived_colour_value_id", "perceived_colour_value_name", "perceived_colour_master_id",
    "perceived_colour_master_name", "department_no", "department_name", "index_code", "index_name", "index_group_no",
    "index_group_name", "section_no", "section_name", "garment_group_no", "garment_group_name", "detail_desc",
)  # fmt: skip
CUSTOMER_COLUMNS = (
    "customer_id", "FN", "Active", "club_member_status", "fashion_news_frequency", "age", "postal_code"
)  # fmt: skip
TRANSACTION_COLUMNS = ("t_dat", "customer_id", "article_id", "price", "sales_channel_id")

IDLE_CUSTOMER_SHARE = 0.05
"""Customers without a transaction, as a share of those with one."""
SAME_BASKET_SHARE = 0.02
"""Share of purchases of two pieces of one article."""
REPEAT_SHARE = 0.015
"""Share of purchases that the customer repeats on a later day."""
ARTICLES_WITHOUT_ROW = 2
UNSOLD_ARTICLES = 8
NO_DESCRIPTION_SHARE = 0.05
STYLE_IN_DESCRIPTION = 0.4

_TYPES = (
    (255, "T-shirt", "Garment Upper body", 1005, "Jersey Fancy", "Short-sleeved top in soft cotton jersey"),
    (252, "Sweater", "Garment Upper body", 1003, "Knitwear", "Jumper in a fine knit with ribbing at the hem"),
    (265, "Dress", "Garment Full body", 1013, "Dresses Ladies", "Knee-length dress in airy woven fabric"),
    (272, "Trousers", "Garment Lower body", 1009, "Trousers", "Trousers with an elasticated waist and side pockets"),
    (302, "Socks", "Socks & Tights", 1021, "Socks and Tights", "Fine-knit socks with elasticated tops"),
    (66, "Bag", "Accessories", 1019, "Accessories", "Shopper with two handles and an inner compartment"),
    (69, "Hat/beanie", "Accessories", 1019, "Accessories", "Rib-knit hat with a turned-up hem"),
    (80, "Scarf", "Accessories", 1019, "Accessories", "Wide scarf in a soft weave with fringes"),
)
_SECTIONS = (
    (15, "Womens Everyday Collection", "A", "Ladieswear", 1), (53, "Divided Collection", "D", "Divided", 2),
    (51, "Divided Projects", "D", "Divided", 2), (26, "Men Underwear", "F", "Menswear", 3),
    (19, "Womens Jackets", "A", "Ladieswear", 1), (55, "Contemporary Street", "F", "Menswear", 3),
    (62, "Womens Nightwear", "B", "Lingeries/Tights", 1), (5, "Ladies H&M Sport", "S", "Sport", 26),
    (44, "Kids Girl", "H", "Children Sizes 92-140", 4), (66, "Womens Small accessories", "C", "Ladies Accessories", 1),
)  # fmt: skip
_GROUP_NAMES = {1: "Ladieswear", 2: "Divided", 3: "Menswear", 4: "Baby/Children", 26: "Sport"}
_GROUNDS: tuple[tuple[int, str, int, str, int, str, Colour], ...] = (
    (10, "White", 3, "Light", 9, "White", (247, 247, 245)),
    (12, "Light Beige", 1, "Dusty Light", 11, "Beige", (232, 224, 208)),
    (6, "Light Grey", 1, "Dusty Light", 12, "Grey", (216, 217, 219)),
    (11, "Off White", 1, "Dusty Light", 9, "White", (240, 236, 226)),
)
_NAMES = ("Ava", "Berta", "Cilla", "Dora", "Ebba", "Freja", "Greta", "Hedda", "Iris", "Jonna", "Karla", "Lova", "Maja")
_CUTS = ("tee", "basic", "premium", "relaxed", "slim", "oversize (1)", "2p", "fancy")

Rows = Iterable[Sequence[str | int]]


def write_catalog(folder: Path, seed: int, plan: Plan = PLAN) -> dict[str, int]:
    """Write the catalog into the empty ``folder``; return counts of what was written, dirt included."""
    world = build_world("hm", plan, seed)
    rng = generator(seed, "hm", "articles")
    articles = _name_articles(plan.items + UNSOLD_ARTICLES, rng)
    grounds = rng.integers(0, len(_GROUNDS), plan.items + UNSOLD_ARTICLES)
    unlisted = np.sort(rng.choice(plan.items, ARTICLES_WITHOUT_ROW, replace=False))
    listed = np.setdiff1d(np.arange(plan.items), unlisted)
    rows = _list_articles(world, articles, grounds, rng)
    idle = round(IDLE_CUSTOMER_SHARE * plan.users)
    customers = [hashlib.sha256(f"customer {seed} {user}".encode()).hexdigest() for user in range(plan.users + idle)]

    kept = [
        rows[index] for index in sorted([*listed.tolist(), *range(plan.items, len(rows))], key=articles.__getitem__)
    ]
    _write_csv(folder / "articles.csv", ARTICLE_COLUMNS, kept)
    _write_csv(
        folder / "customers.csv", CUSTOMER_COLUMNS, _list_customers(customers, generator(seed, "hm", "customers"))
    )
    sales = _list_sales(world, generator(seed, "hm", "sales"))
    lines = [
        (day, customers[user], articles[item], price, channel) for day, user, item, price, channel in sales.iter_rows()
    ]
    _write_csv(folder / "transactions_train.csv", TRANSACTION_COLUMNS, lines)
    pictured = listed[world.has_image[listed]]
    _write_pictures(folder / "images", world, articles, grounds, pictured, seed)
    write_notice(folder, "H&M Personalized Fashion Recommendations (Kaggle)", seed)
    return {
        "users": world.events["user"].n_unique(),
        "items": plan.items,
        "transactions": sales.height,
        "article_rows": len(kept),
        "customers": len(customers),
        "pictures": len(pictured),
    }


def _name_articles(count: int, rng: np.random.Generator) -> list[str]:
    """Return distinct article ids, ascending: a product's six-digit code and the number of its colour."""
    codes = 108_775 + np.cumsum(rng.integers(900, 3_000, count))
    variants = rng.integers(1, 30, count)
    return [f"{code * 1_000 + variant:010d}" for code, variant in zip(codes.tolist(), variants.tolist(), strict=True)]


def _list_articles(
    world: World, articles: list[str], grounds: np.ndarray, rng: np.random.Generator
) -> list[list[str | int]]:
    numbers = rng.integers(0, 1 << 30, (len(articles), 3)).tolist()
    draws = rng.random((len(articles), 2))
    rows = []
    for index, article in enumerate(articles):
        sold = index < world.plan.items
        style = STYLES[world.style[index]] if sold and draws[index, 0] < STYLE_IN_DESCRIPTION else None
        kind = int(world.category[index]) if sold else index % len(_TYPES)
        section = int(world.brand[index]) if sold else index % len(_SECTIONS)
        row = _article(article, kind, section, int(grounds[index]), numbers[index])
        described = draws[index, 1] >= NO_DESCRIPTION_SHARE
        rows.append([*row, _describe(kind, style) if described else ""])
    return rows


def _article(article: str, kind: int, section: int, ground: int, numbers: list[int]) -> list[str | int]:
    """Return an article's columns up to garment_group_name."""
    type_no, type_name, group, garment_no, garment_name, _ = _TYPES[kind]
    section_no, section_name, index_code, index_name, group_no = _SECTIONS[section]
    colour_code, colour, value_id, value, master_id, master, _ = _GROUNDS[ground]
    name = f"{_NAMES[numbers[0] % len(_NAMES)]} {type_name.lower()} {_CUTS[numbers[1] % len(_CUTS)]}"
    return [
        article, int(article) // 1_000, name, type_no, type_name, group,
        1_010_005, "Placement print", colour_code, colour, value_id, value, master_id, master,
        1_000 + section_no * 10 + kind, f"{type_name} {section_name}",
        index_code, index_name, group_no, _GROUP_NAMES[group_no],
        section_no, section_name, garment_no, garment_name,
    ]  # fmt: skip


def _describe(kind: int, style: Style | None) -> str:
    motif = f", printed with a {style.words} at the front" if style else ""
    return f"{_TYPES[kind][5]}{motif}."


def _list_customers(customers: list[str], rng: np.random.Generator) -> list[list[str | int]]:
    rows: list[list[str | int]] = []
    for customer, (active, club, age, place) in zip(
        customers, rng.integers(0, 1 << 30, (len(customers), 4)).tolist(), strict=True
    ):
        flags: list[str] = ["1", "1"] if active % 3 == 0 else ["", ""]
        status = ("ACTIVE", "ACTIVE", "ACTIVE", "PRE-CREATE", "")[club % 5]
        news = "Regularly" if flags[0] else "NONE"
        postal = hashlib.sha256(f"place {place % 200}".encode()).hexdigest()
        rows.append([customer, *flags, status, news, "" if age % 50 == 0 else 18 + age % 55, postal])
    return sorted(rows, key=lambda row: str(row[0]))


def _list_sales(world: World, rng: np.random.Generator) -> pl.DataFrame:
    """Return day, user, item, price and channel of every transaction, by day."""
    events = world.events.with_columns(
        day=pl.from_epoch(pl.col("second") // SECONDS_PER_DAY * SECONDS_PER_DAY).dt.date(),
        channel=pl.Series(rng.integers(1, 3, world.events.height)),
    )
    twice = events.filter(pl.Series(rng.random(events.height) < SAME_BASKET_SHARE))
    again = events.filter(pl.Series(rng.random(events.height) < REPEAT_SHARE))
    last_day = pl.lit(world.plan.days * SECONDS_PER_DAY + world.plan.start).pipe(pl.from_epoch).dt.date()
    again = again.with_columns(wait=pl.Series(rng.integers(7, 60, again.height)))
    later = pl.col("day") + pl.duration(days="wait")
    again = again.with_columns(day=pl.min_horizontal(later, last_day)).drop("wait")
    prices = rng.integers(8, 60, world.plan.items) * 0.000_847_457_627_118_644
    everything = pl.concat([events, twice, again]).sort("day", "user", "second", "item", maintain_order=True)
    return everything.select(
        pl.col("day").dt.to_string("%Y-%m-%d"),
        "user",
        "item",
        pl.Series("price", [f"{price:.15f}" for price in prices[everything["item"].to_numpy()].tolist()]),
        "channel",
    )


def _write_csv(path: Path, header: Sequence[str], rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_pictures(
    folder: Path, world: World, articles: list[str], grounds: np.ndarray, items: np.ndarray, seed: int
) -> None:
    for item in items.tolist():
        rng = generator(seed, "hm", "picture", item)
        picture = draw_picture(STYLES[world.style[item]], _GROUNDS[grounds[item]][6], draw_pose(rng), rng)
        path = folder / articles[item][:3] / f"{articles[item]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
