"""Which files of an installed toolchain an enclave gets: found, and checked, in a sysroot."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from dataclasses import dataclass, field

from occlum_build.elf.facts import Malformed
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.occlum.toolchain import (
    ABOVE_OCCLUM,
    ALL_OF_AN_ENCLAVE,
    OCCLUM_DIR,
    SIGN_KEY,
    VERSION_HEADER,
    ToolFile,
    check_version,
    missing,
    parse_version,
    required_files,
)
from occlum_build.occlum.toolchain_content import (
    HEADER_ROLE,
    KEY_ROLE,
    MAX_STAND_IN_BYTES,
    TEMPLATE_ROLE,
    check_code,
    check_content,
)
from occlum_build.occlum.toolchain_links import follow
from occlum_build.sources.model import DIR, FILE, Sources, SourceStat
from pants_occlum.sysroot.sysroots import Sysroot

HEADER_FILE = ToolFile(HEADER_ROLE, (VERSION_HEADER,))
_GROUPS = (*ALL_OF_AN_ENCLAVE, SIGN_KEY)
_OPTIONAL = (SIGN_KEY,)


@dataclass(frozen=True)
class Installation:
    """An installed toolchain, and the version that it must have, "" for any.

    sysroot: where it is installed; None for a directory of this machine.
    """

    root: str
    sgx_mode: str
    version: str
    sysroot: Sysroot | None = None

    @property
    def system(self) -> str:
        """The root of the system around it, or its own."""
        root = posixpath.normpath(self.root)
        if root.endswith(f"/{OCCLUM_DIR}"):
            return root[: -len(OCCLUM_DIR)].rstrip("/") or "/"
        return root


@dataclass(frozen=True)
class Found:
    """What was found of an installation: its version, and place and real path by role."""

    version: str = ""
    files: dict[str, tuple[str, str]] = field(default_factory=dict)


def find_files(request: Installation, sources: Sources, report: Report) -> Found:
    """Look a toolchain's files up; what is wrong goes into the report."""
    system = request.system
    is_system = posixpath.normpath(request.root) != system or _has_occlum(sources, system)
    places = _Places(sources, system, is_system)
    with report:
        header = places.file(HEADER_FILE)
        text = sources.read(header[1]) if header is not None else None
        if text is None:
            return Found()
        place = Place(places.shown(VERSION_HEADER))
        version = parse_version(text.decode("utf-8", "replace"), place)
        found = Found(check_version(version, request.version, place))
        for file in wanted_files(found.version, request.sgx_mode):
            with report:
                chosen = places.file(file)
                if chosen is not None:
                    sources.sha256(chosen[1])
                    places.check(file.role, *chosen)
                    found.files[file.role] = chosen
        return found
    return Found()


def _has_occlum(sources: Sources, system: str) -> bool:
    """Whether anything stands at Occlum's place in a system."""
    sources.expect(f"/{VERSION_HEADER}")
    with suppress(OcclumError):  # of a link or file in its way: each place below tells it
        places = _Places(sources, system, is_system=True)
        return follow(OCCLUM_DIR, places.look, places.shown, system, "") is not None
    return True


@dataclass(frozen=True)
class _Places:
    """Where the places of a toolchain are below a root; `is_system` unless that is Occlum's own."""

    sources: Sources
    system: str
    is_system: bool

    def file(self, file: ToolFile) -> tuple[str, str] | None:
        """Place and real path of a file; None for an optional one that is not there."""
        errors = []
        for place in file.places:
            self.sources.expect(self.at(place))
            try:
                real = follow(place, self.look, self.shown, self.system, file.role)
                found = self.sources.lstat(self.at(real)) if real is not None else None
                if found is not None and found.kind != FILE:
                    message = "is not a regular file"
                    raise OcclumError("toolchain", message, place=Place(self.shown(place)))
            except OcclumError as error:
                errors.append(error)
                continue
            if real is not None and found is not None:
                return place, self.at(real)
        if errors:
            raise errors[0]
        if file.role in _OPTIONAL:
            return None
        raise OcclumError.of([missing(file, map(self.shown, file.places))])

    def check(self, role: str, place: str, path: str) -> None:
        """Raise as `check_content` does, of facts where that is possible."""
        stat = self.sources.lstat(path)
        if stat is None or role in (HEADER_ROLE, KEY_ROLE):
            return
        is_template = role == TEMPLATE_ROLE
        facts = self.sources.facts(path)
        if is_template or (facts is None and stat.size <= MAX_STAND_IN_BYTES):
            content = self.sources.read(path)
            if content is not None:
                check_content(role, content, self.shown(place))
            return
        malformed = self.sources.malformed(path)
        found = Malformed(malformed) if malformed else facts
        check_code(role, found, self.shown(place))

    def at(self, place: str) -> str:
        """The path of a place: in a system's root, or in a directory that is Occlum's own."""
        if self.is_system or not f"{place}/".startswith(f"{OCCLUM_DIR}/"):
            return f"/{place}"
        return place[len(OCCLUM_DIR) :] or "/"

    def shown(self, place: str) -> str:
        """The path of a place as errors name it."""
        return posixpath.join(self.system, self.at(place)[1:])

    def look(self, place: str) -> SourceStat | None:
        """What stands at a place, for `follow`."""
        if not self.is_system and place in ABOVE_OCCLUM:
            return SourceStat(DIR)
        return self.sources.lstat(self.at(place))


def wanted_files(version: str, sgx_mode: str) -> tuple[ToolFile, ...]:
    """The files that an enclave may need, the version header first."""
    return (HEADER_FILE, *required_files(version, sgx_mode, _GROUPS))
