"""Environment variables in BOM texts: $NAME, ${NAME}, ${NAME:-default} and $$ for a dollar sign."""

from __future__ import annotations

import re
from collections.abc import Mapping

from occlum_build.bom.model import Text
from occlum_build.bom.names import is_utf8
from occlum_build.errors import Report

# No text of a BOM holds this character: what has it is left out, its mistake having been told.
UNDEFINED = "\0"

_REFERENCE = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>[^}]*)\})")


def expand(text: Text, env: Mapping[str, str], report: Report) -> str:
    """The text with its variables replaced; an undefined one is reported and becomes UNDEFINED.

    A default serves only when the variable is unset, values are not expanded again, and a dollar
    sign before anything else (or an unclosed brace) is itself.
    """

    def replace(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        name, separator, default = (match.group("bare") or match.group("braced")).partition(":-")
        if name in env:
            if not is_utf8(env[name]):
                report.error("bom-invalid", f"variable {name!r} is not UTF-8 text", text.place)
            return env[name]
        if separator:
            return default
        report.error(
            "bom-invalid",
            f"variable {name!r} is not defined in {text.value!r}",
            text.place,
            _hint(match, name),
        )
        return UNDEFINED

    return _REFERENCE.sub(replace, text.value) if "$" in text.value else text.value


def _hint(match: re.Match[str], name: str) -> str:
    """What to do about an undefined variable, which in the middle of a name may be none at all."""
    define = f"define it, or give a default: ${{{name}:-value}}"
    before = match.string[match.start() - 1 : match.start()]
    after = match.string[match.end() : match.end() + 1]
    if match.group("bare") and (before.isalnum() or name.isdigit()):
        return f"if the dollar sign is part of the name, write `$${name}`; if not, {define}"
    if match.group("bare") and (before + after).strip("/"):
        return f"{define}; a dollar sign itself is written `$$`"
    return define
