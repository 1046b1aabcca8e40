"""The list of what this plugin uses of newer versions of Pants, and whether a use is in it.

`.ci/pants_sources.py write` writes the list, pants_api.json, from Pants' sources.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from pants_uses import Call, Use, Version, flags_at

MISSING = "missing"
# As `(digest, prefix=...)`; None is a symbol that is no function or class, or whose parameters
# the sources do not tell; MISSING is none at all.
Signature = Optional[str]


@dataclass(frozen=True)
class Api:
    """Signatures of symbols by the versions of Pants that they were read from.

    `commits` are those of the versions; of a symbol only the versions are kept that change it.
    """

    commits: Mapping[str, str]
    symbols: Mapping[str, Mapping[str, Signature]]

    @staticmethod
    def read(text: str) -> Api:
        read = json.loads(text)
        return Api(read["commits"], read["symbols"])

    @staticmethod
    def of(commits: Mapping[str, str], read: Mapping[str, Mapping[str, Signature]]) -> Api:
        """From the signatures by symbol and version, which may be equal in several versions."""
        symbols: dict[str, dict[str, Signature]] = {}
        for symbol, signatures in read.items():
            changes = symbols[symbol] = {}
            last: object = changes
            for version in sorted(signatures, key=in_order):
                if signatures[version] != last:
                    last = changes[version] = signatures[version]
        return Api(commits, symbols)

    def text(self) -> str:
        plain = {"commits": self.commits, "symbols": self.symbols}
        return json.dumps(plain, indent=1, sort_keys=True) + "\n"

    def versions(self) -> list[str]:
        return sorted(self.commits, key=in_order)

    def signature(self, symbol: str, version: str) -> Signature:
        """Raises KeyError for a symbol that is not in the list."""
        changes = self.symbols[symbol]
        known = [one for one in changes if in_order(one) <= in_order(version)]
        return changes[max(known, key=in_order)]


def in_order(version: str) -> tuple[int, ...]:
    """The key that sorts versions."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def problems(uses: Iterable[Use], api: Api, since: Mapping[str, Version]) -> list[str]:
    """What the list does not have or does not allow: place, symbol, versions and what is wrong."""
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    versions = [(version, flags_at(since, version)) for version in api.versions()]
    for use in uses:
        for version, flags in versions:
            wrong = _wrong(use, api, version) if use.reached(flags) else None
            if wrong:
                found.setdefault((use.place, use.symbol, wrong), {})[version] = None
    return [
        f"{place}: {symbol} {wrong} (Pants {', '.join(on)})"
        for (place, symbol, wrong), on in found.items()
    ]


def _wrong(use: Use, api: Api, version: str) -> str | None:
    if use.symbol not in api.symbols:
        return "is not in pants_api.json, see docs/pants-versions.md"
    signature = api.signature(use.symbol, version)
    if signature == MISSING:
        return "is not there"
    if use.call is None or signature is None:
        return None
    try:
        _bind(use.call, parse(signature))
    except TypeError as error:
        return f"{signature} does not fit this call: {error}"
    return None


def _bind(call: Call, signature: inspect.Signature) -> None:
    bind = signature.bind_partial if call.more else signature.bind
    bind(*[None] * call.positional, **dict.fromkeys(call.names))


def parse(signature: str) -> inspect.Signature:
    """A signature in Python's notation. What its defaults are is not kept."""
    expression = ast.parse(f"lambda {signature[1:-1]}: None", mode="eval").body
    assert isinstance(expression, ast.Lambda)
    given, kind = expression.args, inspect.Parameter
    names = [(one.arg, kind.POSITIONAL_ONLY) for one in given.posonlyargs]
    found = [*names, *((one.arg, kind.POSITIONAL_OR_KEYWORD) for one in given.args)]
    required = len(found) - len(given.defaults)
    parameters = [
        kind(name, how, default=kind.empty if index < required else None)
        for index, (name, how) in enumerate(found)
    ]
    if given.vararg:
        parameters.append(kind(given.vararg.arg, kind.VAR_POSITIONAL))
    for one, default in zip(given.kwonlyargs, given.kw_defaults):
        parameters.append(kind(one.arg, kind.KEYWORD_ONLY, default=None if default else kind.empty))
    if given.kwarg:
        parameters.append(kind(given.kwarg.arg, kind.VAR_KEYWORD))
    return inspect.Signature(parameters)
