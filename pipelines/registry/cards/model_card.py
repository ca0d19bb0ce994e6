"""The model card: what a version is, what it is for, how good it is, what it costs, where it ends."""

from __future__ import annotations

from typing import Any

import polars as pl

from illmrec.evaluation.metrics import HIT_10, MRR, NDCG_10, Metric
from illmrec.evaluation.table import INTACT, Measurement
from pipelines.registry.cards.facts import OURS, RIVALS, CardFacts, describe_contest
from pipelines.registry.cards.markdown import show_estimate, show_row, write_table

MODEL_CARD = "model_card.md"
SHOWN = (Metric("hit", 5), Metric("ndcg", 5), HIT_10, NDCG_10, MRR)
SLICE_ESTIMATE = tuple(f"{NDCG_10}{end}" for end in ("", ".low", ".high"))
SLICE_COLUMNS = {"group", "slice", "model", "targets", *SLICE_ESTIMATE}
ORIGIN = (
    *("git_commit", "dvc_lock_sha256", "params_sha256", "illmrec_version", "onnx_sha256", "tensors_sha256"),
    *("onnx_max_difference", "onnx_same_top10_share", "split_sha256", "item_digest"),
)
"""Tags that say where a version comes from."""


def write_model_card(facts: CardFacts) -> str:
    """Return the model card as Markdown."""
    sections = {
        "What it is": _describe_model(facts),
        "Intended use": [_USE.format(dataset=facts.layout.dataset)],
        "Quality": [*describe_contest(facts), "", *_metric_table(facts)],
        "Slices": _slice_table(facts),
        "Are pictures and titles used": _knockout_table(facts),
        "Missing pictures": _describe_pictures(facts),
        "Costs": _cost_section(facts),
        "Limits": _limits(facts),
        "Licences": [_state_licences(facts)],
        "Origin": write_table(("tag", "value"), [(name, facts.tags[name]) for name in ORIGIN if name in facts.tags]),
        "Going back": [_GOING_BACK.format(dataset=facts.layout.dataset)],
    }
    lines = [f"# Model card: {facts.model}"]
    for title, content in sections.items():
        if content:
            lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"


_USE = (
    "Lists of items for known users of the data set `{dataset}`, written every night by `illmrec recommend`. Not for "
    "decisions about persons, and not for another catalog: items that came after training are scored by picture and "
    "text alone."
)
_LICENCES = (
    "The licences of the {unstated} and of the data set are their publishers'; look them up by the names and revisions "
    "above before you use the model."
)
_GOING_BACK = (
    "`illmrec rollback --dataset {dataset}` makes the champion before this one champion again. "
    "`illmrec registry list --dataset {dataset}` shows all versions."
)


def _describe_model(facts: CardFacts) -> list[str]:
    settings, tags = facts.settings, facts.tags
    rows = [
        ("language model", tags.get("backbone", "")),
        ("picture encoder", tags.get("image_encoder", "")),
        ("text encoder", tags.get("text_encoder", "")),
        ("items in the prompt", str(settings["representation"])),
        ("feature types", ", ".join(settings["features"])),
        ("history shown", f"{settings['history_limit']} items"),
        ("preset", str(settings["preset"])),
        ("training began", _describe_start(facts.state.get("start"))),
        ("best step", str(facts.state.get("best_step", "unknown"))),
    ]
    told = (
        "A recommender for one catalog: a frozen language model reads a user's recent items, written as the table "
        "says; small trained heads turn the answer into a vector that is compared with the features of all items."
    )
    return [told, "", *write_table(("part", "value"), rows)]


def _state_licences(facts: CardFacts) -> str:
    """Return the licences that the encoders' records state, and whose have to be looked up."""
    parts = {"language model": "backbone", "picture encoder": "image_encoder", "text encoder": "text_encoder"}
    stated = {part: (facts.state.get(key) or {}).get("licence") for part, key in parts.items()}
    known = [f"The {part} is under {licence}, as its package states." for part, licence in stated.items() if licence]
    unstated = ", of the ".join(part for part, licence in stated.items() if not licence)
    return " ".join([*known, _LICENCES.format(unstated=unstated)])


