"""Encoding on a private Ray cluster: the same bytes as in one process, and nothing leaves the machine."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import illmrec
from illmrec.errors import ModelError
from tests.integration.conftest import run_ok
from tests.pipelines.test_embed import ITEMS, PARAMS, draw, read_values, write_catalog

psutil = pytest.importorskip("psutil")

# Looked for, not imported: Ray reads some settings when it is imported.
installed = importlib.util.find_spec("ray") is not None
pytestmark = [pytest.mark.ray, pytest.mark.skipif(not installed, reason="the extra `ray` is not installed")]
assert illmrec.__version__  # timm needs what importing the package installs


class Watch:
    """Notes every address that this process and its descendants listen on or talk to."""

    def __init__(self) -> None:
        self.far: set[str] = set()
        self.processes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            children = psutil.Process().children(recursive=True)
            self.processes = max(self.processes, len(children))
            for child in children:
                self.far |= set(_list_far(child))


def _list_far(process: Any) -> Iterator[str]:
    try:
        connections = process.net_connections("inet")
        name = process.name()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return
    for connection in connections:
        for end in (connection.laddr, connection.raddr):
            if end and not _is_loopback(end.ip):
                yield f"{name}: {end.ip}:{end.port}"


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def test_after_a_cluster_no_call_to_ray_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.engines.ray_parts import map_parts

    class Refusing:  # in here, so that it travels to an actor as it is
        def start(self) -> Any:
            raise ModelError("no such encoder", hint="")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ModelError, match="no such encoder"):
        list(map_parts(Refusing(), [b"1", b"2", b"3"], 2))
    import ray

    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("StreamingExecutor")]
    with pytest.raises(ray.exceptions.RaySystemError, match=r"ray\.init"):
        ray.put(1)
    assert not ray.is_initialized()


def forget(root: Path) -> None:
    for path in (root / "work" / "feature-cache").iterdir():
        path.unlink()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), tmp_path / "weights.safetensors")
    small = PARAMS.replace("missing: mean, batch_size: 4", "missing: mean, batch_size: 2, decode_memory_mb: 64")
    (tmp_path / "params.yaml").write_text(small)
    write_catalog(tmp_path)
    for item in range(ITEMS - 1):
        draw(tmp_path, item, item)
    Image.new("RGB", (6000, 6000)).save(tmp_path / "data/shop/images/i05.png")
    run_ok(tmp_path, "prepare")
    run_ok(tmp_path, "encoders")
    return tmp_path


def test_ray_writes_the_same_bytes_and_stays_on_this_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    pictures, texts = run_ok(root, "embed-images"), run_ok(root, "embed-text")
    expected = {kind: read_values(root, kind) for kind in ("image", "text")}
    refused = (root / "artifacts/shop/features/image/undecodable.json").read_bytes()
    assert len(json.loads(refused)) == 1
    forget(root)

    asked: list[str] = []
    listening = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and event == "socket.connect" and isinstance(arguments[1], tuple):
            asked.append(arguments[1][0])

    sys.addaudithook(note)
    with Watch() as watch:
        assert run_ok(root, "embed-images", "--engine", "ray") == pictures
        assert run_ok(root, "embed-text", "--engine", "ray") == texts
    listening = False

    assert {kind: read_values(root, kind) for kind in ("image", "text")} == expected
    assert (root / "artifacts/shop/features/image/undecodable.json").read_bytes() == refused
    assert watch.processes >= 3, "no cluster was seen; the check of addresses proves nothing"
    assert watch.far == set()
    assert [address for address in asked if not _is_loopback(address)] == []
