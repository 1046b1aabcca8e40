"""Searches what ./pants left behind for secrets."""

from __future__ import annotations

import os
from pathlib import Path

CHUNK_BYTES = 1 << 24


def image_key_forms(path: Path) -> dict[str, bytes]:
    """The ways in which the key of a file could be written."""
    text = path.read_text().strip()
    digits = text.replace("-", "")
    texts = {"text": text, "digits": digits, "TEXT": text.upper(), "DIGITS": digits.upper()}
    return {
        **{f"image key, {name}": form.encode() for name, form in texts.items()},
        "image key, bytes": bytes.fromhex(digits),
    }


def found_below(top: Path, wanted: dict[str, bytes]) -> list[tuple[str, str]]:
    """What is in which regular file below a directory."""
    overlap = max(map(len, wanted.values()))
    found = []
    for folder, _, names in os.walk(top):
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink():
                hits = [what for what, text in wanted.items() if _is_in(path, text, overlap)]
                found += [(what, str(path)) for what in hits]
    return found


def _is_in(path: Path, text: bytes, overlap: int) -> bool:
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(CHUNK_BYTES):
            if text in tail + chunk:
                return True
            tail = chunk[-overlap:]
    return False
