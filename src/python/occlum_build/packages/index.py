"""The index of one .deb as a value that travels as JSON: what a root needs to know of it.

Entries with SHA-256, ELF facts, control fields, and what its scripts would do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from occlum_build.elf.facts import Outcome, Script, outcome_from_json, outcome_to_json
from occlum_build.errors import OcclumError, Place
from occlum_build.files.shape import ListOf, MapOf, check_shape
from occlum_build.image.manifest import canonical_json
from occlum_build.packages.alternatives import ALTERNATIVE_SHAPE, Alternative
from occlum_build.sources.model import DIR, FILE, SYMLINK

SCHEMA_VERSION = 1
CODE = "deb-index"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"[0-7]{4}")
_SHAPE = {
    "schema": int,
    "package": str,
    "version": str,
    "architecture": str,
    "merged_usr": bool,
    "control": MapOf(str),
    "dirs": MapOf(str),
    "files": MapOf({"mode": str, "sha256": str, "size": int}),
    "links": MapOf(str),
    "facts": MapOf({}),
    "alternatives": ListOf(ALTERNATIVE_SHAPE),
    "diversions": ListOf(str),
    "told": ListOf(str),
}


class Entry(NamedTuple):
    """What a package has at a path: a DIR or FILE with its mode, or a SYMLINK with its target.

    mode is the permission bits; size (bytes) and sha256 (lower-case hex) are those of a file.
    """

    type: str
    mode: int = 0
    size: int = 0
    sha256: str = ""
    target: str = ""


@dataclass(frozen=True)
class DebIndex:
    """What one .deb holds.

    control: fields of its control file by name. entries: canonical path -> entry, sorted. facts:
    SHA-256 of a file that is an ELF file, a zip archive or a script -> what it tells. alternatives
    are those that it installs, diversions the paths that it diverts, told what is left out or not
    imitated, as sentences.
    """

    package: str
    version: str
    architecture: str
    control: Mapping[str, str]
    entries: Mapping[str, Entry]
    facts: Mapping[str, Outcome]
    alternatives: tuple[Alternative, ...] = ()
    diversions: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    merged_usr: bool = True

    @property
    def name(self) -> str:
        """As messages call it: package and version."""
        return f"{self.package} {self.version}"

    def to_json(self) -> dict[str, Any]:
        """A plain dict with the version of its schema."""
        files, dirs, links = {}, {}, {}
        for path, entry in self.entries.items():
            if entry.type == FILE:
                mode = f"{entry.mode:04o}"
                files[path] = {"mode": mode, "sha256": entry.sha256, "size": entry.size}
            elif entry.type == DIR:
                dirs[path] = f"{entry.mode:04o}"
            else:
                links[path] = entry.target
        return {
            "schema": SCHEMA_VERSION,
            "package": self.package,
            "version": self.version,
            "architecture": self.architecture,
            "merged_usr": self.merged_usr,
            "control": dict(self.control),
            "dirs": dirs,
            "files": files,
            "links": links,
            "facts": {digest: _fact_to_json(one) for digest, one in self.facts.items()},
            "alternatives": [one.to_json() for one in self.alternatives],
            "diversions": list(self.diversions),
            "told": list(self.told),
        }

    @classmethod
    def from_json(cls, value: Any, name: str) -> DebIndex:
        """The inverse of `to_json`; OcclumError `deb-index` at the file `name`."""
        check_shape(value, _SHAPE, name, code=CODE)
        if value["schema"] != SCHEMA_VERSION:
            message = f"the index has schema {value['schema']}, not {SCHEMA_VERSION}"
            raise OcclumError(CODE, message, place=Place(name))
        try:
            return cls(
                package=value["package"],
                version=value["version"],
                architecture=value["architecture"],
                control=value["control"],
                entries=_entries(value),
                facts={key: _fact_from_json(one) for key, one in value["facts"].items()},
                alternatives=tuple(map(Alternative.from_json, value["alternatives"])),
                diversions=tuple(value["diversions"]),
                told=tuple(value["told"]),
                merged_usr=value["merged_usr"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"the index is damaged: {error}"
            raise OcclumError(CODE, message, place=Place(name)) from None


def _fact_to_json(fact: Outcome) -> Any:
    """As elsewhere, but what of a `#!` line is no UTF-8 by its bytes: it is no text of JSON."""
    value = outcome_to_json(fact)
    if isinstance(fact, Script) and not fact.line.isascii() and value is not None:
        value["script"] = {"hex": fact.line.encode("utf-8", "surrogateescape").hex()}
    return value


def _fact_from_json(value: Any) -> Outcome:
    if isinstance(value.get("script"), dict):
        line = bytes.fromhex(value["script"]["hex"]).decode("utf-8", "surrogateescape")
        return Script(line, value["ended"])
    return outcome_from_json(value)


def _entries(value: Mapping[str, Any]) -> dict[str, Entry]:
    found = {path: Entry(DIR, _mode(mode)) for path, mode in value["dirs"].items()}
    for path, file in value["files"].items():
        if not _SHA256.fullmatch(file["sha256"]) or file["size"] < 0:
            raise ValueError(path)
        found[path] = Entry(FILE, _mode(file["mode"]), file["size"], file["sha256"])
    found.update((path, Entry(SYMLINK, target=target)) for path, target in value["links"].items())
    if any(not path.startswith("/") or "/../" in f"{path}/" for path in found):
        raise ValueError("a path is not absolute")
    return dict(sorted(found.items()))


def _mode(text: str) -> int:
    if not _MODE.fullmatch(text):
        raise ValueError(f"the mode {text}")
    return int(text, 8)


def write_index(index: DebIndex) -> bytes:
    """The index as canonical JSON, with a line end."""
    return canonical_json(index.to_json()) + b"\n"
