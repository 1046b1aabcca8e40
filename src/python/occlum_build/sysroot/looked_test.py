from __future__ import annotations

from collections.abc import Mapping

from occlum_build.sources.model import DIR, FILE, SYMLINK, SourceStat, resolve
from occlum_build.sources.recorded import Asked, RecordedSources
from occlum_build.sysroot.dpkg import Owner, Packages
from occlum_build.sysroot.lock import Lock, Pin
from occlum_build.sysroot.looked import (
    Difference,
    Looked,
    describe,
    differences,
    lock_of,
    looked_at,
    with_owners,
)

ONE, TWO = "1" * 64, "2" * 64


def _file(sha256: str = ONE, mode: int = 0o644) -> SourceStat:
    return SourceStat(FILE, mode, 100, sha256=sha256, is_elf_or_zip=False)


def _sources() -> RecordedSources:
    return RecordedSources(
        stats={
            "/": SourceStat(DIR, 0o755),
            "/lib": SourceStat(SYMLINK, target="usr/lib"),
            "/lib/libz.so": _file(),
            "/usr": SourceStat(DIR, 0o755),
            "/usr/lib": SourceStat(DIR, 0o755),
            "/usr/lib/libz.so": _file(),
            "/usr/lib/cache": SourceStat(DIR, 0o700),
            "/usr/lib/cache/x": _file(),
            "/gone": None,
            "project": _file(),
        },
        names_in={"/usr/lib": ("cache", "libz.so"), "/usr/lib/cache": ("x",)},
        facts_of={},
        texts={},
    )


def _look(sources: RecordedSources) -> Looked:
    return looked_at(sources.stats, sources.asked)


def test_only_what_was_asked_counts() -> None:
    sources = _sources()
    assert resolve(sources, "/lib/libz.so") == "/usr/lib/libz.so"
    assert resolve(sources, "/gone") is None
    assert sources.lstat("project") is not None
    assert sources.lstat("/lib/libz.so") is not None
    looked = _look(sources)
    assert looked == Looked(
        {
            "/": Pin("/", DIR),
            "/lib": Pin("/lib", SYMLINK, target="usr/lib"),
            "/usr": Pin("/usr", DIR),
            "/usr/lib": Pin("/usr/lib", DIR),
            "/usr/lib/libz.so": Pin("/usr/lib/libz.so", FILE),
        },
        frozenset({"/gone"}),
    )


def test_contents_and_listings() -> None:
    sources = _sources()
    sources.sha256("/usr/lib/libz.so")
    sources.names("/usr/lib")
    pins = _look(sources).pins
    assert pins["/usr/lib/libz.so"] == Pin("/usr/lib/libz.so", FILE, 0o644, 100, ONE)
    assert pins["/usr/lib"] == Pin("/usr/lib", DIR, 0o755, listing=True)
    assert pins["/usr/lib/cache"] == Pin("/usr/lib/cache", DIR)
    assert "/usr/lib/cache/x" not in pins


def test_union_knows_what_any_plan_asked() -> None:
    first, second, third = _sources(), _sources(), _sources()
    first.sha256("/usr/lib/libz.so")
    second.names("/usr/lib")
    third.lstat("/usr/lib/libz.so")
    lock = lock_of([_look(first), _look(second), _look(third)])
    assert lock.pins["/usr/lib/libz.so"].sha256 == ONE
    assert lock.names == {"/usr/lib": ("cache", "libz.so")}


def _pinned() -> Lock:
    sources = _sources()
    resolve(sources, "/lib/libz.so")
    sources.sha256("/usr/lib/libz.so")
    sources.names("/usr/lib")
    owner = Owner("zlib1g:amd64", "1.2")
    return with_owners(lock_of([_look(sources)]), {"/usr/lib/libz.so": owner, "/usr": owner})


def _after(
    stats: Mapping[str, SourceStat | None] | None = None, names: tuple[str, ...] | None = None
) -> list[Difference]:
    """The differences when some entries, or the names in /usr/lib, are others."""
    sources = _sources()
    sources.stats = {**sources.stats, **(stats or {})}
    if names is not None:
        sources.names_in = {"/usr/lib": names}
    resolve(sources, "/lib/libz.so")
    if sources.stats["/usr/lib/libz.so"]:
        sources.sha256("/usr/lib/libz.so")
    sources.names("/usr/lib")
    return differences(_look(sources), _pinned())


