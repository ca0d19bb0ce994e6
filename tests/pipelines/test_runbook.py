"""The runbook has an entry for every exit code, every check of a night and every question of a promotion."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from illmrec import errors
from illmrec.errors import IllmrecError
from illmrec.scoring.audit import Bounds, Due, audit_recommendations
from illmrec.scoring.output import RECOMMENDATIONS
from pipelines.growth.judging import EXIT_CODES
from pipelines.parameters.operation import PromoteConfig
from pipelines.project.failures import HINTS
from pipelines.registry.ranks import SCHEMA
from pipelines.registry.verdicts import Comparison, Figures, judge

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")


def cut(title: str) -> str:
    """Return the section of a title."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def list_first_cells(text: str) -> set[str]:
    return set(re.findall(r"^\| `?(\w+)`? \|", text, re.MULTILINE))


def list_exit_codes() -> set[int]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, IllmrecError)]
    # 0, a defect, the keyboard, and what DVC makes of any failure are nobody's class.
    return {kind.exit_code for kind in kinds} | set(EXIT_CODES.values()) | {0, 1, 130, 255}


def test_every_exit_code_has_an_entry_and_no_other() -> None:
    assert list_first_cells(cut("Exit codes")) - {"code"} == {str(code) for code in list_exit_codes()}


def list_audit_checks() -> list[str]:
    none = pl.Series([], dtype=pl.String)
    seen = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String})
    checks = audit_recommendations(pl.DataFrame(schema=RECOMMENDATIONS), Due(none, none, seen, 1), Bounds())
    return [check.name for check in checks]


def test_every_check_of_a_night_has_an_entry_and_no_other() -> None:
    assert len(list_audit_checks()) > 10
    table = cut("The night").split("| you see |")[0]
    assert list_first_cells(table) - {"check"} == set(list_audit_checks())


def test_every_question_of_a_promotion_has_an_entry() -> None:
    ranks = pl.DataFrame(
        {name: pl.Series(["1" if kind == pl.String else 1]).cast(kind) for name, kind in SCHEMA.items()}
    )
    verdicts = judge(PromoteConfig(), Figures(), Figures(), ranks, lambda: Comparison(ranks, ranks, "paired"))
    assert len(verdicts) > 4
    assert {verdict.check for verdict in verdicts} <= list_first_cells(cut("Promotion"))


@pytest.mark.parametrize("kind", HINTS)
def test_every_failure_of_the_machine_has_an_entry(kind: str) -> None:
    seen = {
        "full": "no space left on device", "refused": "permission denied", "shape": "not a directory",
        "files": "too many open files", "memory": "memory is used up", "store": "the store of runs and models fails",
    }  # fmt: skip
    assert f"`{seen[kind]}`" in PAGE


def test_every_entry_says_what_to_do() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    assert len(rows) > 80
    assert [row for row in rows if not row.rstrip(" |").count("|") and not row.startswith("| 0 ")] == []
    assert [row for row in rows if row.endswith("|  |")] == []


def test_messages_that_the_runbook_quotes_are_in_the_code() -> None:
    root = Path(__file__).parents[2]
    code = "\n".join(path.read_text() for folder in ("illmrec", "pipelines") for path in (root / folder).rglob("*.py"))
    quoted = {
        "there is no parameters file", "does not exist yet", "holds the same table more than once",
        "cannot be read past",
        "is not readable as Parquet", "is not readable as JSON", "the data did not pass the quality gate",
        "the data drifted", "feature matrix cannot be read", "belongs to another catalog", "but the ranks give",
        "the file's digest does not match", "the store of runs and models fails", "lies outside the file",
        "of which the last is not here", "was rolled back from", "the part differs from the manifest",
        "the manifest differs from the published one", "nothing is published yet", "is no pointer to a night",
        "memory is used up", "there is one, but torch does not see it",
    }  # fmt: skip
    assert [words for words in quoted if words not in code or words not in PAGE] == []
