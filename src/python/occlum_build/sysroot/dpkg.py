"""Which Debian package owns a file of a sysroot, by the database of its dpkg.

The database's format: dpkg(1) and dpkg-divert(1). `var/lib/dpkg/status` has a stanza for each
package; `info/<package>.list`, or `info/<package>:<architecture>.list` where packages of several
architectures may be installed together, has the paths that it brought, one a line; `diversions` has
three lines for each path that a package took from another: path, where the other's went, package.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from occlum_build.files.bounds import PACKAGE_DATABASE_BYTES
from occlum_build.sources.model import DIR, SYMLINK, Sources, resolve

DATABASE = "/var/lib/dpkg"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32")


class Owner(NamedTuple):
    """A package, named as `dpkg -S` does, and its version."""

    package: str
    version: str


@dataclass(frozen=True)
class Packages:
    """The owners of paths, and the version of each installed package.

    A package is there by its name alone and with its architecture, `libc6` and `libc6:amd64`.
    """

    owners: Mapping[str, Owner] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def packages_of(sources: Sources, paths: Iterable[str]) -> Packages:
    """The owners of those real paths that some package brought; nothing without a database.

    Raises OcclumError when the database cannot be read.
    """
    info = resolve(sources, f"{DATABASE}/info")
    entry = sources.lstat(info) if info is not None else None
    if info is None or entry is None or entry.kind != DIR:
        return Packages()
    wanted = _names_of(sources, paths)
    diverted = dict(_diversions(sources))
    found: dict[str, str] = {}
    for name in sources.names(info):
        package, dot, suffix = name.rpartition(".")
        if suffix != "list" or not dot:
            continue
        for line in _text(sources, f"{info}/{name}").split("\n"):
            if line not in wanted and line not in diverted:
                continue
            moved_to, by = diverted.get(line, ("", ""))
            own = line if not moved_to or package.partition(":")[0] == by else moved_to
            if own in wanted:
                found[wanted[own]] = package
    versions = dict(_versions(sources))
    owners = {
        path: Owner(package, versions[package])
        for path, package in sorted(found.items())
        if package in versions
    }
    return Packages(owners, versions)


def _names_of(sources: Sources, paths: Iterable[str]) -> dict[str, str]:
    """Each path as the database may have it -> the real path.

    Where /lib is a link to usr/lib, a package may have brought /usr/lib/x as /lib/x.
    """
    merged = [
        name
        for name in _MERGED
        if (stat := sources.lstat(f"/{name}")) is not None
        and stat.kind == SYMLINK
        and stat.target.strip("/") == f"usr/{name}"
    ]
    names = {}
    for path in paths:
        names[path] = path
        for name in merged:
            if path.startswith(f"/usr/{name}/"):
                names[path[len("/usr") :]] = path
    return names


def _diversions(sources: Sources) -> Iterator[tuple[str, tuple[str, str]]]:
    """Path -> where the other packages' file of that path went, and the package that did it."""
    lines = _text(sources, f"{DATABASE}/diversions").split("\n")
    for path, moved_to, by in zip(lines[0::3], lines[1::3], lines[2::3]):
        yield path, (moved_to, by)


def _versions(sources: Sources) -> Iterator[tuple[str, str]]:
    """The versions of installed packages, by the name alone and with the architecture."""
    for stanza in _text(sources, f"{DATABASE}/status").split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in stanza.split("\n")
            if line.startswith(("Package: ", "Status: ", "Version: ", "Architecture: "))
        )
        is_installed = fields.get("Status", "").endswith(" installed")
        if is_installed and "Package" in fields and "Version" in fields:
            yield fields["Package"], fields["Version"]
            yield f"{fields['Package']}:{fields.get('Architecture', '')}", fields["Version"]


def _text(sources: Sources, path: str) -> str:
    real = resolve(sources, posixpath.normpath(path))
    data = sources.read(real, PACKAGE_DATABASE_BYTES) if real is not None else None
    return (data or b"").decode("utf-8", "surrogateescape")
