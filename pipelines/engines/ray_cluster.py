"""A connection to Ray: the cluster that ``RAY_ADDRESS`` names, or a private one on this machine."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from illmrec.errors import ParameterError

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
"""No reports to the publisher, no log lines between ours."""

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray replaces 127.0.0.1 by the machine's outer address and listens on all interfaces, unless it is told, by a setting
meant for other systems, that this machine forms no clusters. It must be set before Ray is imported."""

NO_SUCCESSOR = {"RAY_ENABLE_AUTO_CONNECT": "0"}
"""Ray Data's threads may outlive their cluster. By default their next call starts another one, which nobody stops; when
it breaks down, Ray ends this process a minute later. It must be set before Ray is imported."""

OBJECT_STORE_BYTES = 256 << 20
"""Shared memory of a private cluster: a few batches of vectors are under way at a time."""


def import_ray() -> Any:
    """Return the package ``ray``.

    Raises:
        ParameterError: when the extra is not installed.
    """
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        hint = 'Install the extra: pip install -c constraints.txt "illmrec[ray]"; or use engine: local.'
        raise ParameterError(f"engine `ray` needs Ray, which is not installed ({error}).", hint=hint) from None
    return ray


@contextlib.contextmanager
def connect_ray(cpus: int) -> Iterator[Any]:
    """Yield the connected package ``ray``; a cluster started here is gone when the block ends.

    A cluster started here listens on this machine's loopback address only, asks for a token that only its own processes
    know, has no dashboard, sends no usage reports and keeps its files in a private temporary folder.

    Args:
        cpus: processors of a cluster started here.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_set_environment(QUIET))
        os.environ.update(NO_SUCCESSOR)
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if not os.environ.get("RAY_ADDRESS"):
            settings |= stack.enter_context(_prepare_private_cluster(cpus))
        ray = import_ray()
        ray.init(**settings)
        stack.callback(ray.shutdown)
        # A thread that outlives the cluster logs that it does; errors of the work itself are raised.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray


@contextlib.contextmanager
def _prepare_private_cluster(cpus: int) -> Iterator[dict[str, Any]]:
    """Yield what ``ray.init`` needs for a cluster that only this process can use."""
    with tempfile.TemporaryDirectory(prefix="illmrec-ray-", ignore_cleanup_errors=True) as folder:
        # Ray asks a cloud's metadata address what it runs on unless this file, in the home folder, says so.
        Path(folder, "ray_bootstrap_config.yaml").write_text("provider: {type: local}\n", encoding="utf-8")
        _close_to_others()
        with _set_environment({"HOME": folder}):
            yield {
                "address": "local",
                "num_cpus": cpus,
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": folder,
            }


def _close_to_others() -> None:
    """Keep a private cluster off the network and behind a token; Ray reads these settings once, when it is imported."""
    settings = LOOPBACK | {"RAY_AUTH_MODE": "token"}
    if any(os.environ.get(name) != value for name, value in settings.items()):
        if sys.modules.get("ray") is not None:
            hint = f"Set {' and '.join(f'{name}={value}' for name, value in settings.items())} before `import ray`."
            raise ParameterError("Ray was imported before it was told to stay on this machine.", hint=hint)
        os.environ.update(settings)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextlib.contextmanager
def _set_environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
