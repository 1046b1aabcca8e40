"""Which errors the sources make: their codes, and their messages as they are written."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOTS = ("src/python/occlum_build", "rules/pants_occlum")
GAP = "…"  # what is filled in
# How an error is made: the name that is called.
_MAKERS = {"OcclumError", "TooMuch", "Problem", "error"}


@dataclass(frozen=True)
class Raised:
    """One place where an error is made: the room, its code, and its message with gaps."""

    room: str
    code: str
    message: str


def raised() -> list[Raised]:
    """All that the sources make, sorted, each once."""
    return sorted(
        {one for root in ROOTS for path in _modules(Path(root)) for one in _module(path).raised()},
        key=lambda one: (one.room, one.code, one.message),
    )


def _modules(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*.py")):
        name = path.name
        if not (name.endswith("_test.py") or name.startswith("testing") or name == "conftest.py"):
            yield path


class _Module:
    """One module of the sources, and what its names stand for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        root = next(root for root in ROOTS if path.is_relative_to(root))
        parts = path.relative_to(root).parts
        self.room = parts[0] if len(parts) > 1 else ""

    @cached_property
    def constants(self) -> dict[str, str]:
        """Names of the module that are texts, also those that it imports from our own modules."""
        found: dict[str, str] = {}
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                source = _source(node.module)
                if source is not None and any(one.name.lstrip("_").isupper() for one in node.names):
                    there = _module(source).constants
                    found.update(
                        (one.asname or one.name, there[one.name])
                        for one in node.names
                        if one.name in there
                    )
            for target, value in _assigned(node):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found[target] = value.value
        return found

    def raised(self) -> Iterator[Raised]:
        for scope in _scopes(self.tree):
            texts = _texts_of(scope)
            for call in _calls(scope):
                if len(call.args) > 1 and self.room:
                    messages = _messages(call.args[1], texts)
                    for name in self._codes(call.args[0], texts):
                        for message in messages:
                            yield Raised(self.room, name, " ".join(message.split()))

    def _codes(self, node: ast.expr, texts: Mapping[str, list[ast.expr]]) -> list[str]:
        if isinstance(node, ast.Name) and node.id in self.constants:
            return [self.constants[node.id]]
        return _messages(node, texts)


@cache
def _module(path: Path) -> _Module:
    return _Module(path)


def _source(module: str) -> Path | None:
    for root in ROOTS:
        path = Path(root).parent / f"{module.replace('.', '/')}.py"
        if path.is_file():
            return path
    return None


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts):
                    if isinstance(one, ast.Name):
                        yield one.id, value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    """The module without its functions, and each function without those within."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from _within(child)


def _calls(scope: ast.AST) -> Iterator[ast.Call]:
    """The calls that make an error, and not only a warning or a note."""
    for node in _within(scope):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", "") or getattr(node.func, "id", "")
            severity = next((one.value for one in node.keywords if one.arg == "severity"), None)
            told = isinstance(severity, ast.Name) and severity.id in ("WARNING", "NOTE")
            if name in _MAKERS and not told:
                yield node


def _texts_of(scope: ast.AST) -> dict[str, list[ast.expr]]:
    """What the names of a scope are given: to each all that it is given somewhere."""
    found: dict[str, list[ast.expr]] = defaultdict(list)
    for node in _within(scope):
        for name, value in _assigned(node):
            found[name].append(value)
    begun = {name: tuple(values) for name, values in found.items()}
    for node in _within(scope):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            # It may not come to the second half, so both are told.
            found[node.target.id] += [
                ast.BinOp(left=one, op=ast.Add(), right=node.value)
                for one in begun.get(node.target.id, ())
            ]
    return found


def _messages(node: ast.expr, texts: Mapping[str, list[ast.expr]], depth: int = 0) -> list[str]:
    """The texts that an expression can be, with gaps; none where nothing of it is written there."""
    if depth > 4:
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [_filled("".join(_piece(one) for one in node.values))]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left = _messages(node.left, texts, depth + 1) or [GAP]
        right = _messages(node.right, texts, depth + 1) or [GAP]
        return [_filled(one + two) for one in left for two in right]
    if isinstance(node, ast.IfExp):
        both = (node.body, node.orelse)
        return [text for one in both for text in _messages(one, texts, depth + 1)]
    if isinstance(node, ast.Name):
        return [text for one in texts.get(node.id, ()) for text in _messages(one, texts, depth + 1)]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Lines" and node.args:
        return _messages(node.args[0], texts, depth + 1)
    return []


def _piece(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else GAP


def _filled(text: str) -> str:
    """The text; none that is nothing but gaps."""
    return text if any(letter.isalpha() for letter in text) else ""
