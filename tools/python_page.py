"""docs/python.md, written from the face of the library.

``python -m tools.python_page > docs/python.md``
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import illmrec

_OPENING = """# Python

Written by `python -m tools.python_page > docs/python.md` from the docstrings of `illmrec`'s names; a test keeps it
current and runs the examples.

`import illmrec` offers the names of this page, each imported when it is first used. They are typed. Everything else in
the package is private: it may change without a note in the changelog.

The library knows tables, arrays and folders; it reads no `params.yaml` and asks no registry. Shapes stand before their
meaning: `float32 [n, d]` is an array of n rows and d columns. Users and items are known by index inside (`user_index`,
`item_index`, from 0) and by external id outside (`user_id`, `item_id`).

In the examples, `data/shop`, `artifacts/shop` and `exports/shop` are those of a project with four items, and
this was run before:

```python
from pathlib import Path

import illmrec
import numpy as np
import polars as pl
```

`recommender` is a trained model. Which parts it is made of is known to the project, not to the library:

```python
from pipelines.assembly.recommender import load_recommender
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf

layout = Layout(Path(), "shop")
recommender = load_recommender(Shelf(layout), layout.model)
```
"""
_HEADER = re.compile(r"^(Args|Attributes|Returns|Raises|Example):$")
_TITLES = {"Args": "Arguments", "Raises": "Errors"}
_WIDTH = 100


def write_page() -> str:
    """Return the whole page as Markdown."""
    rows = [f"| [`{name}`](#{name.lower()}) | {_summarise(getattr(illmrec, name))} |" for name in illmrec.__all__]
    table = "\n".join(["| name | does |", "| --- | --- |", *rows, ""])
    return "\n".join([_OPENING, table, *(_write_name(name) for name in illmrec.__all__)])


def _write_name(name: str) -> str:
    thing = getattr(illmrec, name)
    parts = [f"## {name}", _write_signature(thing, name), *_convert(inspect.getdoc(thing) or "")]
    if inspect.isclass(thing):
        return "\n\n".join([*parts, *_write_members(thing)]) + "\n"
    returned = _find_returned(thing)
    if returned is not None:
        parts += [f"### {returned.__name__}", f"What `{name}` returns.", *_convert(inspect.getdoc(returned) or "")]
        parts += _write_members(returned)
    return "\n\n".join(parts) + "\n"


def _find_returned(function: Callable[..., Any]) -> type | None:
    """Return the class of the library that a function returns, if that is what it returns."""
    returned = function.__globals__.get(str(inspect.signature(function).return_annotation))
    ours = inspect.isclass(returned) and returned.__module__.startswith("illmrec.")
    return returned if ours else None


def _write_members(kind: type) -> list[str]:
    """Return a list of public properties and methods, with what their docstrings say first; none for an error."""
    lines = []
    for name, member in vars(kind).items():
        called = name if not name.startswith("_") else "len" if name == "__len__" else None
        inner = getattr(member, "func", None) or getattr(member, "fget", None) or member
        if called is None or not (inspect.isfunction(inner) and inner.__doc__):
            continue
        arguments = "" if inner is not member else _write_arguments(member, bound=True)
        lines.append(f"- `{called}{arguments if called == name else ''}`: {_summarise(inner)}")
    return ["\n".join(["Members:", "", *lines])] if lines else []


def _write_arguments(function: Callable[..., Any], *, bound: bool) -> str:
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    return str(inspect.Signature([one.replace(annotation=inspect.Parameter.empty) for one in parameters]))


def _write_signature(thing: Any, name: str) -> str:
    """Return a fenced signature, an argument a line where it is long."""
    signature = inspect.signature(thing)
    scope = vars(sys.modules[thing.__module__])
    arguments = [_write_parameter(one, scope) for one in signature.parameters.values()]
    keyword_only = [number for number, one in enumerate(signature.parameters.values()) if one.kind is one.KEYWORD_ONLY]
    if keyword_only:
        arguments.insert(keyword_only[0], "*")
    returned = "" if inspect.isclass(thing) else f" -> {signature.return_annotation}"
    text = f"{name}({', '.join(arguments)}){returned}"
    if len(text) > _WIDTH:
        text = f"{name}(\n" + "".join(f"    {one},\n" for one in arguments) + f"){returned}"
    return f"```python\n{text}\n```"


def _write_parameter(parameter: inspect.Parameter, scope: dict[str, Any]) -> str:
    annotation = str(parameter.annotation)
    if get_origin(scope.get(annotation)) is Literal:
        annotation = " | ".join(f'"{value}"' for value in get_args(scope[annotation]))
    default = "" if parameter.default is inspect.Parameter.empty else f" = {_quote(parameter.default)}"
    return f"{parameter.name}: {annotation}{default}"


def _quote(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _summarise(thing: Any) -> str:
    """Return the first paragraph of a docstring."""
    return _mark((inspect.getdoc(thing) or "").split("\n\n")[0])


def _convert(docstring: str) -> Iterator[str]:
    """Yield a Google style docstring as blocks of Markdown."""
    section, lines = "", list[str]()
    for line in [*docstring.splitlines(), "End:"]:
        header = _HEADER.match(line)
        if not (header or line == "End:"):
            lines.append(line)
            continue
        yield from _write_section(section, "\n".join(lines))
        section, lines = header.group(1) if header else "", []


def _write_section(section: str, body: str) -> Iterator[str]:
    text = inspect.cleandoc("\n" + body).strip()
    if not text:
        return
    if section == "Example":
        yield f"```python\n{text}\n```"
    elif section in ("Args", "Attributes", "Raises"):
        entries = re.split(r"\n(?=\S)", text)
        rows = [re.match(r"(\S+): (.*)", entry, re.DOTALL) for entry in entries]
        listed = "\n".join(f"- `{row.group(1)}`: {_mark(row.group(2))}" for row in rows if row)
        yield f"{_TITLES.get(section, section)}:\n\n{listed}"
    elif section == "Returns":
        yield f"Returns: {_mark(text)}"
    else:
        yield from (part if part.startswith("- ") else _mark(part) for part in _mark_list(text))


def _mark_list(text: str) -> Iterator[str]:
    """Yield paragraphs; those of a list keep their lines."""
    for part in text.split("\n\n"):
        yield "\n".join(map(_mark, part.split("\n"))) if part.startswith("- ") else part


def _mark(text: str) -> str:
    """Return text on one line, in Markdown's marks for code."""
    joined = " ".join(text.split())
    marked = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", joined).replace("``", "`").replace("|", "\\|")
    return marked.replace("`columns.", "`illmrec.columns.")


if __name__ == "__main__":
    sys.stdout.write(write_page())
