"""Memory sizes as Occlum writes them: a whole number and KB, MB, GB, TB (powers of 2) or B."""

from __future__ import annotations

import re

from occlum_build.sgx.config.jsontext import U64_MAX

PAGE = 4096
_UNITS = (("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40), ("B", 1))
_NUMBER = re.compile(r"\+?([0-9]+)", re.ASCII)
# Unicode White_Space, which Rust trims; Python's own strip() also takes U+001C to U+001F.
_BLANK = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def parse_size(text: str) -> int | None:
    """The size in bytes, at most 2^64-1; None when the text is no size or the size is larger."""
    trimmed = text.strip(_BLANK)
    for unit, factor in _UNITS:
        if trimmed.endswith(unit):
            number = _NUMBER.fullmatch(trimmed[: -len(unit)].strip(_BLANK))
            # 20 digits hold 2^64-1; more would only make int() slow.
            digits = number.group(1).lstrip("0") or "0" if number else ""
            if not digits or len(digits) > 20:
                return None
            size = int(digits) * factor
            return size if size <= U64_MAX else None
    return None


def size_hint(text: str) -> str:
    """What to write instead of a text that is no size."""
    trimmed = text.strip(_BLANK).upper().replace("IB", "B")
    for guess in (trimmed, trimmed + "B"):
        if trimmed[-1:].isalpha() and parse_size(guess) is not None:
            return f'did you mean "{guess}"?'
    return 'a size is a whole number and KB, MB, GB, TB or B, as in "300MB", below 2^64 bytes'
