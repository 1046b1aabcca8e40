"""The lock file of a root of packages: what to take from where, one JSON object a line.

The first line is the header, `{"kind":"packages","request":{...},"schema":1}`: the SHA-256 of each
field of the request that is not as by default. The others are canonical JSON (sorted keys, no
blanks): suites, packages, links and made files, each kind in order. packages/lock.schema.json is
the JSON schema of such a line. A .deb's SHA-256 pins what is in it, so no file of it is listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from occlum_build.errors import OcclumError, Place
from occlum_build.files.json_text import load_json
from occlum_build.image.manifest import canonical_json
from occlum_build.shown import quoted

if TYPE_CHECKING:  # who reads a lock does not always merge
    from occlum_build.packages.alternatives import Link
    from occlum_build.packages.merge import MadeFile

SCHEMA_VERSION = 1
KIND = "packages"
CODE = "packages-lock"
_BEGIN = b'{"kind":"packages"'
_HINT_WRITTEN = "correct what is asked for, or what the archive's index has"
_HEADER = {"kind", "request", "schema"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}(?:[0-9A-F]{24})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MODE = re.compile(r"[0-7]{4}")
_ABSOLUTE = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[^/\0]+)+")
_POOL = re.compile(r"(?!/)(?:(?!\.{1,2}(?:/|\Z))[^/\0]+(?:/(?!\Z)|\Z))+")
MAX_SIZE = 1 << 50  # of a file, in bytes


class LockedSuite(NamedTuple):
    """A suite as it was: date of its Release, SHA-256 of that, fingerprints of its signers."""

    archive: str
    suite: str
    date: str
    inrelease: str
    signed_by: tuple[str, ...]


class LockedPackage(NamedTuple):
    """A .deb: path in the archive; archive is "" for a file of the project. size in bytes."""

    package: str
    version: str
    architecture: str
    archive: str
    path: str
    sha256: str
    size: int


class LockedLink(NamedTuple):
    """A link that no package has. by: what makes it."""

    path: str
    target: str
    by: str


class LockedMade(NamedTuple):
    """A file that no package has. mode: four octal digits; size in bytes."""

    path: str
    mode: str
    sha256: str
    size: int
    by: str


Locked = Union[LockedSuite, LockedPackage, LockedLink, LockedMade]
_TYPES: dict[str, type[Locked]] = {
    "suite": LockedSuite,
    "package": LockedPackage,
    "link": LockedLink,
    "made": LockedMade,
}
_ORDER = {kind: number for number, kind in enumerate(_TYPES.values())}


@dataclass(frozen=True)
class PackagesLock:
    """What a lock file says. request: the digests of config.PackagesRequest."""

    request: Mapping[str, str]
    suites: tuple[LockedSuite, ...] = ()
    packages: tuple[LockedPackage, ...] = ()
    links: tuple[LockedLink, ...] = ()
    made: tuple[LockedMade, ...] = ()

    def date_of(self, archive: str, suite: str) -> str:
        """The date of a suite, "" where the lock has none."""
        found = (one.date for one in self.suites if (one.archive, one.suite) == (archive, suite))
        return next(found, "")

    def newest_date(self, archive: str) -> str:
        """The date of the suite of an archive that was updated last; "" where there is none."""
        return max((one.date for one in self.suites if one.archive == archive), default="")

    def added_links(self) -> list[Link]:
        """The links that no package has, as merge.merge takes them."""
        from occlum_build.packages.alternatives import Link

        return [Link(one.path, one.target, one.by) for one in self.links]

    def made_files(self) -> list[MadeFile]:
        """The files that no package has, as merge.merge takes them."""
        from occlum_build.packages.merge import MadeFile

        return [
            MadeFile(one.path, int(one.mode, 8), one.size, one.sha256, one.by) for one in self.made
        ]


def write_lock(lock: PackagesLock) -> bytes:
    """The lock file's content.

    Raises OcclumError `packages-lock` for what could not be read again.
    """
    header = {"kind": KIND, "request": dict(lock.request), "schema": SCHEMA_VERSION}
    rows: list[Locked] = [*lock.suites, *lock.packages, *lock.links, *lock.made]
    lines = [header, *(_to_json(one) for one in sorted(rows, key=_key))]
    written = [canonical_json(line) for line in lines]
    data = b"".join(line + b"\n" for line in written)
    try:
        read_lock(data, "")
    except OcclumError as error:
        problem = error.problems[0]
        line = written[problem.place.line - 1 if problem.place else 0]
        message = f"this cannot be locked: {quoted(line.decode())} ({problem.message})"
        raise OcclumError(CODE, message, hint=_HINT_WRITTEN) from None
    return data


def check_replaced(data: bytes, file: str) -> None:
    """Raise OcclumError `packages-lock` for a file that is there and no lock file, even a damaged.

    A conflict of a merge may come before the header.
    """
    if data and not re.search(rb"^" + re.escape(_BEGIN), data, re.MULTILINE):
        hint = "let the lock file be another one, or remove this if nobody needs it"
        message = "this is no lock file of packages, and would be replaced by one"
        raise OcclumError(CODE, message, place=Place(file), hint=hint)


def _key(one: Locked) -> tuple[Any, ...]:
    return _ORDER[type(one)], one[: 2 if isinstance(one, LockedSuite) else 1]


def _to_json(one: Locked) -> dict[str, Any]:
    kind = next(name for name, type_ in _TYPES.items() if type_ is type(one))
    fields = {key: value for key, value in one._asdict().items() if value != ""}
    return {**fields, "type": kind}


def read_lock(data: bytes, file: str) -> PackagesLock:
    """Parse a lock file; `file` names it in errors.

    Raises OcclumError `packages-lock` for the first bad line.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = Place(file, data.count(b"\n", 0, error.start) + 1)
        raise _damaged(place, "the line is not UTF-8") from None
    lines = data.split(b"\n")
    request = _request(lines[0], Place(file, 1))
    if lines[-1]:
        raise _damaged(Place(file, len(lines)), "the last line is not complete")
    rows: list[Locked] = []
    for number, line in enumerate(lines[1:-1], start=2):
        one = _row(line, Place(file, number))
        if rows and _key(one) <= _key(rows[-1]):
            message = f"{_shown(one)} does not come after {_shown(rows[-1])}"
            raise _damaged(Place(file, number), message)
        rows.append(one)
    return PackagesLock(
        request,
        tuple(one for one in rows if isinstance(one, LockedSuite)),
        tuple(one for one in rows if isinstance(one, LockedPackage)),
        tuple(one for one in rows if isinstance(one, LockedLink)),
        tuple(one for one in rows if isinstance(one, LockedMade)),
    )


