"""What a registered version says about itself: a description in three lines, a model card and a data card.

Everything in them is read from the artifacts that were registered; a figure that an artifact does not hold is left out
with a word, never filled in.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.layout import Layout
from pipelines.serving_probe import ServingCost

MODEL_CARD, DATA_CARD = "model_card.md", "data_card.md"
SYNTHETIC_MARK = "# Synthetic data set"
OURS, RIVALS = "illmrec", ("sasrec", "popularity")
SHOWN = ("hit@5", "ndcg@5", "hit@10", "ndcg@10", "mrr")
SLICE_METRIC = "ndcg@10"


@dataclass(frozen=True)
class CardFacts:
    """What cards are written from.

    Args:
        layout: the data set.
        model: registered model's name.
        tags: of the version.
        metrics: of the evaluation.
        state: of the trained model.
        gates: results of the two quality gates.
        summary: of ``prepare``.
        profile: of ``validate``.
        cost: what serving costs; None where it was not measured.
        confidence: coverage of the intervals.
        synthetic: whether the data set says that it was made up.
    """

    layout: Layout
    model: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    state: Mapping[str, Any]
    gates: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any]
    profile: Mapping[str, Any]
    cost: ServingCost | None
    confidence: float
    synthetic: bool

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the settings of training."""
        settings: Mapping[str, Any] = self.state["settings"]
        return settings


def is_synthetic(raw: Path) -> bool:
    """Return whether a raw folder says that its data were made up."""
    mark = raw / "SYNTHETIC.md"
    return mark.is_file() and mark.read_text(encoding="utf-8").startswith(SYNTHETIC_MARK)


def describe_version(facts: CardFacts) -> str:
    """Return three lines: what it is, how good it is, what the gates said."""
    settings = facts.settings
    made = "synthetic data" if facts.synthetic else "data"
    what = (
        f"{facts.state['backbone']['name']}, items as {settings['representation']}, retrieval by "
        f"{' + '.join(settings['features'])}; {made} `{facts.layout.dataset}`, "
        f"{facts.profile['counts']['users']:,} users, {facts.profile['counts']['items']:,} items"
    )
    gate = "; ".join(
        f"{name} gate passed with {gate['warnings']} warnings" for name, gate in facts.gates.items() if gate["passed"]
    )
    return f"{what}  \n{_describe_quality(facts)}  \n{gate}"


def _describe_quality(facts: CardFacts) -> str:
    parts = []
    for name in (OURS, *RIVALS):
        key = f"{name}/full/ndcg@10"
        if key in facts.metrics:
            ends = f" [{facts.metrics[f'{key}.low']:.4f}, {facts.metrics[f'{key}.high']:.4f}]" if name == OURS else ""
            parts.append(f"{'this model' if name == OURS else name} {facts.metrics[key]:.4f}{ends}")
    return f"NDCG@10, full catalog: {', '.join(parts) or 'not evaluated'}"


def write_model_card(facts: CardFacts) -> str:
    """Return the model card as Markdown."""
    dataset = facts.layout.dataset
    settings, tags = facts.settings, facts.tags
    start = facts.state.get("start")
    lines = [
        f"# Model card: {facts.model}",
        "",
        "## What it is",
        "",
        (
            "A recommender for one catalog: a frozen language model reads a user's recent items, each as its title and "
            "its picture; small trained heads turn the answer into a vector that is compared with pictures, texts and "
            "collaborative vectors of all items."
        ),
        "",
        *_table(
            ("part", "value"),
            [
                ("language model", tags.get("backbone", "")),
                ("picture encoder", tags.get("image_encoder", "")),
                ("text encoder", tags.get("text_encoder", "")),
                ("items in the prompt", str(settings["representation"])),
                ("feature types", ", ".join(settings["features"])),
                ("history shown", f"{settings['history_limit']} items"),
                ("preset", str(settings["preset"])),
                ("training began", _describe_start(start)),
                ("best step", str(facts.state.get("best_step", "unknown"))),
            ],
        ),
        "",
        "## Intended use",
        "",
        (
            f"Lists of items for known users of the data set `{dataset}`, written every night by `illmrec recommend`. "
            "Not for decisions about persons, and not for another catalog: items that came after training are scored "
            "by picture and text alone."
        ),
        "",
        "## Quality",
        "",
        *_describe_contest(facts),
        "",
        *_metric_table(facts),
        "",
        *_slice_section(facts),
        *_knockout_section(facts),
        "## Missing pictures",
        "",
        *_describe_pictures(facts),
        "",
        "## Costs",
        "",
        *_cost_section(facts),
        "",
        "## Limits",
        "",
        *_limits(facts),
        "",
        "## Licences",
        "",
        (
            "The parameters record no licences. Those of the language model, of both encoders and of the data set are "
            "their publishers'; look them up by the names and revisions above before you use the model."
        ),
        "",
        "## Origin",
        "",
        *_table(("tag", "value"), [(name, tags[name]) for name in ORIGIN if name in tags]),
        "",
        "## Going back",
        "",
        (
            f"`illmrec rollback --dataset {dataset}` makes the champion before this one champion again. "
            f"`illmrec registry list --dataset {dataset}` shows all versions."
        ),
    ]
    return "\n".join(lines) + "\n"


