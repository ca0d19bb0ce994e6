"""A connection to Ray: the cluster that ``RAY_ADDRESS`` names, or a private one on this machine."""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from illmrec.errors import ParameterError

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DEDUP_LOGS": "0",
}
"""Settings read by Ray and the processes it starts."""


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
def connect_ray() -> Iterator[Any]:
    """Yield the connected package ``ray``; a cluster started here is gone when the block ends.

    A cluster started here listens on this machine's loopback address only, without dashboard and usage reports, and
    keeps its files in a private temporary folder.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_set_environment(QUIET))
        if not os.environ.get("RAY_ADDRESS"):
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="illmrec-ray-")))
            # Ray asks a cloud's metadata address what it runs on unless this file, in the home folder, says so.
            (home / "ray_bootstrap_config.yaml").write_text("provider: {type: local}\n", encoding="utf-8")
            stack.enter_context(_set_environment({"HOME": str(home)}))
            local = {"_node_ip_address": "127.0.0.1", "_temp_dir": str(home), "include_dashboard": False}
        ray = import_ray()
        ray.init(**({} if os.environ.get("RAY_ADDRESS") else {"address": "local", **local}), log_to_driver=False,
                 logging_level="ERROR")  # fmt: skip
        stack.callback(ray.shutdown)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray


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
