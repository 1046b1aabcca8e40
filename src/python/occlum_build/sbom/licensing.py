"""License expressions of SPDX, made of what packages declare.

The identifiers are those that the library license-expression knows. Whatever has none becomes a
`LicenseRef-`, as the specification of SPDX 2.3, annex D, has it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

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
_TOKEN = re.compile(r"[()]|[A-Za-z0-9.+\-]+")
_OPERATORS: tuple[str, ...] = ("AND", "OR", "WITH")
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
    """The expression with the names as SPDX has them; "" for what is none.

    license-expression, whose parser asserts what it expects, is not asked.
    """
    if len(text) > MOST_CHARACTERS or not _SPDX.fullmatch(text):
        return ""
    tokens = _TOKEN.findall(text)
    operators: tuple[str, ...] = _OPERATORS
    depth, last = 0, "("
    for number, token in enumerate(tokens):
        is_operand_due = last in ("(", *_OPERATORS)
        name = _identifiers(is_exception=last == "WITH").get(token.lower(), "")
        if name and is_operand_due:
            tokens[number] = name
        elif token == "(" and is_operand_due and last != "WITH":
            depth += 1
        elif token == ")" and not is_operand_due and depth:
            depth -= 1
        elif token not in operators or is_operand_due:
            return ""
        # Of one license alone there may be one exception.
        operators = _OPERATORS if name and last != "WITH" else ("AND", "OR")
        last = token
    if depth or last in ("(", *_OPERATORS):
        return ""
    return " ".join(tokens).replace("( ", "(").replace(" )", ")")


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
    return _identifiers(is_exception=False).get(name.lower(), "")


@functools.lru_cache(maxsize=2)
def _identifiers(*, is_exception: bool) -> dict[str, str]:
    """Those of licenses, or of exceptions to them, by their names in lower case."""
    from license_expression import get_spdx_licensing

    return {
        key.lower(): key
        for key, symbol in get_spdx_licensing().known_symbols.items()
        if symbol.is_exception == is_exception and not key.startswith("LicenseRef-")
    }