def test_no_difference() -> None:
    assert _after() == []
    # What the plan does not use may change.
    assert _after(stats={"/usr/lib/cache/x": _file(TWO), "/usr": SourceStat(DIR, 0o700)}) == []


def test_differences() -> None:
    path = "/usr/lib/libz.so"
    assert _after(stats={path: _file(TWO)}) == [(path, "changed")]
    assert _after(stats={path: _file(mode=0o4755)}) == [(path, "changed")]
    assert _after(stats={"/lib": SourceStat(SYMLINK, target="/usr/lib")}) == [("/lib", "changed")]
    assert _after(stats={"/usr/lib": SourceStat(DIR, 0o711)}) == [("/usr/lib", "changed")]
    assert _after(stats={"/usr/lib/cache": _file()}) == [("/usr/lib/cache", "changed")]
    assert _after(stats={path: None}) == [(path, "gone")]
    assert _after(names=("libz.so",)) == [("/usr/lib/cache", "gone")]
    more = ("cache", "libnew.so", "libz.so")
    assert _after(names=more, stats={"/usr/lib/libnew.so": _file()}) == [
        ("/usr/lib/libnew.so", "not pinned")
    ]


def test_what_the_lock_knows_less_of_is_not_pinned() -> None:
    sources = _sources()
    sources.sha256("/usr/lib/libz.so")
    sources.names("/usr/lib/cache")
    lock = Lock({**_pinned().pins, "/usr/lib/libz.so": Pin("/usr/lib/libz.so", FILE)})
    assert differences(_look(sources), lock) == [
        ("/usr/lib/cache", "not pinned"),
        ("/usr/lib/cache/x", "not pinned"),
        ("/usr/lib/libz.so", "not pinned"),
    ]


def test_owners_are_those_of_files_and_links() -> None:
    pins = _pinned().pins
    assert (pins["/usr/lib/libz.so"].package, pins["/usr/lib/libz.so"].version) == (
        "zlib1g:amd64",
        "1.2",
    )
    assert pins["/usr"].package == ""


def test_description() -> None:
    pins = {
        path: Pin(path, FILE, 0o644, 1, ONE, package=package, version=version)
        for path, package, version in (
            ("/a1", "a", "1"), ("/a2", "a", "1"), ("/a3", "a", "1"), ("/a4", "a", "1"),
            ("/b", "b", "1"), ("/c", "c", "1"), ("/n", "", ""),
        )
    }  # fmt: skip
    found = [Difference(f"/a{number}", "changed") for number in (1, 2, 3, 4)]
    found += [
        Difference("/a5", "not pinned"),
        Difference("/b", "gone"),
        Difference("/c", "changed"),
        Difference("/d", "not pinned"),
        Difference("/n", "changed"),
    ]
    owners = {f"/a{number}": Owner("a", "2") for number in (1, 2, 3, 4, 5)}
    owners.update({"/c": Owner("c", "1"), "/d": Owner("d", "7")})
    versions = {"a": "2", "c": "1", "d": "7"}
    assert describe(found, Lock(pins), Packages(owners, versions)).splitlines() == [
        "  a 1 -> 2: changed /a1, /a2, /a3 and /a4; not pinned /a5",
        "  b 1 (not installed): gone /b",
        "  c 1: changed /c",
        "  d 7 (no file of it is pinned): not pinned /d",
        "  of no package: changed /n",
    ]


def test_a_directory_may_lie_as_deep_as_paths_go() -> None:
    paths = ["/" + "/".join("d" * depth) for depth in range(1, 2000)]
    stats: dict[str, SourceStat | None] = {path: SourceStat(DIR, 0o755) for path in paths}
    asked = Asked({f"{paths[-1]}/x"})
    assert looked_at(stats, asked).absent == {f"{paths[-1]}/x"}
    asked = Asked({paths[-1]})
    assert looked_at(stats, asked).pins.keys() == {"/", *paths}
    stats[paths[500]] = None
    assert looked_at(stats, asked).pins.keys() == {"/"}
