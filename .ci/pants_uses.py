"""What this plugin uses of Pants, read from its sources: imports, and the calls of what it imports.

Reads files alone, so that it also runs where there is no Pants.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PANTS = "pants"
# These are read by no newer Pants, or by tests alone.
_POLYFILL = ("polyfill.py", "rule_calls.py", "pants_rules_by_get.py")

Version = tuple[int, int]
# Flags of pants_occlum.compat.versions, and what they are where something is reached.
When = frozenset[tuple[str, bool]]


@dataclass(frozen=True)
class Call:
    """What a call gives: some by position, some by name, and `more` by `*` or `**`."""

    positional: int
    names: tuple[str, ...]
    more: bool


@dataclass(frozen=True)
class Use:
    """A symbol of Pants in one place, `path:line`; `call` is None where it is not called."""

    place: str
    symbol: str
    when: When
    call: Call | None = None

    def reached(self, flags: Mapping[str, bool]) -> bool:
        return all(flags[flag] is value for flag, value in self.when)


def read_flags(package: Path) -> dict[str, Version]:
    """The flags of the package's compat/versions.py, and the versions since which they are true."""
    tree = ast.parse((package / "compat/versions.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "SINCE" and node.value:
            return dict(ast.literal_eval(node.value))
    raise ValueError("compat/versions.py defines no SINCE")


def flags_at(since: Mapping[str, Version], version: str) -> dict[str, bool]:
    """What the flags are on a version of Pants, as `2.34.0.dev3`."""
    major, minor = version.split(".")[:2]
    return {flag: (int(major), int(minor)) >= first for flag, first in since.items()}


def uses_of_pants(package: Path) -> list[Use]:
    """All uses in a package but in its tests and in what stands in for a newer Pants, in order."""
    flags = frozenset(read_flags(package))
    modules = {}
    for path in sorted(package.rglob("*.py")):
        if path.name.endswith("_test.py") or path.name.startswith("testing"):
            continue
        if path.name not in _POLYFILL:
            place = path.relative_to(package.parent)
            name = ".".join(place.with_suffix("").parts).removesuffix(".__init__")
            modules[name] = _Module(str(place), path.read_text(), flags)
    return [use for module in modules.values() for use in module.uses(modules)]


class _Module(ast.NodeVisitor):
    """The imports of one module, and which names it reads and calls."""

    def __init__(self, place: str, source: str, flags: frozenset[str]) -> None:
        self.place = place
        self.flags = flags
        self.when: When = frozenset()
        self.imports: list[tuple[str, str, int, When]] = []
        self.named: list[tuple[str, int, When, Call | None]] = []
        self.visit(ast.parse(source, place))

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        for value, body in ((True, node.body), (False, node.orelse)):
            with self._where(node.test, value):
                for one in body:
                    self.visit(one)

    @contextmanager
    def _where(self, test: ast.expr, value: bool) -> Iterator[None]:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test, value = test.operand, not value
        outer = self.when
        if isinstance(test, ast.Name) and test.id in self.flags:
            self.when |= {(test.id, value)}
        yield
        self.when = outer

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            self.imports.append((one.asname or one.name, one.name, node.lineno, self.when))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for one in node.names:
            symbol = f"{node.module}.{one.name}"
            self.imports.append((one.asname or one.name, symbol, node.lineno, self.when))

    def visit_Call(self, node: ast.Call) -> None:
        names = tuple(keyword.arg for keyword in node.keywords if keyword.arg is not None)
        plain = [one for one in node.args if not isinstance(one, ast.Starred)]
        more = len(plain) < len(node.args) or len(names) < len(node.keywords)
        self._name(node.func, Call(len(plain), names, more))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._name(node, None)
        self.generic_visit(node)

    def _name(self, node: ast.expr, call: Call | None) -> None:
        if isinstance(node, (ast.Name, ast.Attribute)):
            self.named.append((ast.unparse(node), node.lineno, self.when, call))

    def uses(self, modules: Mapping[str, _Module]) -> Iterator[Use]:
        for _, symbol, line, when in self.imports:
            if _of_pants(symbol):
                yield Use(f"{self.place}:{line}", symbol, when)
        for name, line, when, call in self.named:
            first, *attributes = name.split(".")
            for symbol, imported in self.symbols(first, modules):
                # Of attributes the first alone: what lies behind it can be of any type.
                if _of_pants(symbol) and (call is None or len(attributes) < 2):
                    whole = ".".join((symbol, *attributes[:1]))
                    yield Use(f"{self.place}:{line}", whole, when | imported, call)

    def symbols(self, name: str, modules: Mapping[str, _Module]) -> Iterator[tuple[str, When]]:
        """Where a name may come from, through other modules of the package as well."""
        for local, symbol, _, when in self.imports:
            if local == name:
                module, _, inner = symbol.rpartition(".")
                if module in modules:
                    found = modules[module].symbols(inner, modules)
                    yield from ((one, when | more) for one, more in found)
                else:
                    yield symbol, when


def _of_pants(symbol: str) -> bool:
    return symbol.partition(".")[0] == PANTS
