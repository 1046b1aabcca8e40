"""What of a page is copied and pasted: files, commands, and what these print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w./-]+)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block with a language: SHELL, TEXT, or a FILE that its first line names.

    line: of the page, where the block begins.
    """

    kind: str
    text: str
    file: str
    line: int


SHELL, TEXT, FILE = "sh", "text", "file"


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in order, but for those without a language, and indented ones."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        kind, content = found[1], found[2]
        if kind in (SHELL, TEXT):
            yield Block(kind, content, "", line)
            continue
        name = _NAME.match(content)
        if name is None:
            raise AssertionError(f"{page}:{line}: the first line of the block is no `# path`")
        # As somebody pastes it, with the name.
        yield Block(FILE, content, name[1], line)