ORIGIN = (
    *("git_commit", "dvc_lock_sha256", "params_sha256", "illmrec_version", "onnx_sha256", "tensors_sha256"),
    *("onnx_max_difference", "onnx_same_top10_share", "split_sha256", "item_digest"),
)
"""Tags that say where a version comes from."""


def write_data_card(facts: CardFacts) -> str:
    """Return the data card as Markdown."""
    summary, counts = facts.summary, facts.profile["counts"]
    first, last = (_name_day(facts.profile["time"][end]) for end in ("first", "last"))
    gates = [
        (name, "passed" if gate["passed"] else "refused", str(gate["warnings"]), str(len(gate["not_checked"])))
        for name, gate in facts.gates.items()
    ]
    made = "These data are synthetic: made by a program, they say nothing about real users. " if facts.synthetic else ""
    lines = [
        f"# Data card: {facts.layout.dataset}",
        "",
        f"{made}What the model of this version was trained and tested on, after reading, cleaning and the k-core.",
        "",
        *_table(
            ("count", "value"),
            [
                ("users", f"{counts['users']:,}"),
                ("items", f"{counts['items']:,}"),
                ("interactions", f"{counts['interactions']:,}"),
                ("pictures", f"{counts['pictures']:,}"),
                ("first interaction", first),
                ("last interaction", last),
            ],
        ),
        "",
        "## From raw rows to this",
        "",
        *_table(("step", "count"), [(key, _show(value)) for key, value in sorted(summary.items())]),
        "",
        "## Test targets",
        "",
        *_describe_contest(facts),
        "",
        "## Gates",
        "",
        *_table(("gate", "verdict", "warnings", "not checked"), gates),
        "",
        "## Persons",
        "",
        (
            "Users are known by the ids of the raw data. The version's files hold digests of user ids beside ranks "
            "(`ranks.parquet`), no names and no texts of users. Treat it as personal data all the same: who knows an "
            "id can find its row."
        ),
        "",
        "## Licence",
        "",
        "The parameters record none; it is the publisher's.",
    ]
    return "\n".join(lines) + "\n"


def _describe_start(start: Any) -> str:
    return f"with the tensors of version {start['version']}" if isinstance(start, dict) else "from nothing"


def _describe_contest(facts: CardFacts) -> list[str]:
    metrics = facts.metrics
    users, targets = metrics.get("cases/users"), metrics.get("cases/targets")
    if users is None or targets is None:
        return ["Test targets are ranked among the full catalog; items of the history are no candidates."]
    items = metrics.get("cases/items")
    return [
        f"{int(targets):,} test targets of {int(users):,} users, ranked among "
        + (f"{int(items):,} items" if items is not None else "the full catalog")
        + "; items of the history are no candidates."
    ]


def _metric_table(facts: CardFacts) -> list[str]:
    rows = []
    for name in (OURS, *RIVALS):
        cells = [_show_estimate(facts.metrics, f"{name}/full/{metric}") for metric in SHOWN]
        rows.append(("this model" if name == OURS else name, *cells))
    table = _table(("full catalog", *SHOWN), rows)
    differences = []
    for rival in RIVALS:
        key = f"{OURS}-{rival}/full/ndcg@10"
        if f"{key}.low" in facts.metrics:
            differences.append(f"NDCG@10, this model minus {rival}, paired: {_show_estimate(facts.metrics, key, '+')}.")
    note = f"In brackets: {facts.confidence:.0%} bootstrap intervals over users."
    return [*table, "", note, *differences]