def _describe_start(start: Any) -> str:
    return f"with the tensors of version {start['version']}" if isinstance(start, dict) else "from nothing"


def _metric_table(facts: CardFacts) -> list[str]:
    rows = []
    for name in (OURS, *RIVALS):
        cells = [show_row(facts.metrics.find(metric, model=name)) for metric in SHOWN]
        rows.append(("this model" if name == OURS else name, *cells))
    table = write_table(("full catalog", *map(str, SHOWN)), rows)
    differences = []
    for rival in RIVALS:
        gap = facts.metrics.find(NDCG_10, model=OURS, against=rival)
        if gap is not None and gap.estimate is not None:
            differences.append(f"NDCG@10, this model minus {rival}, paired: {show_row(gap, '+')}.")
    note = f"In brackets: {facts.confidence:.0%} bootstrap intervals over users."
    return [*table, "", note, *differences]


def _slice_table(facts: CardFacts) -> list[str]:
    path = facts.layout.evaluation / "slices.csv"
    if not path.is_file():
        return []
    table = pl.read_csv(path)
    if not set(table.columns) >= SLICE_COLUMNS:
        return []
    rows = [
        (row["group"], str(row["slice"]), f"{row['targets']:,}", show_estimate(*(row[name] for name in SLICE_ESTIMATE)))
        for row in table.filter(pl.col("model") == OURS).iter_rows(named=True)
    ]
    return write_table(("group", "slice", "targets", "NDCG@10"), rows)


def _knockout_table(facts: CardFacts) -> list[str]:
    changes = facts.metrics.select(NDCG_10, model=OURS, against=INTACT)
    if not changes:
        return []
    rows = sorted((name_knockout(row), show_row(row, "+")) for row in changes)
    said = "What becomes of NDCG@10 when pictures, or titles in the prompt, are taken away. Near zero, they do little."
    return [said, "", *write_table(("taken away", "difference"), rows)]


def name_knockout(row: Measurement) -> str:
    """Return what was taken away in a row of the evaluation, and where."""
    return f"titles {row.variant}" if row.place == "titles" else f"images {row.variant} in {row.place}"


def _describe_pictures(facts: CardFacts) -> list[str]:
    status = facts.profile["names"].get("picture_status", {})
    missing = sum(share for name, share in status.items() if name != "ok")
    policy = facts.settings["missing_image"]
    lines = [f"{missing:.1%} of the items have no readable picture. In the prompt stands in: {policy}."]
    share = facts.count("targets_without_image_share")
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
        return [*write_table(("what", "value"), rows), "", "Serving was not measured (`register.probe_users: 0`)."]
    rows += [
        ("trained parameters", f"{cost.trained_parameters:,}"),
        ("parameters of the language model", f"{cost.backbone_parameters:,}"),
        ("tokens of a history, mean", f"{cost.prompt_tokens:,.0f}"),
        ("time a user", f"{cost.latency_ms:,.2f} ms ({cost.machine}; {cost.users} users)"),
        ("weights, features, projected items", f"{cost.memory_mb:,.1f} MB"),
    ]
    return write_table(("what", "value"), rows)


def _limits(facts: CardFacts) -> list[str]:
    limits = [
        "- Figures are of past interactions: they say how well what users took was foreseen, not what they would take.",
        "- Users without a known item get popular items, marked as such.",
        "- What the language model and the encoders learned before, prejudices included, was not examined.",
    ]
    if facts.synthetic:
        limits.append("- Trained on synthetic data: good for trying the system, for nothing else.")
    unseen = facts.count("targets_unseen_in_training_share")
    if unseen is not None:
        limits.append(f"- {unseen:.1%} of the test targets had no training interaction.")
    return limits
