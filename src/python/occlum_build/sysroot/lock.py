"""The lock file of a sysroot: what plans saw there, pinned, one JSON object a line.

The first line is the header, `{"schema":2}`; the others are canonical JSON (sorted keys, no
blanks), sorted by path. sysroot/lock.schema.json is the JSON schema of such a line.

Schema 1 has the same lines, but `elf` did not tell of archives.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from occlum_build.errors import OcclumError, Place
from occlum_build.files.json_text import load_json
from occlum_build.image.manifest import canonical_json
from occlum_build.sources.model import DIR, FIFO, FILE, OTHER, SYMLINK, SourceStat

SCHEMA_VERSION = 2
_READ_VERSIONS = (SCHEMA_VERSION, 1)
_TYPES = (DIR, FIFO, FILE, OTHER, SYMLINK)
_HEX = frozenset("0123456789abcdef")
_PATH = re.compile(r"/|(?:/(?!\.{1,2}(?:/|\Z))[^/]+)+")


class Pin(NamedTuple):
    """One entry of a sysroot, by its real path.

    type: a kind of occlum_build.sources.model. Of a file whose content counts: mode (permission
    bits), size in bytes, sha256 in lower-case hex, and what SourceStat.is_elf_or_zip tells (None
    where the lock file does not); a file without these is only known to be there. Of a directory
    whose names count (`listing`): its mode; the pins below it are all that it holds. target: that
    of a link. package, version: the owner by the package manager's database, "" where there is
    none.
    """

    path: str
    type: str
    mode: int = 0
    size: int = 0
    sha256: str = ""
    elf: bool | None = False
    target: str = ""
    listing: bool = False
    package: str = ""
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """The pin as it stands in a lock file."""
        value: dict[str, Any] = {"path": self.path, "type": self.type}
        if self.sha256 or self.listing:
            value["mode"] = f"{self.mode:04o}"
        if self.sha256:
            value.update(size=self.size, sha256=self.sha256)
        for key, kept in zip(_OPTIONAL, self[_FIRST_OPTIONAL:]):
            if kept:
                value[key] = kept
        return value

    def stat(self) -> SourceStat:
        """What a planner is told of the entry."""
        is_elf_or_zip = self.elf if self.sha256 else None
        mode = 0o777 if self.type == SYMLINK else self.mode  # Linux knows no other
        return SourceStat(self.type, mode, self.size, self.target, self.sha256, is_elf_or_zip)


_OF_EACH_TYPE = Pin("", "")
_FIRST_OPTIONAL = Pin._fields.index("elf")
_OPTIONAL = Pin._fields[_FIRST_OPTIONAL:]


@dataclass(frozen=True)
class Lock:
    """The pins by path; the directory of each is one of them, up to the root.

    names: directory whose listing is pinned -> the sorted names in it.
    """

    pins: Mapping[str, Pin]
    names: Mapping[str, tuple[str, ...]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        names: dict[str, list[str]] = {path: [] for path, pin in self.pins.items() if pin.listing}
        for path in sorted(self.pins):
            parent, name = posixpath.split(path)
            if name and parent in names:
                names[parent].append(name)
        object.__setattr__(self, "names", {path: tuple(found) for path, found in names.items()})


def write_lock(lock: Lock) -> bytes:
    """The lock file's content."""
    lines = [canonical_json({"schema": SCHEMA_VERSION})]
    lines += (canonical_json(lock.pins[path].to_json()) for path in sorted(lock.pins))
    return b"".join(line + b"\n" for line in lines)


def read_lock(data: bytes, file: str) -> Lock:
    """Parse a lock file; `file` names it in errors. Raises OcclumError for the first bad line."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = Place(file, data.count(b"\n", 0, error.start) + 1)
        raise _damaged(place, "the line is not UTF-8") from None
    lines = data.split(b"\n")
    schema = _schema(lines[0], Place(file, 1))
    if lines[-1]:
        raise _damaged(Place(file, len(lines)), "the last line is not complete")
    pins: dict[str, Pin] = {}
    last = ""
    for number, line in enumerate(lines[1:-1], start=2):
        pin = _pin(line, Place(file, number))
        parent = posixpath.dirname(pin.path)
        if pin.path <= last:
            raise _damaged(Place(file, number), f"{pin.path} does not come after {last}")
        if pin.path != "/" and (parent not in pins or pins[parent].type != DIR):
            raise _damaged(Place(file, number), f"{parent}, where {pin.path} is, is not pinned")
        if schema == 1 and pin.sha256 and not pin.elf:
            pin = pin._replace(elf=None)
        pins[pin.path] = pin
        last = pin.path
    return Lock(pins)


def _schema(line: bytes, place: Place) -> int:
    """The version that the header names. Raises OcclumError where that cannot be read."""
    header = _json(line, place)
    if not isinstance(header, dict) or header.keys() != {"schema"}:
        raise _damaged(place, "this is no lock file of a sysroot")
    schema = header["schema"]
    if type(schema) is int and schema in _READ_VERSIONS:
        return schema
    raise OcclumError(
        "sysroot-lock",
        f"the lock file has schema {schema!r:.20}, not {' or '.join(map(str, _READ_VERSIONS))}",
        place=place,
        hint="generate it anew, or use the version of the backend that wrote it",
    )


def _json(line: bytes, place: Place) -> Any:
    try:
        return load_json(line, place.file)
    except OcclumError as error:
        what = error.problems[0].message.partition(":")[0]  # what the reader expected helps nobody
        raise _damaged(place, f"the line is {what}") from None


def _pin(line: bytes, place: Place) -> Pin:
    value = _json(line, place)
    if not isinstance(value, dict):
        raise _damaged(place, "the line is not a JSON object")
    try:
        pin = Pin(**{**value, "mode": int(value.get("mode", "0"), 8)})
        if _is_sound(pin) and pin.to_json() == value:
            return pin
    except (TypeError, ValueError):
        pass  # no field, no octal number: told below, as all that is wrong with a line
    raise _damaged(place, "the line is not what `generate-lockfiles` writes")


def _is_sound(pin: Pin) -> bool:
    """Whether the values have the right types and fit."""
    if any(type(value) is not type(default) for value, default in zip(pin, _OF_EACH_TYPE)):
        return False
    is_content = len(pin.sha256) == 64 and set(pin.sha256) <= _HEX
    return (
        _PATH.fullmatch(pin.path) is not None
        and pin.type in _TYPES
        and 0 <= pin.mode <= 0o7777
        and pin.size >= 0
        and (is_content if pin.type == FILE and pin.sha256 else not pin.sha256)
        and bool(pin.elf) <= bool(pin.sha256)
        and pin.listing <= (pin.type == DIR)
        and bool(pin.target) == (pin.type == SYMLINK)
    )


def _damaged(place: Place, message: str) -> OcclumError:
    hint = "do not edit the lock file: generate it anew, after a conflict too"
    return OcclumError("sysroot-lock", message, place=place, hint=hint)
