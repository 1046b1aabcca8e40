"""Permission bits as they are written: octal digits."""

from __future__ import annotations

import re

MODE_HINT = 'write three or four octal digits, as "1777" or "0755"'
_MODE = re.compile(r"0?[0-7]{3,4}")


def parse_mode(text: str) -> int | None:
    """The permission bits that a text says, 0 to 0o7777; None where it says none."""
    return int(text, 8) if _MODE.fullmatch(text) else None
