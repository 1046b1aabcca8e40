"""What the code must not do with files and trees of others, found in its syntax.

A finding names the file, the function that it is in and what it does there; lines may move.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

UNBOUNDED_READ = "reads without a size"
WHOLE_FILE = "reads a whole file"
LINES = "goes over the lines of a file"
JSON = "takes JSON apart by itself"
TREE = "walks or removes a tree by a function that recurses or races"
RECURSION = "calls itself"
BLIND = "catches every exception without a reason"

_TREE_CALLS = {("os", "walk"), ("os", "fwalk"), ("shutil", "rmtree"), ("shutil", "copytree")}


class Finding(NamedTuple):
    """In a function (`Class.method`, "" for a module) of a file."""

    file: str
    function: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.function or 'the module'} {self.what}"


def findings(source: str, file: str) -> list[Finding]:
    """All in one file, each once."""
    tree, lines = ast.parse(source), source.splitlines()
    found = [
        Finding(file, function, what)
        for function, _, nodes in _scopes(tree)
        for node in nodes
        for what in _wrong(node, lines)
    ]
    found += [Finding(file, function, RECURSION) for function in _recursive(tree)]
    return list(dict.fromkeys(found))


def _scopes(tree: ast.Module) -> Iterator[tuple[str, ast.AST, list[ast.AST]]]:
    """The name of each function and class, itself, and the nodes in it that are in none in it."""
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        name, scope = pending.pop()
        nodes, inner = [], list(ast.iter_child_nodes(scope))
        while inner:
            node = inner.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                pending.append((f"{name}.{node.name}".lstrip("."), node))
            else:
                nodes.append(node)
                inner += ast.iter_child_nodes(node)
        yield name, scope, nodes


def _wrong(node: ast.AST, lines: list[str]) -> Iterator[str]:
    if isinstance(node, ast.Call):
        yield from _wrong_call(node)
    if isinstance(node, ast.With) and any(map(_opens, node.items)):
        yield from _wrong_with(node)
    if isinstance(node, ast.ExceptHandler) and _is_blind(node):
        comment = lines[node.lineno - 1].partition("#")[2]
        if not comment.replace("noqa: BLE001", "").strip(" -"):
            yield BLIND


def _wrong_call(call: ast.Call) -> Iterator[str]:
    function = call.func
    if "JSONDecoder" in (getattr(function, "id", ""), getattr(function, "attr", "")):
        yield JSON
    if not isinstance(function, ast.Attribute):
        return
    of = function.value.id if isinstance(function.value, ast.Name) else ""
    if function.attr in ("read", "readline", "readlines", "readall") and _has_no_size(call):
        yield UNBOUNDED_READ
    if function.attr in ("read_text", "read_bytes"):
        yield WHOLE_FILE
    if (of, function.attr) in (("json", "load"), ("json", "loads")):
        yield JSON
    if (of, function.attr) in _TREE_CALLS or function.attr == "rglob":
        yield TREE


def _has_no_size(call: ast.Call) -> bool:
    if not call.args and not call.keywords:
        return True
    return any(isinstance(size, ast.UnaryOp) for size in call.args)  # -1


def _opens(item: ast.withitem) -> bool:
    call = item.context_expr
    if not isinstance(call, ast.Call) or not isinstance(item.optional_vars, ast.Name):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in ("open", "fdopen")


def _wrong_with(node: ast.With) -> Iterator[str]:
    names = {
        item.optional_vars.id for item in node.items if isinstance(item.optional_vars, ast.Name)
    }
    for inner in ast.walk(node):
        iterated = inner.iter if isinstance(inner, (ast.For, ast.comprehension)) else None
        if isinstance(iterated, ast.Name) and iterated.id in names:
            yield LINES


def _is_blind(handler: ast.ExceptHandler) -> bool:
    """Whether it takes everything and does not end by raising what it took."""
    names = {node.id for node in ast.walk(handler.type or handler) if isinstance(node, ast.Name)}
    if handler.type is not None and not names & {"Exception", "BaseException"}:
        return False
    last = handler.body[-1]
    if not isinstance(last, ast.Raise):
        return True
    return last.exc is not None and getattr(last.exc, "id", "") != handler.name


def _recursive(tree: ast.Module) -> list[str]:
    """The functions of a module that call themselves, be it by others of the module."""
    scopes = list(_scopes(tree))
    classes = {name for name, scope, _ in scopes if isinstance(scope, ast.ClassDef)}
    functions = {name for name, _, _ in scopes} - classes - {""}
    calls: dict[str, set[str]] = {name: set() for name in functions}
    for name, _, nodes in scopes:
        for node in nodes:
            if name in functions and isinstance(node, ast.Call):
                called = (one for one in _names(node.func, name, classes) if one in functions)
                calls[name].update(list(called)[:1])
    return sorted(name for name in calls if name in _reached(calls, name))


def _names(function: ast.expr, caller: str, classes: set[str]) -> Iterator[str]:
    """What the called function may be named in this module, the innermost first."""
    above = [caller.rsplit(".", n)[0] for n in range(caller.count(".") + 1)]
    if isinstance(function, ast.Attribute):
        if isinstance(function.value, ast.Name) and function.value.id in ("self", "cls"):
            yield from (f"{scope}.{function.attr}" for scope in above if scope in classes)
    elif isinstance(function, ast.Name):
        yield from (f"{scope}.{function.id}" for scope in above if scope not in classes)
        yield function.id


def _reached(calls: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    pending = list(calls[start])
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += calls.get(name, ())
    return reached
