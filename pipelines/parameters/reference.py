"""docs/parameters.md, written from the sections themselves.

``python -m pipelines.parameters.reference > docs/parameters.md``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pipelines.parameters.reading import JOBS, STAGES
from pipelines.parameters.section import Section

_OPENING = """# Parameters

Written by `python -m pipelines.parameters.reference > docs/parameters.md` from the sections in `pipelines/parameters`;
a test keeps it current.

`params.yaml` holds one section per stage or job with the defaults of all data sets, and below `datasets` what one data
set changes. A section, or a key of it, that is not written has the default below. Unknown keys and wrong types are
refused with the name of the nearest known key. YAML reads `1e-3` as text: write `1.0e-3`.
"""


def write_reference() -> str:
    """Return the whole page as Markdown."""
    parts = [_OPENING]
    for title, sections in (("Stages", STAGES), ("Jobs", JOBS)):
        parts.append(f"## {title}\n")
        parts += [_write_section(name, section) for name, section in sections.items()]
    return "\n".join(parts)


def _write_section(name: str, section: type[Section]) -> str:
    lines = [f"### {name}", "", str(section.__doc__).strip(), "", "| key | type | default | meaning |"]
    lines.append("| --- | --- | --- | --- |")
    lines += [
        f"| `{key}` | {_describe_type(field)} | {_describe_default(field)} | {_clean(field.description or '')} |"
        for key, field in _list_fields(section)
    ]
    return "\n".join(lines) + "\n"


def _list_fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key, with those of nested sections as ``outer.inner``."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _list_fields(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _describe_type(field: FieldInfo) -> str:
    bounds = [str(rule) for rule in field.metadata if type(rule).__name__ in ("Ge", "Gt", "Le", "Lt", "MinLen")]
    signs = {"Ge(ge=": ">= ", "Gt(gt=": "> ", "Le(le=": "<= ", "Lt(lt=": "< ", "MinLen(min_length=": "length >= "}
    for opening, sign in signs.items():
        bounds = [bound.replace(opening, sign).removesuffix(")") for bound in bounds]
    return ", ".join([_name_type(field.annotation), *bounds])


def _name_type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_name_type(part) for part in inner)
    if origin is tuple:
        of = {_name_type(part) for part in inner if part is not Ellipsis}
        return f"list of {' or '.join(sorted(of))}"
    if origin is dict:
        return "mapping"
    if annotation is type(None):
        return "null"
    if hasattr(annotation, "__metadata__"):
        return _name_type(inner[0])
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    return names[annotation.__name__]


def _describe_default(field: FieldInfo) -> str:
    if field.is_required():
        return "none: must be given"
    return f"`{json.dumps(field.get_default(call_default_factory=True))}`"


def _clean(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(write_reference())
