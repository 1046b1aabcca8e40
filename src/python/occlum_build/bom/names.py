"""Names that an image can hold: text in UTF-8, as manifests and the secure file system keep it."""

from __future__ import annotations


def is_utf8(name: str) -> bool:
    """Is the name UTF-8? Python keeps the bytes of others as lone surrogates."""
    if name.isascii():
        return True
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
