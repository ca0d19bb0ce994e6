"""What a stage's result depends on in the code, by meaning: definitions it can reach, without comments or docstrings.

DVC compares files. A comment in a file of the library would then train for hours, and a whole folder as dependency does
not say what is really read. So the stage ``code`` (``illmrec code``) writes, for each stage, a file with a digest of
every definition that the stage's verb can reach, and the stages depend on those (docs/decisions/0024).

Reaching goes by names, definition by definition: a function or class reaches all that it names. A class counts whole,
because other libraries call methods that nobody here names; only of the two that every stage is handed
(:data:`BY_METHOD`), and no library is, do methods count where their name is used as an attribute. What goes by strings
is not seen, so code that a stage reaches by a computed name stands in :data:`pipelines.graph.STAGES`.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from illmrec import atomic
from pipelines.graph import STAGES

PACKAGES = ("illmrec", "pipelines")

EXCUSED = {
    "illmrec.progress": "draws bars",
    "pipelines.graph": "names files and verbs, as dvc.yaml does; DVC compares that by itself",
    "pipelines.project.lineage": "says where a run comes from",
    "pipelines.project.lock": "keeps others away",
    "pipelines.registry.tracking": "logs what is trained, and decides nothing of it",
    "pipelines.report.curves": "draws what was logged",
}
"""Modules that no result depends on, and why; everything else counts."""

BY_METHOD = {("pipelines.project.layout", "Layout"), ("pipelines.project.shelf", "Shelf")}
"""Classes of which a method counts only where its name is used: a new accessor concerns nobody who does not ask it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = tuple[str, str]
"""Module and name; ``Class.method`` for a method, an empty name for what a module does when it is imported."""


@dataclass(frozen=True)
class Used:
    """Names that a piece of code uses.

    Args:
        names: plain names.
        bare: those of them that stand without a dot behind.
        attributes: names behind a dot, of whatever.
        dotted: pairs of a plain name and the attribute taken of it.
        imports: what imports inside it bind: local name -> module and name there.
    """

    names: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    dotted: set[tuple[str, str]] = field(default_factory=set)
    imports: dict[str, Definition] = field(default_factory=dict)


