"""Reads the lock file of a Pants resolve: what pex locked, as JSON below a header of comments.

The format is that of pex (pex/resolve/lockfile/json_codec.py), with Pants' metadata before it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from occlum_build.errors import OcclumError, Place
from occlum_build.files.json_text import load_json
from occlum_build.files.shape import AnyOf, ListOf, check_shape
from occlum_build.shown import quoted

CODE = "wheels-lock"
HINT = "let `generate-lockfiles` of Pants, or `pex3 lock create --style universal`, write it"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOCKED = {
    "project_name": str,
    "version": str,
    "requires_dists": ListOf(str),
    "requires_python": AnyOf((str, None)),
    "artifacts": ListOf({"algorithm": str, "hash": str, "url": str}),
}
_SHAPE = {
    "locked_resolves": ListOf(
        {"locked_requirements": ListOf(_LOCKED), "platform_tag?": AnyOf((ListOf(str), None))}
    ),
    "requirements": ListOf(str),
    "excluded?": ListOf(str),
}


@dataclass(frozen=True)
class Artifact:
    """A file of a distribution: a wheel or a source distribution. file: its name."""

    file: str
    url: str
    sha256: str


@dataclass(frozen=True)
class LockedDistribution:
    """One distribution; its requirements and specifiers are texts of its metadata."""

    name: str
    version: str
    requires: tuple[str, ...]
    requires_python: str
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True)
class WheelsLock:
    """What a resolve locks, by normalised name. file: what errors call the lock file."""

    file: str
    requirements: tuple[str, ...]
    excluded: tuple[str, ...]
    distributions: Mapping[str, LockedDistribution]


@dataclass(frozen=True)
class Wheel:
    """A wheel of a distribution, by its normalised name. file: the name of the wheel."""

    name: str
    version: str
    file: str
    url: str
    sha256: str


def read_lock(data: bytes, name: str) -> WheelsLock:
    """Raises OcclumError `wheels-lock` for what is no lock of one universal resolve."""
    try:
        value = load_json(_without_header(data), name, code=CODE)
        check_shape(value, _SHAPE, name, code=CODE)
    except OcclumError as error:
        first = error.problems[0]
        raise OcclumError(CODE, first.message, place=first.place, hint=HINT) from None
    resolves = value["locked_resolves"]
    if len(resolves) != 1 or resolves[0].get("platform_tag"):
        message = "it has a resolve for each platform, and not one for all"
        raise _damaged(name, message if resolves else "it has no resolve")
    found: dict[str, LockedDistribution] = {}
    for one in resolves[0]["locked_requirements"]:
        locked = _distribution(one, name)
        if locked.name in found:
            raise _damaged(name, f"it has {quoted(locked.name)} twice")
        found[locked.name] = locked
    excluded = tuple(value.get("excluded", ()))
    return WheelsLock(name, tuple(value["requirements"]), excluded, found)


def _without_header(data: bytes) -> bytes:
    """Without the comments before the JSON; their lines stay, so that errors name the right one."""
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        if line.strip() and not line.startswith(b"//"):
            return b"\n" * number + b"\n".join(lines[number:])
    return b""


def _distribution(value: Mapping[str, Any], name: str) -> LockedDistribution:
    project, version = value["project_name"], value["version"]
    if not _is_version(version):
        raise _damaged(name, f"the version {quoted(version)} of {quoted(project)} is none")
    return LockedDistribution(
        str(canonicalize_name(project)),
        version,
        tuple(value["requires_dists"]),
        value["requires_python"] or "",
        _artifacts(value["artifacts"], project, name),
    )


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return text == text.strip()  # which a Version does not mind


def _artifacts(
    values: Sequence[Mapping[str, str]], project: str, name: str
) -> tuple[Artifact, ...]:
    found = []
    for one in values:
        if one["algorithm"] != "sha256" or not _SHA256.fullmatch(one["hash"]):
            text = f"{quoted(project)} is locked by {quoted(one['algorithm'])}"
            raise _damaged(name, f"{text}, and not by the SHA-256 of its files")
        found.append(Artifact(_file_of(one["url"]), one["url"], one["hash"]))
    return tuple(found)


def _file_of(url: str) -> str:
    """The name of the file at a URL, which may be none."""
    try:
        return posixpath.basename(unquote(urlsplit(url).path))
    except ValueError:
        return ""


def _damaged(name: str, message: str) -> OcclumError:
    return OcclumError(CODE, message, place=Place(name), hint=HINT)
