"""Rules come after what they call.

Pants 2.23 to 2.29 reads which calls a rule makes when its decorator runs: of what the module
defines further down it sees nothing, and the rule would wait for what nobody gives it. No version
follows a helper that comes to call itself.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import pants_occlum

PACKAGE = Path(pants_occlum.__file__).parent
DECORATORS = ("rule", "goal_rule", "_uncacheable_rule")


def _is_rule(node: ast.AsyncFunctionDef) -> bool:
    names = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return any(ast.unparse(name) in DECORATORS for name in names)


def _calls(
    node: ast.AsyncFunctionDef, defined: Mapping[str, ast.AsyncFunctionDef]
) -> Iterator[ast.AsyncFunctionDef]:
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in defined:
            yield defined[one.func.id]


def _out_of_order(source: str) -> list[str]:
    """The calls in a module that some version of Pants does not see."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.AsyncFunctionDef)]
    defined = {node.name: node for node in nodes}
    found = []

    def follow(start: ast.AsyncFunctionDef, path: tuple[ast.AsyncFunctionDef, ...]) -> None:
        for called in _calls(path[-1], defined):
            names = " -> ".join(one.name for one in (*path, called))
            if called in path and not _is_rule(called):
                found.append(f"{start.lineno}: {names} calls itself")
            elif called.lineno > start.lineno:
                found.append(f"{start.lineno}: {names} in line {called.lineno}")
            elif not _is_rule(called):
                follow(start, (*path, called))

    for node in nodes:
        if _is_rule(node):
            follow(node, (node,))
    return found


def test_the_plugin_is_in_order() -> None:
    rules = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.name.endswith("_test.py"):
            source = path.read_text()
            rules += sum(source.count(f"\n@{name}") for name in DECORATORS)
            assert (path, _out_of_order(source)) == (path, [])
    assert rules > 50


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        (
            """
            async def helper(): await below()
            async def below(): ...
            @rule(desc="x")
            async def one(): await helper()
            @rule
            async def two(): await one()
            """,
            [],
        ),
        (
            """
            @rule
            async def one():
                return await concurrently(two(x) for x in y)
            @rule
            async def two(): ...
            """,
            ["3: one -> two in line 6"],
        ),
        (
            """
            async def helper(): await below()
            @rule
            async def one(): await helper()
            async def below(): ...
            """,
            ["4: one -> helper -> below in line 5"],
        ),
        (
            """
            @_uncacheable_rule
            async def one(): await one()
            """,
            [],
        ),
        (
            """
            async def helper(): await again()
            async def again(): await helper()
            @rule
            async def one(): await helper()
            """,
            ["5: one -> helper -> again -> helper calls itself"],
        ),
    ],
)
def test_orders(source: str, wrong: list[str]) -> None:
    assert _out_of_order(textwrap.dedent(source)) == wrong
