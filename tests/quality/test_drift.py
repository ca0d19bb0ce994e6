from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from illmrec.errors import DataError, MissingArtifactError, ModelError
from pipelines.cli import cli
from pipelines.parameters.data import DriftConfig
from pipelines.quality.drift import compare_profiles
from pipelines.quality.profile import build_profile

COMMAND = ["drift", "--dataset", "shop"]


def invoke(root, *arguments: str):
    return CliRunner().invoke(cli, ["--root", str(root), *arguments], standalone_mode=False)


def levels(old, new, **bounds) -> dict[str, str]:
    """Return the fields that are not calm."""
    found = compare_profiles(build_profile(old), build_profile(new), DriftConfig(**bounds))
    return {field.field: field.level for field in found if field.level != "ok"}


def test_equal_data_do_not_drift(tables) -> None:
    found = compare_profiles(build_profile(tables), build_profile(tables), DriftConfig())
    assert [field.field for field in found] == [
        "users", "items", "interactions", "history_length", "item_popularity", "description_words", "picture_side",
        "category", "brand", "picture_status",
    ]  # fmt: skip
    assert {(field.value, field.level) for field in found} == {(0.0, "ok")}


def test_psi_equals_the_sum_written_out() -> None:
    def profile(shares: list[float]) -> dict:
        field = {"edges": [5, 10], "shares": shares, "rows": 10}
        counts = {"users": 1, "items": 1, "interactions": 1}
        return {"counts": counts, "numbers": {"history_length": field}, "names": {}}

    found = compare_profiles(profile([0.5, 0.5, 0.0]), profile([0.25, 0.5, 0.25]), DriftConfig())
    expected = (0.25 - 0.5) * math.log(0.25 / 0.5) + (0.25 - 0.0001) * math.log(0.25 / 0.0001)
    assert found[-1].value == pytest.approx(expected, abs=1e-6)
    assert found[-1].level == "critical"
    assert found[-1].largest == "10 or more: 0.0% -> 25.0%"


def test_distance_is_the_share_that_changed_place(tables) -> None:
    moved = tables["items"].with_columns(
        category=pl.when(pl.int_range(pl.len()) < 2).then(pl.lit(["Hats"])).otherwise("category")
    )
    found = compare_profiles(build_profile(tables), build_profile(tables | {"items": moved}), DriftConfig())
    category = next(field for field in found if field.field == "category")
    assert category.value == pytest.approx(2 / 12, abs=1e-5)
    assert category.level == "warning"
    assert category.largest == "'Hats': 0.0% -> 16.7%"


def test_losing_pictures_is_drift(tables) -> None:
    gone = tables["items"].with_columns(image_status=pl.lit("missing"))
    assert levels(tables, tables | {"items": gone}) == {"picture_status": "critical"}


def test_shrinking_is_drift_and_growing_is_not(tables) -> None:
    half = tables | {"interactions": tables["interactions"].filter(pl.col("user_id") < "u05")}
    assert levels(tables, half)["users"] == "critical"
    assert not {"users", "items", "interactions"} & set(levels(half, tables))


def test_a_bound_just_met_is_no_finding(tables) -> None:
    fewer = tables | {"interactions": tables["interactions"].filter(pl.col("user_id") < "u06")}
    assert "users" not in levels(tables, fewer, warn_loss=0.5)
    assert levels(tables, fewer, warn_loss=0.49)["users"] == "warning"


def write_profile(root: Path, tables) -> None:
    """Write what ``validate`` writes for ``drift``."""
    path = root / "artifacts" / "shop" / "quality" / "profile.json"
    path.parent.mkdir()
    path.write_text(json.dumps(build_profile(tables)))


def write_old(root: Path, tables, **changes) -> Path:
    path = root / "old.json"
    path.write_text(json.dumps(build_profile(tables) | changes))
    return path


def test_the_command_compares_with_a_file(project, tables) -> None:
    root = project({})
    write_profile(root, tables)
    outcome = invoke(root, *COMMAND, "--against", str(write_old(root, tables)), "--json")
    assert outcome.exception is None
    printed = json.loads(outcome.stdout)
    assert (printed["fields"], printed["warnings"], printed["critical"]) == (10, 0, 0)
    assert len(printed["drift"]) == 10


def test_drift_past_a_critical_bound_ends_with_code_3_and_says_what_moved(project, tables) -> None:
    root = project({})
    write_profile(root, tables)
    other = tables["items"].with_columns(category=pl.lit(["<b>Hats</b>"]))
    outcome = invoke(root, *COMMAND, "--against", str(write_old(root, tables | {"items": other})))
    assert isinstance(outcome.exception, DataError)
    assert outcome.exception.exit_code == 3
    assert "category: critical, distance 1.000" in str(outcome.exception)
    assert "&lt;b&gt;Hats&lt;/b&gt;': 100.0% -> 0.0%" in str(outcome.exception)
    assert "expected at most 0.25" in str(outcome.exception)
    assert "category" in outcome.stdout


def test_names_of_a_foreign_file_cannot_act_on_a_terminal(project, tables) -> None:
    root = project({})
    write_profile(root, tables)
    names = build_profile(tables)["names"] | {"category": {"\x1b[2J\nok": 1.0}}
    outcome = invoke(root, *COMMAND, "--against", str(write_old(root, tables, names=names)))
    assert isinstance(outcome.exception, DataError)
    assert "\x1b" not in str(outcome.exception) + outcome.stdout


BROKEN = {
    "another form": {"form": 0},
    "no counts": {"counts": None},
    "text for shares": {"names": {"category": {"a": "many"}, "brand": {}, "picture_status": {}}},
    "not a number": {"names": {"category": {"a": math.nan}, "brand": {}, "picture_status": {}}},
    "other bins": {"numbers": {}},
    "a list for names": {"names": [1]},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_no_profile_is_a_data_error(project, tables, case: str) -> None:
    root = project({})
    write_profile(root, tables)
    outcome = invoke(root, *COMMAND, "--against", str(write_old(root, tables, **BROKEN[case])))
    assert isinstance(outcome.exception, DataError), outcome.exception
    assert outcome.exception.hint


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * 1_000_001])
def test_a_file_that_is_no_json_object_is_a_data_error(project, tables, content: bytes) -> None:
    root = project({})
    write_profile(root, tables)
    (root / "old.json").write_bytes(content)
    assert isinstance(invoke(root, *COMMAND, "--against", str(root / "old.json")).exception, DataError)


def test_drift_needs_validate_and_a_champion(project, tables) -> None:
    root = project({})
    assert isinstance(invoke(root, *COMMAND).exception, MissingArtifactError)
    write_profile(root, tables)
    error = invoke(root, *COMMAND).exception
    assert isinstance(error, ModelError)
    assert "no champion" in str(error)
