"""What plans saw of a sysroot, as pins, and how that differs from a lock file."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from occlum_build.shown import Lines, some
from occlum_build.sources.model import DIR, FILE, SourceStat
from occlum_build.sources.recorded import Asked
from occlum_build.sysroot.dpkg import Owner, Packages
from occlum_build.sysroot.lock import Lock, Pin

CHANGED, GONE, UNPINNED = "changed", "gone", "not pinned"


@dataclass(frozen=True)
class Looked:
    """The entries that were looked at, by real path and without owners, and where nothing was."""

    pins: Mapping[str, Pin]
    absent: frozenset[str] = frozenset()


class Difference(NamedTuple):
    """A path at which a sysroot is not as pinned; how: CHANGED, GONE or UNPINNED."""

    path: str
    how: str


def looked_at(stats: Mapping[str, SourceStat | None], asked: Asked) -> Looked:
    """What planning asked of a sysroot and was told.

    `stats` are the recorded entries; only what was asked counts, so that a file that an image
    leaves out may change.
    """
    real_dirs: dict[str, bool] = {"/": True}

    def is_real_dir(path: str) -> bool:
        unknown, above, is_dir = [], path, True
        while is_dir and above not in real_dirs:
            unknown.append(above)
            stat = stats.get(above)
            is_dir = stat is not None and stat.kind == DIR
            above = posixpath.dirname(above)
        real_dirs.update(dict.fromkeys(unknown, is_dir and real_dirs[above]))
        return real_dirs[path]

    paths = {path for path in asked.paths if path.startswith("/")}
    for directory in asked.listed:
        if directory.startswith("/"):
            paths.update(posixpath.join(directory, name) for name in asked.listed[directory])
    pins = {"/": _pin("/", SourceStat(DIR), asked)}
    absent = set()
    for path in paths:
        stat = stats.get(path)
        if stat is None:
            absent.add(path)
        elif is_real_dir(posixpath.dirname(path)):
            pins[path] = _pin(path, stat, asked)
    for path in [path for path, is_dir in real_dirs.items() if is_dir]:
        pins.setdefault(path, _pin(path, stats.get(path) or SourceStat(DIR), asked))
    return Looked(pins, frozenset(absent))


def _pin(path: str, stat: SourceStat, asked: Asked) -> Pin:
    if stat.kind == FILE and path in asked.contents and stat.sha256:
        return Pin(path, FILE, stat.mode, stat.size, stat.sha256, bool(stat.is_elf_or_zip))
    if stat.kind == DIR and path in asked.listed:
        return Pin(path, DIR, stat.mode, listing=True)
    return Pin(path, stat.kind, target=stat.target)


def lock_of(looks: Iterable[Looked]) -> Lock:
    """The union of what several plans saw; owners are still to be told."""
    pins: dict[str, Pin] = {}
    for looked in looks:
        for path, pin in looked.pins.items():
            if path not in pins or pin.sha256 or pin.listing:
                pins[path] = pin
    return Lock(pins)


def with_owners(lock: Lock, owners: Mapping[str, Owner]) -> Lock:
    """The lock with the package that owns each file and link."""
    return Lock(
        {
            path: pin._replace(**owners[path]._asdict())
            if path in owners and pin.type != DIR
            else pin
            for path, pin in lock.pins.items()
        }
    )


def differences(looked: Looked, lock: Lock) -> list[Difference]:
    """Where what was seen is not as pinned, sorted by path."""
    found = {path: GONE for path in looked.absent & lock.pins.keys()}
    for path, pin in looked.pins.items():
        how = _difference(pin, lock.pins.get(path))
        if how:
            found[path] = how
        if pin.listing:
            below = (posixpath.join(path, name) for name in lock.names.get(path, ()))
            found.update({child: GONE for child in below if child not in looked.pins})
    return [Difference(path, how) for path, how in sorted(found.items())]


def _difference(now: Pin, pinned: Pin | None) -> str:
    if pinned is None:
        return UNPINNED
    if (now.type, now.target) != (pinned.type, pinned.target):
        return CHANGED
    if (now.sha256 and not pinned.sha256) or (now.listing and not pinned.listing):
        return UNPINNED
    if now.sha256 and (now.sha256, now.mode) != (pinned.sha256, pinned.mode):
        return CHANGED
    return CHANGED if now.listing and now.mode != pinned.mode else ""


def describe(found: Sequence[Difference], lock: Lock, now: Packages) -> Lines:
    """The differences by package, a line each, with its version in the lock and that of now."""
    by_package: dict[str, list[Difference]] = {}
    for one in found:
        by_package.setdefault(_package(one.path, lock, now), []).append(one)
    pinned = {pin.package: pin.version for pin in lock.pins.values()}
    lines = []
    for package in sorted(by_package, key=lambda package: (package == "", package)):
        title = _title(package, pinned.get(package, ""), now.versions.get(package, ""))
        lines.append(f"  {title}: {'; '.join(_by_kind(by_package[package]))}")
    return Lines(*lines)


def _package(path: str, lock: Lock, now: Packages) -> str:
    if path in now.owners:
        return now.owners[path].package
    return lock.pins[path].package if path in lock.pins else ""


def _title(package: str, pinned: str, now: str) -> str:
    if not package:
        return "of no package"
    if not pinned:
        return f"{package} {now} (no file of it is pinned)"
    if not now:
        return f"{package} {pinned} (not installed)"
    return f"{package} {now}" if pinned == now else f"{package} {pinned} -> {now}"


def _by_kind(moved: Sequence[Difference]) -> Iterator[str]:
    for kind in (CHANGED, GONE, UNPINNED):
        paths = [one.path for one in moved if one.how == kind]
        if paths:
            yield f"{kind} {some(paths)}"
