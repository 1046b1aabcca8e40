"""Occlum's toolchain: which of its files a build needs, and where they are looked for.

Places are relative to the root of a system that has Occlum in `opt/occlum`. A toolchain in another
directory has the same files there, and those of the system around it beside them.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from occlum_build.elf.facts import LIBC
from occlum_build.errors import OcclumError, Place, Problem, Report
from occlum_build.files.bounds import CONFIG_BYTES, ENCLAVE_BYTES
from occlum_build.files.reading import read_file
from occlum_build.occlum.toolchain_content import KEY_ROLE, TEMPLATE_ROLE, check_content
from occlum_build.occlum.toolchain_links import follow
from occlum_build.shown import quoted
from occlum_build.sources.model import DIR, OTHER, SYMLINK, SourceStat

SGX_MODES = ("HW", "SIM", "HYPER")
OCCLUM_DIR = "opt/occlum"
INIT = f"{OCCLUM_DIR}/build/bin/init"
TEST_KEY = f"{OCCLUM_DIR}/etc/template/Enclave.pem"
VERSION_HEADER = f"{OCCLUM_DIR}/include/occlum_version.h"
SUPPORTED = re.compile(r"0\.31\.[0-9]+")

BUILD, INITFS, TEMPLATE, GLIBC, SIGN_KEY = "build", "initfs", "template", "glibc", "sign-key"
ALL_OF_AN_ENCLAVE = (BUILD, INITFS, TEMPLATE)

_SUFFIX = {"HW": "", "SIM": "_sim", "HYPER": "_hyper"}
_MUSL_DIR = "usr/local/occlum/x86_64-linux-musl/lib"
MUSL_NAMES = ("libc.so", "libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1")
MUSL_LOADER = "ld-musl-x86_64.so.1"
GLIBC_DIR = f"{OCCLUM_DIR}/glibc/lib"
GLIBC_LOADER = "ld-linux-x86-64.so.2"
GLIBC_NAMES = (LIBC, "libpthread.so.0", "libm.so.6")
OS_NAMES = ("libstdc++.so.6", "libgcc_s.so.1")
OS_LIB_DIRS = ("usr/lib/x86_64-linux-gnu", "usr/lib64")
ABOVE_OCCLUM = ("opt", OCCLUM_DIR)
# No version has more digits: what has is none, and no number is made of it.
_VERSION = re.compile(r"#\s*define\s+OCCLUM_(MAJOR|MINOR|PATCH)_VERSION\s+([0-9]{1,9})(?![0-9])")


@dataclass(frozen=True)
class ToolFile:
    """A file of the toolchain by its role; the first of `places` that exists is taken."""

    role: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Toolchain:
    """The files that were found, by role, and the hex SHA-256 of each."""

    version: str
    files: Mapping[str, Path]
    digests: Mapping[str, str]

    def read(self, role: str) -> bytes:
        """The content of a file; OcclumError `toolchain` when it changed since it was found."""
        content = _read(self.files[role])
        if hashlib.sha256(content).hexdigest() != self.digests[role]:
            message = f"{role} changed during the build"
            raise OcclumError("toolchain", message, place=Place(str(self.files[role])))
        return content


def libos_name(mode: str) -> str:
    """The libOS of an SGX mode, as its file is called without the version."""
    return f"libocclum-libos{_SUFFIX[mode]}.so"


def pal_name(mode: str) -> str:
    """The platform abstraction layer of an SGX mode, its file's name without the version."""
    return f"libocclum-pal{_SUFFIX[mode]}.so"


def required_files(
    version: str, mode: str, groups: Iterable[str] = ALL_OF_AN_ENCLAVE
) -> tuple[ToolFile, ...]:
    """What a build for this SGX mode needs of the toolchain, EDMM or not.

    Groups: BUILD (libOS, PAL, occlum-run), INITFS (init, musl), TEMPLATE (the default Occlum.json),
    GLIBC (for an image), SIGN_KEY (Occlum's public test key). OcclumError `sgx-mode`.
    """
    check_mode(mode)
    lib, glibc = f"{OCCLUM_DIR}/build/lib", "glibc/"
    table = {
        BUILD: [
            ToolFile("libos", (f"{lib}/{libos_name(mode)}.{version}",)),
            ToolFile("pal", (f"{lib}/{pal_name(mode)}.{version}",)),
            ToolFile("occlum-run", (f"{OCCLUM_DIR}/build/bin/occlum-run",)),
        ],
        INITFS: [
            ToolFile("init", (INIT,)),
            ToolFile(f"musl/{MUSL_LOADER}", (f"lib/{MUSL_LOADER}",)),
            *(ToolFile(f"musl/{name}", (f"{_MUSL_DIR}/{name}",)) for name in MUSL_NAMES),
        ],
        TEMPLATE: [ToolFile(TEMPLATE_ROLE, (f"{OCCLUM_DIR}/etc/template/Occlum.json",))],
        GLIBC: [
            *(
                ToolFile(glibc + name, (f"{GLIBC_DIR}/{name}",))
                for name in (GLIBC_LOADER, *GLIBC_NAMES)
            ),
            *(
                ToolFile(glibc + name, tuple(f"{folder}/{name}" for folder in OS_LIB_DIRS))
                for name in OS_NAMES
            ),
        ],
        SIGN_KEY: [ToolFile(KEY_ROLE, (TEST_KEY,))],
    }
    return tuple(file for group in groups for file in table[group])


def check_mode(mode: str) -> None:
    """OcclumError `sgx-mode` unless this is one of SGX_MODES."""
    if mode not in SGX_MODES:
        hint = f"one of {', '.join(SGX_MODES)}"
        raise OcclumError("sgx-mode", f"{quoted(mode)} is no SGX mode", hint=hint)


