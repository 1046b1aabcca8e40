"""What scanners find packages of an image by, as distroless images have it, and their licences.

`/var/lib/dpkg/status.d/PACKAGE` is the control file of a package, `PACKAGE.md5sums` beside it that
control member; `os-release` (os-release(5)) tells of which distribution it is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from occlum_build.errors import Place, Report
from occlum_build.image.builder import ImageBuilder, normal_mode
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.plan import ImagePlan
from occlum_build.image.tree import EmptyBase, ImageTree
from occlum_build.sources.model import Sources, resolve
from occlum_build.sysroot.lock import Pin

CODE = "packages-metadata"
STATUS = "/var/lib/dpkg/status.d"
OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
COPYRIGHT = "/usr/share/doc/{}/copyright"


def status_paths(package: str) -> tuple[str, str]:
    """Where an image has a package's control file, and where its MD5 sums."""
    return f"{STATUS}/{package}", f"{STATUS}/{package}.md5sums"


def with_metadata(
    plan: ImagePlan, sources: Sources, pins: Mapping[str, Pin], place: Place, report: Report
) -> ImagePlan:
    """A plan with the metadata of each package that has a file or link of it.

    `pins` are those of a root of packages; what the plan has already stays. The report gets errors
    where a directory cannot be made, and a warning where no scanner would know the distribution.
    """
    adding = _Adding(plan, sources, place, report)
    found = [adding.add(path) for path in OS_RELEASE]
    if not any(found):
        report.warn(
            CODE,
            f"the root of packages has no {OS_RELEASE[0]}, by which scanners know the distribution",
            place,
            "add base-files to its packages",
        )
    for package in adding.packages(pins):
        for path in (*status_paths(package), COPYRIGHT.format(package)):
            adding.add(path)
    entries = adding.tree.entries
    return replace(plan, entries=tuple(entries[path] for path in sorted(entries)))


class _Adding:
    """Copies paths of the root to where they are in it."""

    def __init__(self, plan: ImagePlan, sources: Sources, place: Place, report: Report) -> None:
        self.tree = ImageTree(EmptyBase())
        for entry in plan.entries:
            self.tree.put(entry)
        self._builder = ImageBuilder(sources, self.tree, normal_mode, report)
        self._sources, self._report, self._origin = sources, report, Origin(place)

    def packages(self, pins: Mapping[str, Pin]) -> list[str]:
        found = (pins.get(one.source) for one in self.tree.entries.values() if one.kind != DIR)
        return sorted({pin.package for pin in found if pin is not None and pin.package})

    def add(self, path: str) -> bool:
        """A file, or a link at its last part; False where the root has none."""
        real: str | None = path  # of what only stands for files: the root has no directory for it
        if not path.startswith(f"{STATUS}/"):
            real = resolve(self._sources, path, follow_last=False)
        stat = self._sources.lstat(real) if real is not None else None
        if real is None or stat is None or stat.kind not in (FILE, SYMLINK):
            return False
        with self._report.at(self._origin.place):
            parent = self._builder.make_dirs(posixpath.dirname(path)[1:], self._origin)
            place = posixpath.join(parent, posixpath.basename(path))
            if place not in self.tree.entries:
                mode = normal_mode(real, stat)
                self._builder.put_file(
                    Entry(place, stat.kind, self._origin, mode, real, stat.size, stat.target)
                )
        return True