class _Cleaner(ast.NodeTransformer):
    """Takes out what computes nothing: strings that stand alone, annotations of arguments and results."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns, node.type_comment = None, None
        node.body = node.body or [ast.Pass()]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


class Module:
    """One parsed module.

    Args:
        name: its dotted name.
        path: its file.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.definitions: dict[str, ast.stmt] = {}
        self.effects: list[ast.stmt] = []
        self.imports: dict[str, Definition] = {}
        self._described: dict[str, tuple[str, Used]] = {}
        for statement in ast.parse(path.read_bytes()).body:
            self._sort(statement)

    def _sort(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.imports |= read_import(statement)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.definitions[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = {node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
            known = any(name.id in self.definitions for name in names)
            # What changes a value that is there, by its name or through it, always counts.
            if known or any(isinstance(name.ctx, ast.Load) for name in names):
                self.effects.append(statement)
            for name in names:
                self.definitions.setdefault(name.id, statement)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            for inner in statement.body:
                self._sort(inner)
        elif not _is_for_people(statement):
            self.effects.append(statement)

    def describe(self, name: str, statements: list[ast.stmt]) -> tuple[str, Used]:
        """Return the digest of a definition, and the names that it uses; worked out once for all who ask.

        Args:
            name: of the definition.
            statements: its code.
        """
        if name not in self._described:
            cleaned = [_Cleaner().visit(_copy(statement)) for statement in statements]
            text = "\n".join(ast.unparse(statement) for statement in cleaned if statement is not None)
            # Annotations compute nothing, but name the classes of what is handed in.
            self._described[name] = hashlib.sha256(text.encode()).hexdigest()[:16], list_used(statements)
        return self._described[name]


def _is_for_people(statement: ast.stmt) -> bool:
    """Return whether a statement is a docstring, or what a module does when it is started as a program."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.If) and ast.unparse(statement.test).startswith("__name__")


def read_import(statement: ast.Import | ast.ImportFrom) -> dict[str, Definition]:
    """Return what an import binds: local name -> module and name there, an empty one for the module itself."""
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]: (alias.name if alias.asname else alias.name.split(".")[0], "")
            for alias in statement.names
        }
    return {alias.asname or alias.name: (statement.module or "", alias.name) for alias in statement.names}


def list_used(nodes: Iterable[ast.AST]) -> Used:
    """Return the names that some code uses, those of annotations included."""
    used = Used()
    before_a_dot: set[ast.AST] = set()
    for node in (
        inner for outer in nodes for inner in ast.walk(outer)
    ):  # an attribute comes before what it is taken of
        if isinstance(node, ast.Name):
            used.names.add(node.id)
            if node not in before_a_dot:
                used.bare.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.attributes.add(node.attr)
            before_a_dot.add(node.value)
            if isinstance(node.value, ast.Name):
                used.dotted.add((node.value.id, node.attr))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            used.imports.update(read_import(node))
        elif isinstance(node, ast.Call) and len(node.args) > 1 and ast.unparse(node.func) in ("getattr", "hasattr"):
            used.attributes.update(str(named.value) for named in node.args[1:2] if isinstance(named, ast.Constant))
    return used


class Code:
    """The code of the project, as definitions that name one another.

    Args:
        root: folder that holds the packages.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}

    def find(self, name: str) -> Module | None:
        """Return a module of the project; None for any other."""
        if name not in self._modules:
            place = self.root.joinpath(*name.split("."))
            paths = [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
            known = name.split(".", maxsplit=1)[0] in PACKAGES and paths
            self._modules[name] = Module(name, paths[0]) if known else None
        return self._modules[name]

    def digest(self, verbs: Iterable[str]) -> dict[str, str]:
        """Return the digest of everything that some verbs reach: ``module:name`` -> sha256, shortened.

        Args:
            verbs: as ``module:name``.
        """
        reached = _Reach(self)
        for verb in verbs:
            module, _, name = verb.partition(":")
            reached.add(module, name)
        return {f"{module}:{name}": digest for (module, name), digest in sorted(reached.finish().items())}


class _Reach:
    """What is reached so far, and which methods wait for their name to be used."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._waiting: list[Definition] = []
        self._digests: dict[Definition, str] = {}
        self._attributes: set[str] = set()
        self._methods: dict[str, list[tuple[Module, str, Function]]] = {}

    def finish(self) -> dict[Definition, str]:
        """Follow every name; return the digests."""
        while self._waiting:
            self._visit(*self._waiting.pop())
        return self._digests

    def add(self, module: str, name: str) -> None:
        """Reach a name of a module, wherever it is defined; what is not the project's is passed over."""
        if module in EXCUSED or (module, name) in self._digests:
            return
        found = self._code.find(module)
        if found is None:
            return
        if name and self._code.find(f"{module}.{name}"):
            self.add(f"{module}.{name}", "")
        elif name in found.imports:
            self.add(*found.imports[name])
        elif not name or name in found.definitions:
            self._digests[module, name] = ""
            self._waiting.append((module, name))
            self.add(module, "")
            if "." in module:
                self.add(module.rpartition(".")[0], "")

    def _visit(self, module: str, name: str) -> None:
        found = self._code.find(module)
        assert found is not None  # noqa: S101 - only modules of the project are added
        if not name:
            self._take(found, "", found.effects)
        elif isinstance(statement := found.definitions[name], ast.ClassDef):
            self._take_class(found, statement)
        else:
            self._take(found, name, [statement])

    def _take_class(self, module: Module, node: ast.ClassDef) -> None:
        waiting = (
            []
            if (module.name, node.name) not in BY_METHOD
            else [inner for inner in node.body if isinstance(inner, Function) and not inner.name.startswith("__")]
        )
        rest = [inner for inner in node.body if inner not in waiting]
        self._take(module, node.name, [_without(node, rest)])
        for method in waiting:
            if method.name in self._attributes:
                self._take(module, f"{node.name}.{method.name}", [method])
            else:
                self._methods.setdefault(method.name, []).append((module, node.name, method))

    def _take(self, module: Module, name: str, statements: list[ast.stmt]) -> None:
        self._digests[module.name, name], used = module.describe(name, statements)
        bound = module.imports | used.imports
        for plain in used.names:
            self.add(*bound.get(plain, (module.name, plain)))
        for plain in used.bare & set(bound):
            self._add_whole(bound[plain])
        for plain, attribute in used.dotted:
            if plain in bound:
                self._add_dotted(bound[plain], attribute)
        self._use_attributes(used.attributes)

    def _add_whole(self, binding: Definition) -> None:
        """Reach all of a module that is handed on as a value: whatever is taken of it."""
        module = ".".join(part for part in binding if part)
        if found := self._code.find(module):
            for name in found.definitions:
                self.add(module, name)

    def _add_dotted(self, binding: Definition, attribute: str) -> None:
        module = ".".join(part for part in binding if part)
        if self._code.find(module):
            self.add(module, attribute)

    def _use_attributes(self, attributes: set[str]) -> None:
        for attribute in attributes - self._attributes:
            self._attributes.add(attribute)
            for module, owner, method in self._methods.pop(attribute, ()):
                self._take(module, f"{owner}.{method.name}", [method])


def _without(node: ast.ClassDef, body: list[ast.stmt]) -> ast.ClassDef:
    return ast.ClassDef(**{**dict(ast.iter_fields(node)), "body": body or [ast.Pass()]})


def _copy(node: ast.stmt) -> ast.stmt:
    """Return a tree of its own; parsing a printed tree is several times faster than a deep copy."""
    return ast.parse(ast.unparse(node)).body[0]


def write_code(folder: Path, verbs: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Write ``<name>.json`` for every piece of work: the digest of each definition it reaches, by module and name.

    Args:
        folder: where; what is there is replaced as a whole.
        verbs: what does each piece of work, as ``module:name``.

    Returns:
        Name of a file -> number of definitions.
    """
    code = Code(Path(__file__).parents[2])
    counts = {}
    with atomic.write_folder(folder) as partial:
        for name, work in verbs.items():
            digests = code.digest(work)
            atomic.write_json(partial / f"{name}.json", digests)
            counts[name] = len(digests)
    return counts


def list_verbs() -> dict[str, tuple[str, ...]]:
    """Return what does the work of every stage, by the name of the file that says what code it reaches."""
    return {name: verbs for stage in STAGES for name, verbs in stage.verbs.items()}