def parse_version(header: str, place: Place | None = None) -> str:
    """The version that the text of `occlum_version.h` defines: "0.31.0"."""
    parts = {name: str(int(number)) for name, number in _VERSION.findall(header)}
    if len(parts) != 3:
        raise OcclumError("toolchain-version", "the header defines no Occlum version", place=place)
    return ".".join(parts[name] for name in ("MAJOR", "MINOR", "PATCH"))


def check_version(found: str, wanted: str, place: Place | None = None) -> str:
    """`found`, if it is `wanted` ("" for any) and one whose configuration we know how to write."""
    if wanted and found != wanted:
        message = f"the toolchain's version is {found}, not {wanted}"
        raise OcclumError("toolchain-version", message, place=place)
    if not SUPPORTED.fullmatch(found):
        raise OcclumError(
            "toolchain-version",
            f"Occlum {found} is not supported",
            place=place,
            hint="the libOS reads a configuration of its own version only; ours is that of 0.31",
        )
    return found


def find(
    root: Path,
    mode: str,
    groups: Iterable[str] = ALL_OF_AN_ENCLAVE,
    *,
    version: str = "",
    is_checked: bool = False,
) -> Toolchain:
    """Find and hash the files in `root`: /opt/occlum, a copy of it, or a whole system's root.

    Raises one OcclumError of all that is missing: `toolchain` with the places that were looked at,
    `toolchain-version`, `sgx-mode`; and of what `check_content` finds, unless somebody has looked.
    """
    layout = ToolchainDirectory(root)
    header = layout.file(VERSION_HEADER, role="version header")
    if header is None:
        searched = [str(layout.path(VERSION_HEADER))]
        raise OcclumError.of([missing(ToolFile("version header", (VERSION_HEADER,)), searched)])
    place = Place(str(header))
    text = _read(header, CONFIG_BYTES).decode("utf-8", "replace")
    version = check_version(parse_version(text, place), version, place)
    report, files, digests = Report(), {}, {}
    for file in required_files(version, mode, groups):
        with report:
            path = layout.file(*file.places, role=file.role)
            if path is None:
                searched = [str(layout.path(place)) for place in file.places]
                raise OcclumError.of([missing(file, searched)])
            content = _read(path, CONFIG_BYTES if file.role == TEMPLATE_ROLE else ENCLAVE_BYTES)
            if not is_checked:
                check_content(file.role, content, str(path))
            files[file.role], digests[file.role] = path, hashlib.sha256(content).hexdigest()
    report.raise_errors()
    return Toolchain(version, files, digests)


def missing(file: ToolFile, searched: Iterable[str]) -> Problem:
    """The problem of a file that is at none of the places that were searched."""
    return Problem(
        "toolchain",
        f"the toolchain has no {file.role}: {' nor '.join(searched)} does not exist",
        hint="give the toolchain of the right version: an installed /opt/occlum or a copy of it",
    )


class ToolchainDirectory:
    """Where places are in a directory, be it Occlum's own or the root of a system."""

    def __init__(self, root: Path) -> None:
        root = root.absolute()
        self._is_occlum, self.system, self.occlum = False, root, root / OCCLUM_DIR
        with suppress(OcclumError):  # of a link or file in its way: each place below tells it
            self._is_occlum = self._real(OCCLUM_DIR, "") is None
        if self._is_occlum:
            is_installed = root.parts[-2:] == ("opt", "occlum")
            self.system, self.occlum = root.parent.parent if is_installed else root, root

    def path(self, place: str) -> Path:
        """The path of a place, whether or not it exists."""
        if f"{place}/".startswith(f"{OCCLUM_DIR}/"):
            return self.occlum / place[len(OCCLUM_DIR) + 1 :]
        return self.system / place

    def file(self, *places: str, role: str = "") -> Path | None:
        """The real path of the first place with a regular file; None where nothing is at any.

        Links are followed within the toolchain. Raises OcclumError `toolchain` for one that leads
        to nothing there, and for what is no regular file, where no other place has one.
        """
        errors = []
        for place in places:
            try:
                found = self._real(place, role)
                if found is not None and not stat.S_ISREG(found.lstat().st_mode):
                    message = "is not a regular file"
                    raise OcclumError("toolchain", message, place=Place(str(self.path(place))))
            except OcclumError as error:
                errors.append(error)
                continue
            if found is not None:
                return found
        if errors:
            raise errors[0]
        return None

    def directory(self, place: str) -> Path | None:
        """The real path of a directory, None where nothing is; raises as `file` does."""
        return self._real(f"{place}/", place)

    def is_directory(self, place: str) -> bool:
        """Whether a directory is there, links followed; raises for a link as `file` does."""
        found = self._real(place, place)
        return found is not None and found.is_dir()

    def _real(self, place: str, role: str) -> Path | None:
        root = str(self.system)
        role = role or posixpath.basename(place)
        found = follow(place, self._look, lambda one: str(self.path(one)), root, role)
        return None if found is None else self.path(found)

    def _look(self, place: str) -> SourceStat | None:
        path = self.path(place)
        try:
            if self._is_occlum and place in ABOVE_OCCLUM:
                # Whatever leads to the directory that was given, its user chose.
                is_dir = place != OCCLUM_DIR or stat.S_ISDIR(path.stat().st_mode)
                return SourceStat(DIR if is_dir else OTHER)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                return SourceStat(SYMLINK, target=os.readlink(path))
            return SourceStat(DIR if stat.S_ISDIR(mode) else OTHER)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            message = error.strerror or "cannot be read"
            raise OcclumError("toolchain", message, place=Place(str(path))) from error


def _read(path: Path, limit: int = ENCLAVE_BYTES) -> bytes:
    return read_file(path, limit, code="toolchain")
