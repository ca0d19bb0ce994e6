"""The registry on a real PostgreSQL server, started by this test where there is one to start."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from illmrec.errors import ModelError

INITDB, PG_CTL = (shutil.which(name) for name in ("initdb", "pg_ctl"))


def find_account() -> str | None:
    """Return whom to run the server as: it refuses to run as root; None for whoever this is."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("this is root, and there is no account `postgres` to run the server as")


@pytest.fixture
def server() -> Iterator[str]:
    if INITDB is None or PG_CTL is None:
        pytest.skip("there is no PostgreSQL server here: no initdb, no pg_ctl")
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("there is no driver: install psycopg2-binary")
    account = find_account()
    with tempfile.TemporaryDirectory(prefix="illmrec-pg-") as name:
        place = Path(name)
        if account:
            shutil.chown(place, account)
        data, log = place / "data", place / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place} -c fsync=off"

        def run(*command: str) -> None:
            subprocess.run(command, user=account, cwd=place, check=True, stdout=subprocess.DEVNULL, timeout=120)

        run(INITDB, "-D", str(data), "-U", "illmrec", "--auth=trust", "--no-sync")
        run(PG_CTL, "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg2://illmrec@127.0.0.1:{port}/postgres"
        finally:
            run(PG_CTL, "-D", str(data), "-m", "immediate", "-w", "stop")


def test_runs_versions_and_aliases_live_on_the_server(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from pipelines.registry.alias_log import move_alias, read_log
    from pipelines.registry.tracking import CHALLENGER, CHAMPION, EXPERIMENT, Tracker, infer_head_signature

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.chdir(tmp_path)
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in ("hidden", "users"))
    graph = helper.make_graph([helper.make_node("MatMul", ["hidden", "w"], ["users"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    extra = tmp_path / "state.json"
    extra.write_text("{}")
    tracker, log = Tracker(tmp_path), tmp_path / "aliases.jsonl"
    assert tracker.uri == server
    assert not (tmp_path / "mlflow.db").exists()
    example, signature = infer_head_signature(2, {})
    for number in (1, 2):
        run = tracker.start_run(EXPERIMENT, "shop")
        run.log(0, {"loss": 0.5})
        version = tracker.register(
            run.run_id,
            "illmrec-shop",
            model,
            signature=signature,
            example=example,
            extra_files=[extra],
            tags={"onnx_sha256": "0" * 64, "number": str(number)},
            description="one\ntwo\nthree",
        )
        run.finish()
        move_alias(log, tracker, version, CHALLENGER, action="register", why="registered")
        move_alias(log, tracker, version, CHAMPION, action="promote", why="good")
    again = Tracker(tmp_path)
    assert again.resolve("illmrec-shop", CHAMPION).number == "2"
    assert [version.aliases for version in again.list_versions("illmrec-shop")] == [("challenger", "champion"), ()]
    assert again.list_open_runs(EXPERIMENT) == []
    assert len(read_log(log)) == 4
    folder = again.download(again.resolve("illmrec-shop", CHAMPION), tmp_path / "files")
    assert (folder / "extra_files" / "state.json").read_text() == "{}"
    with pytest.raises(ModelError, match="no champion of another"):
        again.resolve("another", CHAMPION)
