from __future__ import annotations

import json
import re
import socket
import subprocess
import sys

import polars as pl
import pytest
from click.testing import CliRunner

from illmrec.errors import DataError, LockedError, MissingArtifactError
from pipelines.cli import cli, main
from pipelines.project.lock import hold_lock

SHOP = ["validate", "--dataset", "shop"]


def invoke(root, *arguments: str):
    return CliRunner().invoke(cli, ["--root", str(root), *arguments], standalone_mode=False)


def read_gate(root) -> dict:
    return json.loads((root / "artifacts" / "shop" / "quality" / "gate.json").read_text(encoding="utf-8"))


def test_good_tables_open_the_gate(project) -> None:
    root = project({})
    outcome = invoke(root, *SHOP, "--json")
    assert outcome.exception is None
    printed, gate = json.loads(outcome.stdout), read_gate(root)
    assert printed["passed"] is gate["passed"] is True
    assert (gate["critical_failures"], gate["warnings"]) == (0, 0)
    assert gate["rows"] == {"images": 12, "interactions": 48, "items": 12, "raw_texts": 12, "users": 12}
    assert [check["name"] for check in gate["not_checked"]] == ["descriptions_in_expected_language"]
    quality = root / "artifacts" / "shop" / "quality"
    profile = json.loads((quality / "profile.json").read_text(encoding="utf-8"))
    assert profile["counts"] == {"users": 12, "items": 12, "interactions": 48, "pictures": 12}
    assert (quality / gate["data_docs"]).is_file()
    assert {path.name for path in quality.iterdir()} == {"gate.json", "profile.json", "docs"}


def test_bad_tables_close_the_gate_and_still_write_everything(project, tables) -> None:
    root = project({"interactions": tables["interactions"][3:]})
    outcome = invoke(root, *SHOP, "--json")
    error, gate = outcome.exception, read_gate(root)
    assert isinstance(error, DataError)
    assert error.exit_code == 3
    assert json.loads(outcome.stdout)["passed"] is gate["passed"] is False
    assert gate["critical_failures"] == 2
    assert "k_core.users_reach_core: observed 1, expected 0 users with fewer than 4 interactions" in str(error)
    assert "row 1, user_id 'u00', interactions 1" in str(error)
    assert "prepare.user_core" in error.hint
    assert "docs/index.html" in error.hint
    assert "'u00'" in repr(next(check for check in gate["checks"] if check["name"] == "users_reach_core")["offending"])
    assert "failed" in (root / "artifacts" / "shop" / "quality" / "docs" / "index.html").read_text(encoding="utf-8")


def test_warnings_leave_the_gate_open(project, tables) -> None:
    items = tables["items"].with_columns(description=pl.lit(""))
    root = project({"items": items})
    assert invoke(root, *SHOP).exception is None
    gate = read_gate(root)
    assert gate["passed"] is True
    assert gate["warnings"] == 1
    unread = {check["name"]: check["reason"] for check in gate["not_checked"]}
    assert unread["descriptions_not_duplicated"] == "no item has a description"
    assert "descriptions_not_duplicated" not in {check["name"] for check in gate["checks"]}


def test_equal_tables_give_equal_files_without_a_network(project, tables, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    root = project({"interactions": tables["interactions"][3:]})
    contents = []
    for _ in range(2):
        assert isinstance(invoke(root, *SHOP).exception, DataError)
        files = sorted((root / "artifacts" / "shop" / "quality").rglob("*.*"))
        contents.append({str(path.relative_to(root)): path.read_bytes() for path in files if path.is_file()})
    assert len(contents[0]) == 35
    assert contents[0] == contents[1]
    stand_in = re.compile(rb"1970-01-01|19700101")
    assert not any(stand_in.search(name.encode() + content) for name, content in contents[0].items())


def test_ids_cannot_act_on_a_terminal(project, tables) -> None:
    escape = "\x1b[2J\nerror"
    interactions = tables["interactions"][3:].with_columns(pl.col("user_id").replace("u00", escape))
    root = project(
        {"interactions": interactions, "users": tables["users"].with_columns(pl.col("user_id").replace("u00", escape))}
    )
    message = str(invoke(root, *SHOP).exception)
    assert "\x1b" not in message
    assert "\\x1b[2J\\nerror" in message


def test_validate_needs_prepare_first(project) -> None:
    root = project({})
    (root / "artifacts" / "shop" / "prepared" / "items.parquet").unlink()
    error = invoke(root, *SHOP).exception
    assert isinstance(error, MissingArtifactError)
    assert "illmrec prepare" in error.hint
    assert not (root / "artifacts" / "shop" / "quality").exists()


def test_a_damaged_table_is_a_data_error(project) -> None:
    root = project({})
    path = root / "artifacts" / "shop" / "prepared" / "users.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    error = invoke(root, *SHOP).exception
    assert isinstance(error, DataError)
    assert error.path == path


def test_two_runs_do_not_write_at_once(project) -> None:
    root = project({})
    with hold_lock(root / "work" / "locks" / "shop-validate.lock"), pytest.raises(LockedError):
        raise invoke(root, *SHOP).exception


def test_a_closed_gate_ends_the_process_with_code_3(project, tables, monkeypatch, capsys) -> None:
    root = project({"items": tables["items"].with_columns(title=pl.lit(""))})
    monkeypatch.setattr(sys, "argv", ["illmrec", "--root", str(root), *SHOP])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 3
    printed = capsys.readouterr()
    assert "description_noise.titles_not_empty: observed 1, expected at most 0.5" in printed.err
    assert "validate.max_empty_title_share" in printed.err
    assert "Traceback" not in printed.err
    assert len(printed.out.splitlines()) == 7


def test_help_shows_an_example() -> None:
    assert "illmrec validate --dataset amazon" in CliRunner().invoke(cli, ["validate", "--help"]).output


def test_the_command_is_known_without_the_slow_import() -> None:
    code = "import sys, pipelines.commands.validate, pipelines.stages.validate as _"
    code += "; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
