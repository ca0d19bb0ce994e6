"""The data card: what a version was trained and tested on."""

from __future__ import annotations

import datetime
import json
from typing import Any

from pipelines.registry.cards.facts import CardFacts, describe_contest
from pipelines.registry.cards.markdown import write_table

DATA_CARD = "data_card.md"


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
        *write_table(
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
        *write_table(("step", "count"), [(key, _show(value)) for key, value in sorted(summary.items())]),
        "",
        "## Test targets",
        "",
        *describe_contest(facts),
        "",
        "## Gates",
        "",
        *write_table(("gate", "verdict", "warnings", "not checked"), gates),
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


def _show(value: Any) -> str:
    counted = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if counted else f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _name_day(seconds: int | None) -> str:
    if seconds is None:
        return "unknown"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