def _slice_section(facts: CardFacts) -> list[str]:
    path = facts.layout.evaluation / "slices.csv"
    if not path.is_file():
        return []
    import polars as pl

    table = pl.read_csv(path)
    needed = {"group", "slice", "model", "targets", SLICE_METRIC, f"{SLICE_METRIC}.low", f"{SLICE_METRIC}.high"}
    if not needed <= set(table.columns):
        return []
    rows = [
        (row["group"], str(row["slice"]), f"{row['targets']:,}", _show_estimate(row, SLICE_METRIC))
        for row in table.filter(pl.col("model") == OURS).iter_rows(named=True)
    ]
    return ["### Slices", "", *_table(("group", "slice", "targets", "NDCG@10"), rows), ""]


def _knockout_section(facts: CardFacts) -> list[str]:
    ending = f"-{OURS}[intact]/full/ndcg@10"
    found = {
        key.removesuffix(ending).removeprefix(f"{OURS}[").removesuffix("]").removeprefix("["): key
        for key in facts.metrics
        if key.endswith(ending) and f"{key}.low" in facts.metrics
    }
    if not found:
        return []
    rows = [(name, _show_estimate(facts.metrics, key, "+")) for name, key in sorted(found.items())]
    said = "What becomes of NDCG@10 when pictures are taken away. Near zero, pictures do little there."
    return ["### Is the picture used", "", said, "", *_table(("pictures", "difference"), rows), ""]


def _describe_pictures(facts: CardFacts) -> list[str]:
    status = facts.profile["names"].get("picture_status", {})
    missing = sum(share for name, share in status.items() if name != "ok")
    policy = facts.settings["missing_image"]
    lines = [f"{missing:.1%} of the items have no readable picture. In the prompt stands in: {policy}."]
    share = facts.metrics.get("cases/targets_without_image_share")
    if share is not None:
        lines.append(f"{share:.1%} of the test targets have none.")
    return lines


def _cost_section(facts: CardFacts) -> list[str]:
    layout, cost = facts.layout, facts.cost
    rows = [
        ("trained tensors", f"{(layout.model / 'tensors.safetensors').stat().st_size / 1e6:,.2f} MB"),
        ("ONNX head", f"{(layout.head / 'head.onnx').stat().st_size / 1e6:,.2f} MB"),
    ]
    if cost is None:
        return [*_table(("what", "value"), rows), "", "Serving was not measured (`register.probe_users: 0`)."]
    rows += [
        ("trained parameters", f"{cost.trained_parameters:,}"),
        ("parameters of the language model", f"{cost.backbone_parameters:,}"),
        ("tokens of a history, mean", f"{cost.prompt_tokens:,.0f}"),
        ("time a user", f"{cost.latency_ms:,.2f} ms ({cost.machine}; {cost.users} users)"),
        ("weights, features, projected items", f"{cost.memory_mb:,.1f} MB"),
    ]
    return _table(("what", "value"), rows)


def _limits(facts: CardFacts) -> list[str]:
    limits = [
        "- Figures are of past interactions: they say how well what users took was foreseen, not what they would take.",
        "- Users without a known item get popular items, marked as such.",
        "- What the language model and the encoders learned before, prejudices included, was not examined.",
    ]
    if facts.synthetic:
        limits.append("- Trained on synthetic data: good for trying the system, for nothing else.")
    unseen = facts.metrics.get("cases/targets_unseen_in_training_share")
    if unseen is not None:
        limits.append(f"- {unseen:.1%} of the test targets had no training interaction.")
    return limits


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in rows)]


def _escape(cell: str) -> str:
    """Keep text from ending a cell or beginning a tag; names of models and slices come from files."""
    plain = "".join(c if c.isprintable() else " " for c in cell)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _show(value: Any) -> str:
    counted = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if counted else f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _show_estimate(values: Mapping[str, Any], key: str, sign: str = "") -> str:
    if values.get(key) is None:
        return "not evaluated"
    ends = [values.get(f"{key}.{end}") for end in ("low", "high")]
    shown = format(values[key], f"{sign}.4f")
    return shown if None in ends else f"{shown} [{ends[0]:{sign}.4f}, {ends[1]:{sign}.4f}]"


def _name_day(seconds: int | None) -> str:
    if seconds is None:
        return "unknown"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
