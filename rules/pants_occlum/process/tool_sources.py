"""The Python sources that a tool of the library needs, found by reading its imports."""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Collection, Iterator
from functools import cache

from pants_occlum.process.loaded_sources import LOADED

LIBRARY = "occlum_build"


def tool_modules(module: str) -> dict[str, bytes]:
    """Path -> content of a module of the library and of all that it imports from the library.

    Imports for type checking alone are left out, so that fewer edits bust the tool's cache. Sorted.
    """
    found: dict[str, bytes] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path, content = _source(name)
        if path in found:
            continue
        found[path] = content
        for imported in {name.rpartition(".")[0], *_imports(content, path)}:
            if _is_module(imported):
                pending.append(imported)
    return dict(sorted(found.items()))


def requirement_modules(
    distribution: str, *, compiled: bool = False, data: Collection[str] = ()
) -> dict[str, bytes]:
    """Path -> content, sorted, of the modules of an installed distribution, and of its `data`.

    One with compiled parts is taken only as `compiled`: a tool's key then holds on machines whose
    environment was made from the same wheels. Raises ValueError for compiled parts that are not
    expected, PackageNotFoundError for a distribution that is not installed.
    """
    found: dict[str, bytes] = {}
    for file in importlib.metadata.files(distribution) or ():
        is_compiled = file.suffix in (".so", ".pyd")
        if is_compiled and not compiled:
            raise ValueError(f"{distribution} has compiled parts: {file}")
        outside = file.parts[0] == ".." or file.parts[0].endswith(".data")
        is_wanted = file.suffix == ".py" or is_compiled or file.as_posix() in data
        if is_wanted and not outside:
            found[file.as_posix()] = file.read_binary()
    if not found:
        raise ValueError(f"{distribution} lists no Python modules in its RECORD")
    return dict(sorted(found.items()))


def _source(name: str) -> tuple[str, bytes]:
    """The path, from the library's parent directory, and the content of a module or package."""
    relative = name.replace(".", "/")
    for path in (f"{relative}.py", f"{relative}/__init__.py"):
        content = _read(path)
        if content is not None:
            return path, content
    raise ModuleNotFoundError(f"the library has no module {name}", name=name)


def _is_module(name: str) -> bool:
    if name != LIBRARY and not name.startswith(f"{LIBRARY}."):
        return False
    relative = name.replace(".", "/")
    return any(_read(path) is not None for path in (f"{relative}.py", f"{relative}/__init__.py"))


def _read(path: str) -> bytes | None:
    return LOADED.contents.get(path)


# Most tools have most modules in common.
@cache
def _imports(content: bytes, path: str) -> frozenset[str]:
    """The modules that a module may import when it runs; an imported name may be no module."""
    return frozenset(_imported(ast.parse(content, path)))


def _imported(tree: ast.Module) -> Iterator[str]:
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"
