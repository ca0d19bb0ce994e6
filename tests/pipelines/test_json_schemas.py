"""Every ``--json`` output has a committed schema, and the comparison with it can fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.golden_schemas import (
    describe,
    find_faults,
    list_json_commands,
    merge,
    name_command,
    read_output,
    read_schemas,
)


def test_every_command_with_json_has_a_schema() -> None:
    assert {name.split(" --")[0] for name in read_schemas()} == set(list_json_commands())


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"users": 3, "share": 0.5}, None),
        ({"users": 3, "share": 1}, None),
        ({"users": 3}, "output lacks share"),
        ({"users": "3", "share": 0.5}, "output.users is text, expected integer"),
        ({"users": 3, "share": 0.5, "extra": 1}, "output has the new key extra"),
        ([], "output is list, expected object"),
    ],
)
def test_a_difference_is_found(value: Any, fault: str | None) -> None:
    schema = describe({"users": 1, "share": 0.25})
    assert find_faults(value, schema) == ([fault] if fault else [])


def test_what_some_outputs_lack_is_optional_and_maps_have_free_keys() -> None:
    schema = merge(describe({"a": 1, "m": {"x/y@1": 0.5}}), describe({"a": None, "b": [1], "m": {}}))
    for sound in ({"a": 2, "m": {"z w": 1.5}}, {"a": None, "b": [1, 2], "m": {}}):
        assert find_faults(sound, schema) == []
    assert find_faults({"a": 1, "m": {"z w": "x"}}, schema) == ["output.m.z w is text, expected number"]
    kept = merge(describe({"set": {}}), describe({"set": {"epochs": 1}}))
    assert find_faults({"set": {}}, kept) == find_faults({"set": {"epochs": 2}}, kept) == []
    assert find_faults({"a": 1, "b": ["x"], "m": {}}, schema) == ["output.b.0 is text, expected integer"]


def test_command_lines_are_recognised() -> None:
    assert name_command(["--root", "/x", "registry", "list", "--dataset", "shop", "--json"]) == "registry list"
    assert name_command(["train", "--dataset", "shop", "--json"]) == "train"
    assert name_command(["train", "--dataset", "shop"]) is None
    assert read_output('{"a": 1}\n{"a": 2}\n') == [{"a": 1}, {"a": 2}]
    assert json.loads(json.dumps(read_schemas())) == read_schemas()
