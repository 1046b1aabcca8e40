"""The signatures of symbols in Python sources that can be read, but not imported."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, Union

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Bases that have no constructor and no members of interest.
_PLAIN_BASES = ("ABC", "Generic", "Protocol", "object")


class Definition(NamedTuple):
    """What defines a name, a statement or a whole module, and the module that it is in."""

    module: str
    node: ast.AST


class Class(NamedTuple):
    module: str
    node: ast.ClassDef


class Sources:
    """Modules below a folder of sources. A stub stands for a module that is not in Python."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tree = cache(self._parse)

    def signature(self, symbol: str) -> str | None:
        """As `(digest, prefix=...)`; None for no function or class, or where it is not known.

        A class has that of its constructor, a member of a class has its own without `self`.
        Raises LookupError for what is not there.
        """
        found: Definition | None = None
        for name in symbol.split("."):
            if found is None:
                found = self._module(name)
            elif isinstance(found.node, ast.ClassDef):
                return self._member(Class(found.module, found.node), name)
            elif isinstance(found.node, ast.Module):
                found = self._definition(found.module, name)
            else:
                return None
            if found is None:
                raise LookupError(symbol)
        assert found is not None
        if isinstance(found.node, FUNCTIONS):
            return _signature([found.node])
        if isinstance(found.node, ast.ClassDef):
            return self._constructor(Class(found.module, found.node))
        return None

    def _parse(self, module: str) -> ast.Module | None:
        path = self.root / module.replace(".", "/")
        for file in (path.with_suffix(".py"), path / "__init__.py", path.with_suffix(".pyi")):
            if file.is_file():
                return ast.parse(file.read_bytes(), str(file))
        return ast.Module([], []) if path.is_dir() else None

    def _module(self, module: str) -> Definition | None:
        tree = self._tree(module)
        return Definition(module, tree) if tree else None

    def _definition(self, module: str, name: str) -> Definition | None:
        """What a name of a module stands for, wherever that imports it from."""
        tree = self._tree(module)
        found = None
        for node in _statements(tree.body if tree else ()):
            if isinstance(node, ast.ImportFrom):
                for one in node.names:
                    if name == (one.asname or one.name):
                        found = self._definition(node.module or "", one.name)
            elif name in _defined(node):
                value = node.value if isinstance(node, ast.Assign) else None
                found = self._alias(module, value) or Definition(module, node)
        return found or self._module(f"{module}.{name}")

    def _alias(self, module: str, value: ast.expr | None) -> Definition | None:
        """What `name` or `a_module.name` stands for in a module."""
        if isinstance(value, ast.Name):
            return self._definition(module, value.id)
        if isinstance(value, ast.Attribute):
            inner = self._alias(module, value.value)
            if inner and isinstance(inner.node, ast.Module):
                return self._definition(inner.module, value.attr)
        return None

    def _bases(self, one: Class) -> Iterator[Class | None]:
        """A class and its bases, depth first; None for one that is not in these sources."""
        yield one
        for base in one.node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            found = self._alias(one.module, plain)
            if found and isinstance(found.node, ast.ClassDef):
                yield from self._bases(Class(found.module, found.node))
            elif ast.unparse(plain) not in _PLAIN_BASES:
                yield None

    def _constructor(self, one: Class) -> str | None:
        bases = list(self._bases(one))
        for base in bases:
            if base is None:
                return None
            methods = _methods(base.node, "__init__") or _methods(base.node, "__new__")
            if methods:
                return _signature(methods, without_first=True)
            if _is_dataclass(base.node):
                return _signature_of_fields([of.node for of in reversed(bases) if of])
        return "()"

    def _member(self, one: Class, name: str) -> str | None:
        bases = list(self._bases(one))
        for base in bases:
            if base and any(name in _defined(node) for node in _statements(base.node.body)):
                methods = _methods(base.node, name)
                decorators = {kind for method in methods for kind in _decorators(method)}
                if any("property" in kind for kind in decorators):
                    return None
                return _signature(methods, without_first="staticmethod" not in decorators)
        if None in bases:
            return None
        raise LookupError(f"{one.node.name}.{name}")


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a body, and of the branches in it that a version or a platform chooses."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            yield from _statements([*node.orelse, *node.body])


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return {node.name}
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _methods(node: ast.ClassDef, name: str) -> list[Function]:
    found = (one for one in _statements(node.body) if isinstance(one, FUNCTIONS))
    return [one for one in found if one.name == name]


def _decorators(node: ast.ClassDef | Function) -> list[str]:
    calls = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return [ast.unparse(one) for one in calls]


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any(one.rpartition(".")[2] == "dataclass" for one in _decorators(node))


def _signature(functions: list[Function], *, without_first: bool = False) -> str | None:
    """That of the last, parameters alone: no types, and `...` for each default."""
    if not functions or "overload" in _decorators(functions[-1]):
        return None
    given = functions[-1].args
    positional = [ast.arg(one.arg) for one in (*given.posonlyargs, *given.args)][without_first:]
    only = max(0, len(given.posonlyargs) - without_first)
    plain = ast.arguments(
        posonlyargs=positional[:only],
        args=positional[only:],
        vararg=given.vararg and ast.arg(given.vararg.arg),
        kwonlyargs=[ast.arg(one.arg) for one in given.kwonlyargs],
        kw_defaults=[one and ast.Constant(...) for one in given.kw_defaults],
        kwarg=given.kwarg and ast.arg(given.kwarg.arg),
        defaults=[ast.Constant(...) for _ in given.defaults],
    )
    return f"({ast.unparse(plain)})"


def _signature_of_fields(classes: list[ast.ClassDef]) -> str:
    """That of the constructor which dataclasses, the last first in its order of bases, get."""
    fields: dict[str, str] = {}
    for node in classes:
        if _is_dataclass(node):
            fields.update(_fields(node))
    return f"({', '.join(fields.values())})"


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            options: dict[str | None, str] = {"default": "given"} if one.value else {}
            if isinstance(one.value, ast.Call) and ast.unparse(one.value.func) == "field":
                options = {key.arg: ast.unparse(key.value) for key in one.value.keywords}
            if "ClassVar" in ast.unparse(one.annotation) or options.get("init") == "False":
                continue
            default = "=..." if options.keys() & {"default", "default_factory"} else ""
            yield one.target.id, one.target.id + default
