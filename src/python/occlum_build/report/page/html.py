"""The report as one file of HTML: the page that src/js/report builds, with the data put into it."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

TEMPLATE = "page.html"
_MARK = b"@DATA@"


def template() -> bytes:
    """The page without data, as it is checked in."""
    return importlib.resources.files(__package__).joinpath(TEMPLATE).read_bytes()


def page(document: Mapping[str, Any], template: bytes) -> bytes:
    """The file. In ASCII and without `<`, data are data, whatever names others give."""
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")
    before, mark, after = template.partition(_MARK)
    if not mark or _MARK in after:
        raise ValueError(f"the page has not one place for the data, {_MARK.decode()}")
    return b"".join((before, data.encode("ascii"), after))
