from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlum_build.checks.codes import CODES

DOCUMENT = Path("docs/checks.md")
PACKAGES = ("src/python/occlum_build", "rules/pants_occlum")


def test_the_document_has_the_codes_and_no_others() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    named = [code for row in rows for code in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(CODES)


def test_the_codes_are_sorted() -> None:
    assert list(CODES) == sorted(CODES)


def _modules() -> Iterator[Path]:
    for package in PACKAGES:
        for path in Path(package).rglob("*.py"):
            if not path.name.endswith("_test.py") and not path.name.startswith("testing"):
                yield path


def _told(tree: ast.AST) -> Iterator[str]:
    """The codes that are written out where something is told that is no error for sure."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        says_severity = any(keyword.arg == "severity" for keyword in node.keywords)
        if name in ("warn", "note") or (name == "Problem" and says_severity):
            first = node.args[0]
            if isinstance(first, ast.Constant) and first.value:
                yield str(first.value)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_code_that_is_told_is_listed(package: str) -> None:
    paths = [path for path in _modules() if str(path).startswith(package)]
    told = {code for path in paths for code in _told(ast.parse(path.read_text()))}
    assert told - set(CODES) <= {"allow"}  # which tells of what is allowed
    assert len(told) > (10 if package == PACKAGES[0] else 0)
