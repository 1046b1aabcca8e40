from __future__ import annotations

import hashlib
from collections.abc import Iterable

from occlum_build.errors import Place, Report
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.plan import ImagePlan
from occlum_build.packages.index import DebIndex
from occlum_build.packages.index import Entry as Held
from occlum_build.packages.merge import MadeFile, merge
from occlum_build.packages.metadata import status_paths, with_metadata
from occlum_build.sources.model import SourceStat
from occlum_build.sources.recorded import RecordedSources

OF_BOM, PLACE = Origin(Place("bom.yaml", 1, 1)), Place("app:image")
DOC = "/usr/share/doc"


def held(content: str) -> Held:
    return Held(FILE, 0o644, len(content), hashlib.sha256(content.encode()).hexdigest())


def link(target: str) -> Held:
    return Held(SYMLINK, target=target)


def package(name: str, entries: dict[str, Held]) -> DebIndex:
    return DebIndex(name, "1", "amd64", {}, entries, {})


BASE = package(
    "base-files",
    {
        "/etc/os-release": link("../usr/lib/os-release"),
        "/usr/lib/os-release": held("ID=x"),
        f"{DOC}/base-files/copyright": held("base"),
    },
)
PACKAGES = (
    package("tool", {"/usr/bin/tool": held("tool"), f"{DOC}/tool/copyright": held("licence")}),
    # Its documentation is that of another one, of which the image has nothing.
    package("lib", {"/usr/lib/lib.so": held("lib"), f"{DOC}/lib": link("lib-common")}),
    package("lib-common", {f"{DOC}/lib-common/copyright": held("common")}),
    package("maker", {"/usr/share/maker": held("source")}),
    package("unused", {"/usr/bin/unused": held("no"), f"{DOC}/unused/copyright": held("no")}),
)
MADE = MadeFile("/etc/made", 0o644, 3, "1" * 64, "maker")
PLANNED = (
    Entry("", DIR, OF_BOM),
    Entry("bin", DIR, OF_BOM),
    Entry("bin/tool", FILE, OF_BOM, 0o755, "/usr/bin/tool", 4),
    Entry("etc", DIR, OF_BOM),
    Entry("etc/made", FILE, OF_BOM, 0o644, "/etc/made", 3),
    Entry("lib.so", FILE, OF_BOM, 0o644, "/usr/lib/lib.so", 3),
    Entry("own", FILE, OF_BOM, 0o644, "ws/own", 3),
)


def planned(
    entries: Iterable[Entry], packages: Iterable[DebIndex] = (BASE, *PACKAGES)
) -> tuple[dict[str, Entry], Report]:
    """What is added to entries, and what is told; with a control file and sums of each package."""
    packages, report = list(packages), Report()
    pins = merge(packages, made=[MADE]).lock.pins
    absent = (DOC, "/etc/os-release", "/usr/lib/os-release", f"{DOC}/maker")
    stats: dict[str, SourceStat | None] = dict.fromkeys(absent)
    stats.update((path, pin.stat()) for path, pin in pins.items())
    for one in packages:
        for path in status_paths(one.package):
            stats[path] = SourceStat(FILE, 0o644, 7, sha256="2" * 64, is_elf_or_zip=False)
    before = ImagePlan(tuple(entries))
    after = with_metadata(before, RecordedSources(stats, {}, {}, {}), pins, PLACE, report)
    paths = [one.path for one in after.entries]
    assert paths == sorted(paths)
    added = {one.path: one for one in after.entries if one not in before.entries}
    assert all(one.origin.place == PLACE for one in added.values())
    assert set(before.entries) <= set(after.entries)
    return added, report


def test_packages_with_a_file_in_the_image() -> None:
    added, report = planned(PLANNED)
    assert report.errors == report.warnings == []
    assert {path: one.source for path, one in added.items() if one.kind != DIR} == {
        **{
            path[1:]: path
            for name in ("base-files", "lib", "maker", "tool")
            for path in status_paths(name)
        },
        "etc/os-release": "/etc/os-release",
        "usr/lib/os-release": "/usr/lib/os-release",
        "usr/share/doc/base-files/copyright": f"{DOC}/base-files/copyright",
        "usr/share/doc/lib/copyright": f"{DOC}/lib-common/copyright",
        "usr/share/doc/tool/copyright": f"{DOC}/tool/copyright",
    }
    assert added["etc/os-release"].target == "../usr/lib/os-release"
    assert (added["var/lib/dpkg/status.d/lib"].size, added["var"].mode) == (7, 0o755)


def test_what_is_there_stays() -> None:
    mine = Entry("etc/os-release", FILE, OF_BOM, 0o600, "ws/os-release", 5)
    status = [Entry("data", DIR, OF_BOM), Entry("var", SYMLINK, OF_BOM, 0o777, target="data")]
    added, report = planned([*PLANNED, mine, *status])
    assert report.errors == []
    assert "etc/os-release" not in added
    assert "data/lib/dpkg/status.d/tool" in added and "var/lib" not in added


def test_a_directory_that_cannot_be() -> None:
    _, report = planned([*PLANNED, Entry("var", FILE, OF_BOM, 0o644, "ws/var", 1)])
    assert {one.place for one in report.errors} == {PLACE}
    assert all("var" in one.message for one in report.errors)


def test_a_root_without_a_distribution() -> None:
    added, report = planned(PLANNED, PACKAGES)
    assert [one.code for one in report.warnings] == ["packages-metadata"]
    assert "add base-files" in report.warnings[0].hint
    assert "var/lib/dpkg/status.d/tool" in added
