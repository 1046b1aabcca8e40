"""Markdown of plain texts, as help of targets, options and commands is."""

from __future__ import annotations

import re
import textwrap

_CODE = re.compile(r"(`[^`]+`)")
# What a Markdown reader would take for markup, outside of code.
_SPECIAL = re.compile(r"([\\*<>\[\]]|(?<!\w)_|_(?!\w))")


def escaped(text: str) -> str:
    """The text with what is markup by accident escaped; code in backticks stays."""
    parts = _CODE.split(text)
    return "".join(
        part if index % 2 else _SPECIAL.sub(r"\\\1", part) for index, part in enumerate(parts)
    )


def code(text: str) -> str:
    """The text as inline code; empty text is none."""
    return f"`{text}`" if text else ""


def bullet(head: str, text: str) -> str:
    """A list item; further paragraphs of the text are indented, as they belong to it."""
    body = escaped(textwrap.dedent(text).strip())
    return f"* {head}" + (f": {textwrap.indent(body, '    ').strip()}" if body else "")


def page(title: str, intro: str, *sections: str) -> str:
    """A page of the reference: it says of itself that it is made."""
    note = (
        "<!-- Made by .ci/docs_site/reference.py, which a test compares it with: do not edit. -->"
    )
    return "\n\n".join([f"# {title}", note, intro, *(one.strip() for one in sections)]) + "\n"
