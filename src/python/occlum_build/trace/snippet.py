"""What is missing as a BOM, to be pasted or included."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from occlum_build.shown import escaped
from occlum_build.sources.model import DIR, FILE
from occlum_build.trace.missing import MADE, Finding

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./+-]*")
_USUAL_MODE = 0o755


def snippet(found: Sequence[Finding]) -> Iterator[str]:
    """The lines of a BOM that copies all of it; none where nothing is missing.

    Of each file the package is a comment, and who asked for it.
    """
    if not found:
        return
    yield "targets:"
    made = [one for one in found if one.kind == MADE]
    if made:
        yield "- target: /"
        yield "  mkdirs:"
        for one in made:
            yield f"  - {_directory(one)}  # {_comment(one)}"
    copied = sorted(
        (one for one in found if one.kind != MADE),
        key=lambda one: (posixpath.dirname(one.path), one.kind, one.path),
    )
    for target, below in groupby(copied, lambda one: posixpath.dirname(one.path)):
        yield f"- target: {_text(target)}"
        yield "  copy:"
        for kind, same in groupby(below, lambda one: one.kind):
            yield "  - dirs:" if kind == DIR else "  - files:"
            for one in same:
                yield f"    - {_source(one)}  # {_comment(one)}"


def _directory(one: Finding) -> str:
    path = _text(one.path[1:])
    if one.mode == _USUAL_MODE:
        return path
    return f'{{path: {path}, mode: "{one.mode:04o}"}}'


def _source(one: Finding) -> str:
    source, name = _text(one.source), posixpath.basename(one.path)
    if one.kind != FILE or posixpath.basename(one.source) == name:
        return source
    return f"{{name: {source}, rename: {_text(name)}}}"


def _comment(one: Finding) -> str:
    """One line, whatever names have in them."""
    package = f"{one.package} {one.version}: " if one.package else ""
    first = one.asked[0]
    more = len({by.program for by in one.asked}) - 1
    others = f" and {more:,} more" if more else ""
    return escaped(f"{package}{first.kind} by {first.program}{others}")


def _text(path: str) -> str:
    """A path as a scalar of YAML, in which a BOM has variables."""
    path = path.replace("$", "$$")
    return path if _PLAIN.fullmatch(path) else json.dumps(path)
