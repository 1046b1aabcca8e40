"""License expressions of SPDX, made of what packages declare.

The identifiers are those that the library license-expression knows. Whatever has none becomes a
`LicenseRef-`, as the specification of SPDX 2.3, annex D, has it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

MOST_CHARACTERS = 2_000  # of one declared expression

# Short names of Debian's copyright files, and of Python's metadata, that SPDX has under others.
_NAMES = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "boost-1.0": "BSL-1.0",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd-4": "BSD-4-Clause",
    "cc0": "CC0-1.0",
    "expat": "MIT",
    "isc license": "ISC",
    "mit license": "MIT",
    "psf": "PSF-2.0",
    "the unlicense": "Unlicense",
    "zlib/libpng": "Zlib",
}
_GNU = re.compile(r"(L?GPL|AGPL|GFDL)-?v?(\d)(\.\d)?(\.0)*(\+|-or-later|-only)?", re.IGNORECASE)
_SPDX = re.compile(r"[A-Za-z0-9.+() \-]+")
_NO_REF = re.compile(r"[^A-Za-z0-9.\-]+")


class Expression(NamedTuple):
    """An SPDX expression, "" where nothing is declared, and the text of each LicenseRef in it."""

    text: str = ""
    refs: tuple[tuple[str, str], ...] = ()


def expression_of(declared: Iterable[str], texts: Mapping[str, str]) -> Expression:
    """All of what is declared; `texts` has the texts of licenses by the names used there."""
    refs: dict[str, str] = {}
    parts = sorted({part for one in declared if (part := _one(one, texts, refs))})
    if len(parts) > 1:
        parts = [f"({part})" if " " in part else part for part in parts]
    return Expression(" AND ".join(parts), tuple(sorted(refs.items())))


def _one(declared: str, texts: Mapping[str, str], refs: dict[str, str]) -> str:
    spdx = _valid_spdx(declared)
    if spdx:
        return spdx
    return _with_commas(declared[:MOST_CHARACTERS], texts, refs)


def _valid_spdx(text: str) -> str:
    """The expression as SPDX writes it; "" for what is none."""
    from boolean import ParseError
    from license_expression import ExpressionError

    if len(text) > MOST_CHARACTERS or text.count("(") > 20 or not _SPDX.fullmatch(text):
        return ""
    licensing = _licensing()
    try:
        parsed = licensing.parse(text, validate=True, strict=True)
    except (ExpressionError, ParseError, TypeError):  # the last one of operators without operands
        return ""
    keys = licensing.license_keys(parsed) if parsed is not None else []
    return str(parsed) if keys and not any(map(_is_ref, keys)) else ""


def _with_commas(text: str, texts: Mapping[str, str], refs: dict[str, str]) -> str:
    """DEP-5: "and" binds closer than "or", and a comma before one of them makes it the weakest."""
    found = ""
    for part in re.split(r",\s+(?=(?:and|or)\s)", text):
        operator = re.match(r"(and|or)\s+", part)
        term = _without_commas(part[operator.end() :] if operator else part, texts, refs)
        found = f"({found}) {operator[1].upper()} ({term})" if found and operator else term
    return found


def _without_commas(text: str, texts: Mapping[str, str], refs: dict[str, str]) -> str:
    alternatives = []
    for alternative in re.split(r"\s+(?:or|OR)\s+", text):
        names = re.split(r"\s+(?:and|AND)\s+", alternative)
        alternatives.append(" AND ".join(_term(name.strip(), texts, refs) for name in names))
    if len(alternatives) > 1:
        alternatives = [f"({one})" if " " in one else one for one in alternatives]
    return " OR ".join(alternatives)


def _term(name: str, texts: Mapping[str, str], refs: dict[str, str]) -> str:
    """The identifier of one license, known or not."""
    known = _identifier(name)
    if known:
        return known
    text = texts.get(name, name)
    # Packages use one name, "public-domain", for texts that differ.
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    ref = f"LicenseRef-{_NO_REF.sub('-', name).strip('-.')[:100] or 'unnamed'}-{digest}"
    refs[ref] = text
    return ref


def _identifier(name: str) -> str:
    lower = name.lower()
    if lower in _NAMES:
        return _NAMES[lower]
    gnu = _GNU.fullmatch(name)
    if gnu:
        kind, major, minor, _, later = gnu.groups()
        is_later = later in ("+", "-or-later")
        suffix = "or-later" if is_later else "only"
        return _known(f"{kind.upper()}-{major}{minor or '.0'}-{suffix}")
    return _known(name)


def _known(name: str) -> str:
    identifier: str = _identifiers().get(name.lower(), "")
    return identifier


@functools.lru_cache(maxsize=1)
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


@functools.lru_cache(maxsize=1)
def _identifiers() -> dict[str, str]:
    symbols = _licensing().known_symbols
    return {
        key.lower(): key
        for key, symbol in symbols.items()
        if not _is_ref(key) and not symbol.is_exception
    }


def _is_ref(key: str) -> bool:
    return key.startswith("LicenseRef-")
