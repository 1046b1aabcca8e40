"""Environment variables in BOM texts: $NAME, ${NAME}, ${NAME:-default} and $$ for a dollar sign."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping

from occlum_build.bom.model import Text
from occlum_build.bom.names import is_utf8
from occlum_build.errors import Report
from occlum_build.shown import quoted

# No text of a BOM holds this character: what has it is left out, its mistake having been told.
UNDEFINED = "\0"
PATH_BYTES = 4095  # a kernel takes no longer path, nor target of a link

_REFERENCE = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>[^}]*)\})")
_BARE = re.compile(r"\$(?:\$|(?P<bare>\w+))")
_SHOWN_NAME = 64  # characters


def expand(text: Text, env: Mapping[str, str], report: Report) -> str:
    """The text with its variables replaced; an undefined one is reported and becomes UNDEFINED.

    A default serves only when the variable is unset, values are not expanded again, and a dollar
    sign before anything else (or an unclosed brace) is itself. What comes out is a path or the
    target of a link: one that is longer than PATH_BYTES is reported, and UNDEFINED as a whole.
    """
    parts, size = [], 0
    for part in _parts(text, env, report):
        size += len(part)  # characters, of which none has less than a byte
        if size > PATH_BYTES:
            return _too_long(text, report)
        parts.append(part)
    expanded = "".join(parts)
    if not expanded.isascii() and len(expanded.encode("utf-8", "replace")) > PATH_BYTES:
        return _too_long(text, report)
    return expanded


def names_of(value: str) -> Iterator[str]:
    """The variables that a text needs: those for which it has no default."""
    for match in _references(value):
        name, separator, _ = (match.group("bare") or match.group("braced") or "").partition(":-")
        if name and not separator:
            yield name


def _parts(text: Text, env: Mapping[str, str], report: Report) -> Iterator[str]:
    """What is between the references, and what they stand for."""
    value, end = text.value, 0
    told: set[str] = set()  # a name that is wrong is told once a text
    for match in _references(value):
        yield value[end : match.start()]
        end = match.end()
        if match.group() == "$$":
            yield "$"
            continue
        name, separator, default = (match.group("bare") or match.group("braced")).partition(":-")
        if name in env:
            if name not in told and not is_utf8(env[name]):
                report.error(
                    "bom-invalid", f"variable {quoted(name)} is not UTF-8 text", text.place
                )
                told.add(name)
            yield env[name]
        elif separator:
            yield default
        else:
            if name not in told:
                message = f"variable {quoted(name)} is not defined in {quoted(value)}"
                report.error("bom-invalid", message, text.place, _hint(match, name))
                told.add(name)
            yield UNDEFINED
    yield value[end:]


def _references(value: str) -> Iterator[re.Match[str]]:
    if "$" not in value:
        return iter(())
    # Behind the last brace that closes, none that opens need be looked for: it would be each time.
    closed = value.rfind("}") + 1
    braced, bare = _REFERENCE.finditer(value, 0, closed), _BARE.finditer(value, closed)
    return itertools.chain(braced, bare)


def _too_long(text: Text, report: Report) -> str:
    message = f"{quoted(text.value)} has more than the {PATH_BYTES:,} bytes that a path may have"
    report.error("bom-invalid", message, text.place)
    return UNDEFINED


def _hint(match: re.Match[str], name: str) -> str:
    """What to do about an undefined variable, which in the middle of a name may be none at all."""
    if len(name) > _SHOWN_NAME:
        return "define it, or give a default"
    define = f"define it, or give a default: ${{{name}:-value}}"
    before = match.string[match.start() - 1 : match.start()]
    after = match.string[match.end() : match.end() + 1]
    if match.group("bare") and (before.isalnum() or name.isdigit()):
        return f"if the dollar sign is part of the name, write `$${name}`; if not, {define}"
    if match.group("bare") and (before + after).strip("/"):
        return f"{define}; a dollar sign itself is written `$$`"
    return define
