"""What each command's ``--json`` prints, as keys and types in ``tests/golden/schemas.json``.

Every output that a test gets from Click's runner is compared with it (see ``tests/conftest.py``). A change that is
meant is taken over by running the tests that show it with ``ILLMREC_WRITE_GOLDEN=1``: what they print is merged in.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from illmrec.atomic import write_file
from pipelines.cli import COMMANDS, load_command

PATH = Path(__file__).parent / "golden" / "schemas.json"
Schema = dict[str, Any]
"""``{"type": [...]}``; with ``keys`` and ``optional`` for objects, ``each`` for lists and for maps with free keys."""


def list_json_commands() -> Iterator[str]:
    """Yield every command and subcommand that knows ``--json``."""
    for name in COMMANDS:
        command = load_command(name)
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        for sub, found in inner.items():
            if any("--json" in option.opts for option in found.params):
                yield f"{name} {sub}".strip()


def name_command(arguments: Sequence[str]) -> str | None:
    """Return which command a command line is of, where it asks for JSON."""
    if "--json" not in arguments or "--help" in arguments:
        return None
    if "report" in arguments and "--night" in arguments:
        return "report --night"  # another page, of which it says other things
    named = [word for word in arguments if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
    known = set(list_json_commands())
    return next((name for a, b in zip(named, [*named[1:], ""], strict=True) for name in (f"{a} {b}", a)
                 if name in known), None)  # fmt: skip


def read_output(text: str) -> list[Any]:
    """Return the values of an output: one, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def describe(value: Any) -> Schema:
    """Return the schema of one value."""
    if isinstance(value, dict):
        if not value or not all(re.fullmatch(r"[a-z][a-z0-9_]*", key) for key in value):
            return {"type": ["map"], "each": merge_all(describe(inner) for inner in value.values())}
        return {"type": ["object"], "keys": {key: describe(inner) for key, inner in value.items()}, "optional": []}
    if isinstance(value, list):
        return {"type": ["list"], "each": merge_all(describe(inner) for inner in value)}
    names = {bool: "boolean", int: "integer", float: "number", str: "text", type(None): "null"}
    return {"type": [names[type(value)]]}


def merge_all(schemas: Any) -> Schema | None:
    """Return one schema for several values."""
    merged: Schema | None = None
    for schema in schemas:
        merged = merge(merged, schema)
    return merged


def merge(first: Schema | None, second: Schema | None) -> Schema | None:
    """Return a schema that both fit: keys of one alone are optional."""
    if first is None or second is None:
        return first or second
    if any(_is_empty_map(one) for one in (first, second)):
        filled = second if _is_empty_map(first) else first
        if "keys" in filled:
            return filled | {"optional": sorted(filled["keys"])}
        return filled | {"type": sorted({*filled["type"], "map"})}
    kinds = {*first["type"], *second["type"]}
    merged: Schema = {"type": sorted(kinds - ({"integer"} if "number" in kinds else set()))}
    if "keys" in first or "keys" in second:
        mine, theirs = first.get("keys", {}), second.get("keys", {})
        merged["keys"] = {key: merge(mine.get(key), theirs.get(key)) for key in sorted({*mine, *theirs})}
        alone = set(mine) ^ set(theirs) if mine and theirs else set()
        merged["optional"] = sorted(alone | {*first.get("optional", []), *second.get("optional", [])})
    if "each" in first or "each" in second:
        merged["each"] = merge(first.get("each"), second.get("each"))
    return merged


def _is_empty_map(schema: Schema) -> bool:
    return schema["type"] == ["map"] and schema.get("each") is None


def find_faults(value: Any, schema: Schema | None, where: str = "output") -> list[str]:
    """Return in what way a value differs from a schema."""
    if schema is None:
        return [f"{where} is {value!r}, nothing is known of it"]
    kinds = schema["type"]
    kind = describe(value)["type"][0]
    if not value and kind == "map" and "map" not in kinds and "object" in kinds:
        kind = "object"
    if kind == "object" and "map" in kinds and "object" not in kinds:
        kind = "map"
    if kind not in kinds and not (kind == "integer" and "number" in kinds):
        return [f"{where} is {kind}, expected {' or '.join(kinds)}"]
    if kind == "object":
        return _find_faulty_keys(value, schema, where)
    inner = value.items() if kind == "map" else enumerate(value) if kind == "list" else ()
    return [fault for key, one in inner for fault in find_faults(one, schema.get("each"), f"{where}.{key}")]


def _find_faulty_keys(value: dict[str, Any], schema: Schema, where: str) -> list[str]:
    known, optional = schema["keys"], schema["optional"]
    faults = [f"{where} lacks {key}" for key in known if key not in value and key not in optional]
    faults += [f"{where} has the new key {key}" for key in value if key not in known]
    inner = ((key, one) for key, one in value.items() if key in known)
    return faults + [fault for key, one in inner for fault in find_faults(one, known[key], f"{where}.{key}")]


def read_schemas() -> dict[str, Schema]:
    """Return the committed schemas by command."""
    found: dict[str, Schema] = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    return found


def check_output(command: str, text: str) -> list[str]:
    """Return in what way a command's output differs from its schema."""
    schema = read_schemas().get(command)
    return [fault for value in read_output(text) for fault in find_faults(value, schema, command)]


def compare_output(arguments: Sequence[str], text: str) -> None:
    """Compare what a command line printed with its schema, or take it over where that was asked for."""
    name = name_command(arguments)
    if name is None or not text:
        return
    if os.environ.get("ILLMREC_WRITE_GOLDEN"):
        record_output(name, text)
    faults = check_output(name, text)
    assert not faults, f"{faults}; if it is meant, see tests/golden_schemas.py"


def record_output(command: str, text: str) -> None:
    """Merge a command's output into its schema; other workers wait meanwhile, and read it whole before or after."""
    PATH.parent.mkdir(exist_ok=True)
    with _hold(PATH.parent):
        schemas = read_schemas()
        for value in read_output(text):
            schemas[command] = merge(schemas.get(command), describe(value)) or {}
        with write_file(PATH) as file:
            file.write((json.dumps(schemas, indent=1, sort_keys=True) + "\n").encode())


@contextlib.contextmanager
def _hold(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
