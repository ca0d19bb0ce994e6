"""Starts exports in forked processes that can be killed: imports are paid once, then a start costs milliseconds.

Reads lines ``<seconds> <folder> <argument> ...`` on stdin; for each, runs the command in a child, kills it with SIGKILL
so many seconds after the folder has appeared (after the start, for ``-``; never, for a negative number) and prints
``killed`` or ``ended``, the seconds from there, and the exit status. This process itself starts no thread, neither of
Polars nor of ONNX Runtime, so forking it is safe.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Serve until stdin ends."""
    import mlflow.onnx
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import polars  # noqa: F401
    import sqlalchemy.dialects.sqlite  # noqa: F401
    import torch
    import transformers

    import illmrec.models.sasrec
    import illmrec.scoring.head
    import illmrec.scoring.item_side
    import illmrec.scoring.search
    import illmrec.training.checkpoint  # noqa: F401

    torch.set_num_threads(1)
    # Lazily imported otherwise, in every child anew.
    for name in ("LlamaForCausalLM", "AutoModelForCausalLM", "AutoTokenizer", "DynamicCache"):
        getattr(transformers, name)
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        seconds, folder, *arguments = line.split()
        print(run(float(seconds), None if folder == "-" else Path(folder), arguments), flush=True)  # noqa: T201


def run(seconds: float, folder: Path | None, arguments: list[str]) -> str:
    """Run one command in a child and return how it ended."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        become_command(arguments)
    descriptor = os.pidfd_open(child)
    while folder is not None and not folder.exists() and not select.select([descriptor], [], [], 0.001)[0]:
        pass
    start = time.monotonic() if folder is not None else start
    ended, _, _ = select.select([descriptor], [], [], None if seconds < 0 else seconds)
    os.close(descriptor)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    took = time.monotonic() - start
    return f"killed {took}" if os.WIFSIGNALED(status) else f"ended {took} {os.waitstatus_to_exitcode(status)}"


def become_command(arguments: list[str]) -> None:
    """Run the command line in this process and leave it without cleaning up anything of the parent's."""
    status = 1
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):  # noqa: PTH123
        try:
            from pipelines.cli import cli

            cli(arguments, standalone_mode=False)
            status = 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        finally:
            os._exit(status)


if __name__ == "__main__":
    main()
