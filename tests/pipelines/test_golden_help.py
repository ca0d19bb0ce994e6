"""What ``--help`` says is what was agreed: a change shows in a diff of ``tests/golden/help``."""

from __future__ import annotations

import pytest

from tests.golden_help import FOLDER, list_command_lines, render_help

LINES = list_command_lines()


@pytest.mark.parametrize("name", LINES)
def test_help_is_the_committed_text(name: str) -> None:
    committed = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert render_help(LINES[name]) == committed, "if it is meant: python -m tests.golden_help"


def test_no_text_is_of_a_command_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(LINES)


def test_texts_fit_a_terminal() -> None:
    assert max(len(line) for path in FOLDER.iterdir() for line in path.read_text().splitlines()) <= 120
