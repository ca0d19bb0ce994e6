"""A synthetic catalog in the layout of MicroLens, as its 100k release lies on disk, with ``100k`` read as ``Sample``.

Files:
    ``MicroLens-Sample_pairs.csv``: header ``user,item,timestamp``; ids are integers from 1, timestamp is milliseconds
    since 1970 UTC; rows stand in order of time.
    ``MicroLens-Sample_title_en.csv``: NO header; a row is item, English title. Titles hold commas, doubled quotes, hash
    tags and emoji. (The 50k release calls its file ``MicroLens-50k_titles.csv`` and gives it a header ``item,title``.)
    ``MicroLens-Sample_covers/<item>.jpg``.
    ``MicroLens-Sample_frames_interval_1_number_3/<item>-<n>.jpg``, n from 1: frames around the middle of the video. One
    flat folder with a hyphen before the number is what the publisher's own extraction script writes and its training
    code reads; the released archive of frames ends in ``number_5``.

A title may be empty or its row missing; a video may lack frames, or frames and cover.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from illmrec.samples.notice import write_notice
from illmrec.samples.pictures import Colour, cut_short, draw_picture, draw_pose
from illmrec.samples.styles import STYLES
from illmrec.samples.world import Plan, World, build_world
from illmrec.seeds import generator

PLAN = Plan(users=400, items=200, categories=8, brands=12, start=1_599_868_800, days=730, imageless_share=0.04)
"""From 2020-09-12 to 2022-09-11."""

PAIRS = "MicroLens-Sample_pairs.csv"
TITLES = "MicroLens-Sample_title_en.csv"
COVERS = "MicroLens-Sample_covers"
FRAMES_PER_VIDEO = 3
FRAMES = f"MicroLens-Sample_frames_interval_1_number_{FRAMES_PER_VIDEO}"

VIDEOS_WITHOUT_FRAMES = 8
"""Videos with a cover but no frames."""
EMPTY_TITLES = 2
MISSING_TITLES = 2
STYLE_IN_TITLE = 0.15

_TOPICS = (
    ("cooking", ("noodles", "pancakes", "street food")),
    ("travel", ("night market", "mountain hut", "ferry ride")),
    ("pets", ("kitten", "puppy", "parrot")),
    ("gaming", ("boss fight", "speed run", "new map")),
    ("fitness", ("morning stretch", "ten minute workout", "yoga flow")),
    ("crafts", ("paper folding", "clay bowl", "wood carving")),
    ("music", ("guitar cover", "drum solo", "choir")),
    ("comedy", ("office prank", "family dinner", "wrong number")),
)
_CREATORS = (
    "Lin Kitchen", "Bao & Friends", "Sunny Road", "Old Wei", "Mango Studio", "Pixel Panda", "Qin Daily", "Uncle Zhou",
    "Little Harbor", "Rainy Day", "Tea House", "North Gate",
)  # fmt: skip
_OPENINGS = ("You have to see this", "Day 12", "Watch until the end", "Finally", "Nobody told me", "My first")
_CLOSINGS = ("what do you think?", 'they called it "impossible"', "part 2, as promised", "so good 😂", "wait for it...")
_GROUNDS: tuple[Colour, ...] = ((240, 240, 236), (222, 226, 218), (206, 212, 222), (232, 218, 212))


def write_catalog(folder: Path, seed: int, plan: Plan = PLAN) -> dict[str, int]:
    """Write the catalog into the empty ``folder``; return counts of what was written, dirt included."""
    world = build_world("microlens", plan, seed)
    rng = generator(seed, "microlens", "names")
    users = np.sort(rng.choice(plan.users * 4, plan.users, replace=False)) + 1
    videos = rng.permutation(plan.items) + 1
    pairs = _list_pairs(world, users, videos, generator(seed, "microlens", "clock"))
    _write_csv(folder / PAIRS, [("user", "item", "timestamp"), *pairs.iter_rows()])
    titles = _list_titles(world, videos, generator(seed, "microlens", "titles"))
    _write_csv(folder / TITLES, titles)
    covers, frames = _write_pictures(folder, world, videos, seed)
    write_notice(folder, "MicroLens (100k release)", seed)
    return {
        "users": world.events["user"].n_unique(),
        "items": plan.items,
        "pairs": pairs.height,
        "title_rows": len(titles),
        "covers": covers,
        "frames": frames,
    }


def _list_pairs(world: World, users: np.ndarray, videos: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    milliseconds = world.events["second"].to_numpy() * 1_000 + rng.integers(0, 1_000, world.events.height)
    pairs = pl.DataFrame(
        {
            "user": users[world.events["user"].to_numpy()],
            "item": videos[world.events["item"].to_numpy()],
            "timestamp": milliseconds,
        }
    )
    return pairs.sort("timestamp", "user", "item")


def _list_titles(world: World, videos: np.ndarray, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Return item and title of each video that has a row, by item."""
    chosen = rng.choice(world.plan.items, EMPTY_TITLES + MISSING_TITLES, replace=False).tolist()
    numbers = rng.integers(0, 1 << 30, (world.plan.items, 3)).tolist()
    shown = rng.random(world.plan.items) < STYLE_IN_TITLE
    titles = {}
    for index, (first, second, third) in enumerate(numbers):
        topic, subjects = _TOPICS[world.category[index]]
        motif = f", the one with the {STYLES[world.style[index]].words}" if shown[index] else ""
        titles[index] = (
            f"{_OPENINGS[first % len(_OPENINGS)]}: {subjects[second % len(subjects)]}{motif}, "
            f"{_CLOSINGS[third % len(_CLOSINGS)]} | {_CREATORS[world.brand[index]]} #{topic}"
        )
    titles |= dict.fromkeys(chosen[:EMPTY_TITLES], "")
    for index in chosen[EMPTY_TITLES:]:
        del titles[index]
    return sorted((int(videos[index]), title) for index, title in titles.items())


