"""Reads the members of one JSON object by type, as serde does, and finds what it does not know.

A member that is wrong or missing is reported and read as an empty value of its type, so that the
rest is still checked; the findings know that it is not usable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from occlum_build.errors import Place
from occlum_build.sgx.config.default import default_config
from occlum_build.sgx.config.findings import Findings, Path, shown
from occlum_build.sgx.config.jsontext import Array, Node, Object, Scalar, plain
from occlum_build.sgx.config.sizes import parse_size, size_hint

U32_MAX = 2**32 - 1
# The version of Occlum whose first release wants a key; all other keys are as old as Occlum.json.
_SINCE: Mapping[Path, str] = {
    ("feature",): "0.30.1",
    ("metadata", "enable_kss"): "0.26",
    ("metadata", "ext_prod_id"): "0.26",
    ("metadata", "family_id"): "0.26",
}


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint that names the most similar known word, or all of them."""
    # Only short words can resemble a known one; difflib is slow on long ones.
    close = get_close_matches(word, known, 1) if len(word) <= 64 else []
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(known))}"


def missing_key_hint(path: Path) -> str:
    """What to write where a key is missing, as Occlum's default has it; "" where that has none."""
    node: Node | None = default_config()
    for step in path:
        node = node.get(step) if isinstance(node, Object) and isinstance(step, str) else None
    if node is None:
        return ""
    since = f"Occlum wants it since version {_SINCE[path]}; " if path in _SINCE else ""
    return f"{since}the default is {json.dumps({path[-1]: plain(node)})[1:-1]}"


def kind(node: Node) -> str:
    """What a node is, in words for a message."""
    if isinstance(node, Object):
        return "an object"
    if isinstance(node, Array):
        return "a list"
    if node.value is None or isinstance(node.value, bool):
        return node.raw
    if isinstance(node.value, str):
        return f"the string {shown(node.value)}"
    return f"the number {shown(node.raw)[1:-1]}"


class Fields:
    """One object of the file: each method reads the member `name`."""

    def __init__(
        self,
        findings: Findings,
        path: Path,
        node: Object,
        known: Sequence[str],
        moved: Mapping[str, str] | None = None,
    ) -> None:
        """`moved` has for keys that are read no more, the hint where to put them."""
        self.findings = findings
        self.path = path
        self._node = node
        for key in node.repeated:
            if key.name in known:
                where, message = self.at(key.name), "the key is given more than once"
                findings.error("config-repeated-key", where, message, place=key.place, spoils=False)
        for key, _ in node.members:
            if key.name not in known:
                hint = (moved or {}).get(key.name) or nearest(key.name, known)
                where, message = self.at(key.name), "unknown key: it is ignored"
                findings.warn("config-unknown-key", where, message, hint, place=key.place)

    def at(self, name: str) -> Path:
        return (*self.path, name)

    def node(self, name: str) -> Node | None:
        """A required member of any type."""
        found = self._node.get(name)
        if found is None:
            where = self.at(name)
            message = "the key is missing"
            self.findings.error("config-missing-key", where, message, missing_key_hint(where))
        return found

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        found = self._node.get(name)
        return found is not None and not (isinstance(found, Scalar) and found.value is None)

    def given(self, name: str) -> bool:
        """Whether the member is there, be it null."""
        return self._node.get(name) is not None

    def u32(self, name: str) -> int:
        found = self.node(name)
        value = found.value if isinstance(found, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= U32_MAX:
            return value
        self._wrong(name, found, f"a whole number from 0 to {U32_MAX}")
        return 0

    def boolean(self, name: str) -> bool:
        found = self.node(name)
        if isinstance(found, Scalar) and isinstance(found.value, bool):
            return found.value
        self._wrong(name, found, "true or false")
        return False

    def text(self, name: str) -> str:
        found = self.node(name)
        if isinstance(found, Scalar) and isinstance(found.value, str):
            return found.value
        self._wrong(name, found, "a string")
        return ""

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def size(self, name: str) -> int:
        """A size in bytes, from its text."""
        text = self.text(name)
        size = parse_size(text)
        if size is None:
            message = f"{shown(text)} is not a size"
            self.findings.error("config-size", self.at(name), message, size_hint(text))
        return size or 0

    def section(
        self, name: str, known: Sequence[str], moved: Mapping[str, str] | None = None
    ) -> Fields:
        """The fields of a member that is an object; without one, all of them are placeholders."""
        found = self.node(name)
        if isinstance(found, Object):
            return Fields(self.findings, self.at(name), found, known, moved)
        self._wrong(name, found, "an object")
        return Fields(self.findings, self.at(name), Object(Place(""), ()), known)

    def items(self, name: str) -> Sequence[Node]:
        found = self.node(name)
        if isinstance(found, Array):
            return found.items
        self._wrong(name, found, "a list")
        return ()

    def _wrong(self, name: str, found: Node | None, wanted: str) -> None:
        if found is not None:
            message = f"expected {wanted}, found {kind(found)}"
            self.findings.error("config-type", self.at(name), message)
