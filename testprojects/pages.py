"""What a page of the documentation has to be copied and pasted: files, commands, what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w./-]+)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block with a language: a file that is named in its first line, or one of SHELL, TEXT.

    line: of the page, where the block begins.
    """

    kind: str
    text: str
    file: str
    line: int


SHELL, TEXT, FILE = "sh", "text", "file"


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in order. One without a language, and one that is indented, is to be read."""
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