def _write_csv(path: Path, rows: Iterable[Sequence[str | int]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_pictures(folder: Path, world: World, videos: np.ndarray, seed: int) -> tuple[int, int]:
    """Write covers and frames; the second frame of one video is cut short. Return how many of each."""
    (folder / COVERS).mkdir()
    (folder / FRAMES).mkdir()
    pictured = np.flatnonzero(world.has_image)
    frameless = (
        generator(seed, "microlens", "frameless").choice(pictured, VIDEOS_WITHOUT_FRAMES, replace=False).tolist()
    )
    filmed = [item for item in pictured.tolist() if item not in frameless]
    for item in pictured.tolist():
        pictures = _film(world, item, seed)
        (folder / COVERS / f"{videos[item]}.jpg").write_bytes(pictures[0])
        for number, frame in enumerate(pictures[1:], start=1):
            if item in frameless:
                break
            damaged = item == filmed[0] and number == 2
            path = folder / FRAMES / f"{videos[item]}-{number}.jpg"
            path.write_bytes(cut_short(frame) if damaged else frame)
    return len(pictured), len(filmed) * FRAMES_PER_VIDEO


def _film(world: World, item: int, seed: int) -> list[bytes]:
    """Return the cover and then the frames of one video: one scene in which the motif moves, grows and turns."""
    rng = generator(seed, "microlens", "picture", item)
    style, ground = STYLES[world.style[item]], _GROUNDS[int(rng.integers(len(_GROUNDS)))]
    pose = draw_pose(rng)
    pictures = [draw_picture(style, ground, draw_pose(rng), rng)]
    dx, dy = rng.uniform(-0.06, 0.06, 2).tolist()
    growth, turn = float(rng.uniform(0.9, 1.1)), float(rng.uniform(-0.2, 0.2))
    for _ in range(FRAMES_PER_VIDEO):
        pictures.append(draw_picture(style, ground, pose, rng))
        pose = pose.move(dx, dy, growth, turn)
    return pictures
