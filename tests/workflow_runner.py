"""Runs the `run:` steps of a GitHub workflow as its runner would, in a project of this machine.

Expressions `${{ ... }}` know `||`, `==`, texts in quotes, `always()` and the names of a table. A name that is not in
the table is an error, so a workflow cannot come to depend on something that the test says nothing of.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Job:
    """What a job did.

    Args:
        outcomes: name of each step -> success, failure or skipped; steps that use an action are not run.
        used: the actions of the steps that were due.
        printed: what each step printed, both streams.
        outputs: the job's.
        summary: its summary page.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    printed: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def failed(self) -> bool:
        """Whether any step failed."""
        return "failure" in self.outcomes.values()


def evaluate(expression: str, values: dict[str, str]) -> str:
    """Return an expression's value as text; empty, ``false`` and nothing else are untrue.

    Raises:
        KeyError: for a name that is not in the table.
    """
    result = ""
    for option in expression.split(" || "):
        sides = [_look_up(side.strip(), values) for side in option.split(" == ")]
        result = sides[0] if len(sides) == 1 else str(sides[0] == sides[1]).lower()
        if result not in ("", "false"):
            break
    return result


def _look_up(name: str, values: dict[str, str]) -> str:
    if name.startswith("'") and name.endswith("'"):
        return name[1:-1]
    return "true" if name == "always()" else values[name]


def fill(text: str, values: dict[str, str]) -> str:
    """Return a text with its expressions replaced."""
    return EXPRESSION.sub(lambda match: evaluate(match[1], values), text)


def run_job(root: Path, flow: dict[Any, Any], name: str, values: dict[str, str], limit: float = 300.0) -> Job | None:
    """Run a job's steps in order in ``root``; None where its condition does not hold.

    Args:
        root: the project; stands for the checkout.
        flow: the workflow, parsed.
        name: the job.
        values: what names of expressions stand for; ``steps.*`` are added as they come.
        limit: seconds that a step may take.
    """
    job, found, known = flow["jobs"][name], Job(), dict(values)
    if "if" in job and evaluate(job["if"], known) != "true":
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"runner-{name}-", dir=root / "work"))
    for number, step in enumerate(job["steps"]):
        label = step.get("name", step.get("uses", str(number)))
        condition = step.get("if", "")
        due = evaluate(condition, known) == "true" if condition else True
        if not due or (found.failed and "always()" not in condition):
            found.outcomes[label] = "skipped"
        elif "uses" in step:
            found.used.append(step["uses"].split("@")[0])
            found.outcomes[label] = "success"
        else:
            variables = {**flow.get("env", {}), **job.get("env", {}), **step.get("env", {})}
            own = {key: fill(str(text), known) for key, text in variables.items()}
            found.outcomes[label], found.printed[label] = _run(root, step["run"], own, folder, limit)
        if "id" in step:
            known[f"steps.{step['id']}.outcome"] = found.outcomes[label]
            outputs = _read_outputs(folder / "output")
            known |= {f"steps.{step['id']}.outputs.{key}": text for key, text in outputs.items()}
            (folder / "output").unlink(missing_ok=True)
    found.outputs = {key: fill(text, known) for key, text in job.get("outputs", {}).items()}
    summary = folder / "summary"
    found.summary = summary.read_text(encoding="utf-8") if summary.is_file() else ""
    return found


def _run(root: Path, script: str, own: dict[str, str], folder: Path, limit: float) -> tuple[str, str]:
    files = {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    done = subprocess.run(
        ["bash", "-e", "-c", script],  # what a runner does where a step names no shell
        cwd=root,
        env={**os.environ, **own, **files},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )
    return ("failure" if done.returncode else "success"), done.stdout


def _read_outputs(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line)