def _shown(one: Locked) -> str:
    if isinstance(one, LockedSuite):
        return f"suite {one.suite} of {one.archive}"
    return f"package {one.package}" if isinstance(one, LockedPackage) else one.path


def _request(line: bytes, place: Place) -> dict[str, str]:
    """What the header says of the request. Raises OcclumError where it is of something else."""
    header = _json(line, place)
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise _damaged(place, "this is no lock file of packages")
    schema = header.get("schema")
    if type(schema) is not int or schema != SCHEMA_VERSION:
        raise OcclumError(
            CODE,
            f"the lock file has schema {schema!r:.20}, not {SCHEMA_VERSION}",
            place=place,
            hint="generate it anew, or use the version of the backend that wrote it",
        )
    request = header.get("request")
    is_request = isinstance(request, dict) and all(
        isinstance(value, str) and _SHA256.fullmatch(value) for value in request.values()
    )
    if not is_request or header.keys() != _HEADER or canonical_json(header) != line:
        raise _damaged(place, "the header is not what is written there")
    found: dict[str, str] = header["request"]
    return found


def _json(line: bytes, place: Place) -> Any:
    try:
        return load_json(line, place.file)
    except OcclumError as error:
        what = error.problems[0].message.partition(":")[0]  # what the reader expected helps nobody
        raise _damaged(place, f"the line is {what}") from None


def _row(line: bytes, place: Place) -> Locked:
    value = _json(line, place)
    if not isinstance(value, dict):
        raise _damaged(place, "the line is not a JSON object")
    kind = value.get("type")
    type_ = _TYPES.get(kind) if isinstance(kind, str) else None
    if type_ is not None:
        fields = {key: found for key, found in value.items() if key != "type"}
        if type_ is LockedPackage:
            fields.setdefault("archive", "")
        if fields.keys() == set(type_._fields) and all(
            _is_right(type_, key, found) for key, found in fields.items()
        ):
            signers = fields.get("signed_by")
            one = type_(**{**fields, "signed_by": tuple(signers)} if signers else fields)
            if canonical_json(_to_json(one)) == line:
                return one
    raise _damaged(place, "the line is not what is written there")


_PATTERNS = {
    "archive": re.compile(r"[^\0]*"),
    "by": re.compile(r"[^\0]+"),
    "date": _DATE,
    "inrelease": _SHA256,
    "mode": _MODE,
    "sha256": _SHA256,
    "target": re.compile(r"[^\0]+"),
}
_NOT_EMPTY = re.compile(r"[^\s\0]+")


def _is_right(type_: type[Locked], key: str, value: Any) -> bool:
    """Whether a field of a line has a value of its kind."""
    if key == "size":
        return type(value) is int and 0 <= value <= MAX_SIZE
    if key == "signed_by":
        return (
            isinstance(value, list)
            and bool(value)
            and all(isinstance(one, str) and _FINGERPRINT.fullmatch(one) for one in value)
        )
    if not isinstance(value, str):
        return False
    if key == "path":
        return bool((_POOL if type_ is LockedPackage else _ABSOLUTE).fullmatch(value))
    return _PATTERNS.get(key, _NOT_EMPTY).fullmatch(value) is not None


def _damaged(place: Place, message: str) -> OcclumError:
    hint = "do not edit the lock file: generate it anew, after a conflict too"
    return OcclumError(CODE, message, place=place, hint=hint)
