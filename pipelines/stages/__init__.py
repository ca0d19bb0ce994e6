"""The works of dvc.yaml, one module a stage, each with a verb ``run`` and no command line.

What a stage imports is what DVC watches (:mod:`pipelines.project.code`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from illmrec import atomic
from pipelines.graph import STAGES
from pipelines.project.context import Context
from pipelines.project.lock import Verb, locked

Facts = dict[str, Any]
"""What a verb tells its caller: flat names and values, as a command prints them."""


def stage(name: str) -> Callable[[Verb], Verb]:
    """Make a verb that of a stage: it holds the stage's lock, and what a killed run left of its outputs is removed."""
    declared = next(stage for stage in STAGES if stage.name == name)

    def decorate(verb: Verb) -> Verb:
        @functools.wraps(verb)
        def run(context: Context, *arguments: Any, **options: Any) -> Any:
            for output in declared.outputs:  # some are published with the folder they lie in
                for path in (context.layout.artifacts / output, (context.layout.artifacts / output).parent):
                    atomic.sweep_partial(path.parent, path.name)
            return verb(context, *arguments, **options)

        return locked(declared.command)(cast("Verb", run))

    return decorate
