from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest

from occlum_build.elf.facts import ElfFacts, Malformed, Outcome, Script
from occlum_build.errors import OcclumError
from occlum_build.packages.alternatives import Alternative, Link
from occlum_build.packages.derived import derived_links
from occlum_build.packages.index import DebIndex, Entry
from occlum_build.packages.merge import MadeFile, PackagesRoot, merge
from occlum_build.sources.model import DIR, FILE, SYMLINK
from occlum_build.sysroot.lock import Pin, read_lock, write_lock


def _file(content: str, mode: int = 0o644) -> Entry:
    return Entry(FILE, mode, len(content), hashlib.sha256(content.encode()).hexdigest())


def _link(target: str) -> Entry:
    return Entry(SYMLINK, target=target)


def _dir(mode: int = 0o755) -> Entry:
    return Entry(DIR, mode)


def _index(package: str, entries: dict[str, Entry], version: str = "1", **more: Any) -> DebIndex:
    fields = {"control": {}, "facts": {}, **more}
    return DebIndex(package, version, "amd64", entries=entries, **fields)


def _errors(*indexes: DebIndex, links: tuple[Link, ...] = ()) -> list[str]:
    """The errors, which are the same in any order."""
    told = set()
    for order in itertools.permutations(indexes):
        with pytest.raises(OcclumError) as error:
            merge(order, links)
        assert {one.code for one in error.value.problems} <= {"packages-file", "packages-twice"}
        told.add(tuple(one.message for one in error.value.problems))
    (messages,) = told
    return list(messages)


def _merged(*indexes: DebIndex) -> PackagesRoot:
    """The root, which is the same in any order."""
    roots = [merge(order) for order in itertools.permutations(indexes)]
    assert all(root == roots[0] for root in roots)
    return roots[0]


def test_pins_owners_and_facts() -> None:
    facts: dict[str, Outcome] = {
        _file("e").sha256: ElfFacts("ET_DYN", "EM_X86_64", 64),
        _file("s").sha256: Script("/bin/sh"),
        _file("m").sha256: Malformed("x"),
    }
    one = {"/usr/lib/e": _file("e"), "/usr/bin/s": _file("s", 0o755), "/usr/bin": _dir(0o2755)}
    two = {"/usr/bin": _dir(0o2755), "/usr/bin/m": _file("m"), "/usr/bin/l": _link("s")}
    root = _merged(_index("b", one, facts=facts), _index("a", two, "1:2", facts=facts))
    assert root.lock.pins == {
        "/": Pin("/", DIR, 0o755, listing=True),
        "/usr": Pin("/usr", DIR, 0o755, listing=True),
        "/usr/bin": Pin("/usr/bin", DIR, 0o2755, listing=True, package="a", version="1:2"),
        "/usr/bin/l": Pin("/usr/bin/l", SYMLINK, target="s", package="a", version="1:2"),
        "/usr/bin/m": Pin(
            "/usr/bin/m", FILE, 0o644, 1, _file("m").sha256, True, package="a", version="1:2"
        ),
        "/usr/bin/s": Pin(
            "/usr/bin/s", FILE, 0o755, 1, _file("s").sha256, package="b", version="1"
        ),
        "/usr/lib": Pin("/usr/lib", DIR, 0o755, listing=True),
        "/usr/lib/e": Pin(
            "/usr/lib/e", FILE, 0o644, 1, _file("e").sha256, True, package="b", version="1"
        ),
    }
    assert root.lock.names["/usr/bin"] == ("l", "m", "s")
    assert root.owners == {
        "/usr/bin": "a",
        "/usr/bin/l": "a",
        "/usr/bin/m": "a",
        "/usr/bin/s": "b",
        "/usr/lib/e": "b",
    }
    assert root.facts == facts and not root.told
    assert read_lock(write_lock(root.lock), "lock") == root.lock


def test_a_root_of_nothing() -> None:
    assert merge([_index("a", {})]).lock.pins == {"/": Pin("/", DIR, 0o755, listing=True)}


def test_facts_tell_of_each_file() -> None:
    root = _merged(_index("a", {"/x": _file("x")}))
    assert root.facts == {_file("x").sha256: None}


def test_equal_entries_are_shared() -> None:
    entries = {"/d": _dir(), "/d/f": _file("x"), "/l": _link("d")}
    assert set(_merged(_index("a", entries), _index("b", entries)).owners.values()) == {"a"}


def test_modes_of_directories() -> None:
    one, two = _index("a", {"/d": _dir(0o700)}), _index("b", {"/d": _dir()}, "2")
    root = _merged(one, two)
    assert root.lock.pins["/d"].mode == 0o700
    (told,) = root.told
    assert told.message == "/d has mode 0700 in a 1 and 0755 in b 2: the first one counts"
    assert (told.code, told.severity) == ("packages-mode", "warning")
    root = _merged(one, _index("base-files", {"/d": _dir(0o1777)}), two)
    assert root.lock.pins["/d"].mode == 0o1777 and root.owners["/d"] == "base-files"


def test_a_file_of_two_packages() -> None:
    one, two = {"/x": _file("1")}, {"/x": _file("2")}
    assert _errors(_index("a", one, "1.0"), _index("b", two, "2.0")) == [
        "/x is in a 1.0 and b 2.0 with different contents, and neither replaces the other"
    ]
    modes = {"/x": _file("1", 0o755)}
    assert "with different modes, and" in _errors(_index("a", one), _index("b", modes))[0]
    links = {"/x": _link("1")}
    assert (
        "with different targets, and"
        in _errors(_index("a", links), _index("b", {"/x": _link("2")}))[0]
    )
    assert _errors(_index("a", links), _index("b", one)) == [
        "/x is in a 1 and b 1, a link in the first and a file in the second"
    ]
    assert _errors(_index("a", {"/x": _dir()}), _index("b", links)) == [
        "/x is in a 1 and b 1, a directory in the first and a link in the second"
    ]


@pytest.mark.parametrize(
    ("replaces", "is_replaced"),
    [("a", True), ("a (<< 2)", True), ("a (<< 1)", False), ("c, a (= 1)", True), ("c", False)],
)
def test_a_package_that_replaces_files_of_another(replaces: str, is_replaced: bool) -> None:
    old = _index("a", {"/x": _file("1"), "/y": _file("y")})
    new = _index("b", {"/x": _file("2")}, control={"Replaces": replaces})
    if is_replaced:
        root = _merged(old, new)
        assert root.owners == {"/x": "b", "/y": "a"}
        assert root.lock.pins["/x"].sha256 == _file("2").sha256
    else:
        assert len(_errors(old, new)) == 1


def test_packages_that_replace_each_other() -> None:
    one = _index("a", {"/x": _file("1")}, control={"Replaces": "b"})
    assert len(_errors(one, _index("b", {"/x": _file("2")}, control={"Replaces": "a"}))) == 1


def test_diversions_are_told() -> None:
    one = _index("a", {"/x": _file("1")}, diversions=("/x",))
    assert _errors(one, _index("b", {"/x": _file("2")})) == [
        "/x is in a 1 and b 1; a 1 diverts that of b 1"
    ]


def test_what_would_be_below_a_link() -> None:
    one = _index("a", {"/d": _link("e")})
    two = _index("b", {"/d/x": _file("x"), "/d/y/z": _file("z"), "/d/y": _dir()}, "2")
    assert _errors(one, two) == [
        "2 files below /d of b 2 would be below /d, which is a link of a 1"
    ]


def test_one_package_twice() -> None:
    with pytest.raises(OcclumError, match="are one package in two versions") as error:
        merge([_index("a", {}, "1"), _index("a", {}, "2")])
    assert error.value.code == "packages-twice"


def test_links_and_made_files() -> None:
    index = _index("a", {"/etc/x": _file("x"), "/var/run": _dir()})
    links = [Link("/var/run", "/run", "base-files"), Link("/etc/l", "x", "mine")]
    made = [
        MadeFile("/etc/made/y", 0o600, 3, "1" * 64, "maker"),
        MadeFile("/etc/z", 0o644, 3, "2" * 64, "a"),
    ]
    root = merge([index], links, made)
    pins = root.lock.pins
    assert pins["/var/run"] == Pin("/var/run", SYMLINK, target="/run")
    assert pins["/etc/made/y"] == Pin("/etc/made/y", FILE, 0o600, 3, "1" * 64)
    assert (pins["/etc/z"].package, pins["/etc/z"].version) == ("a", "1")
    assert pins["/etc/made"] == Pin("/etc/made", DIR, 0o755, listing=True)
    assert root.owners == {"/etc/x": "a"}
    assert root.facts["1" * 64] is None


def test_links_that_cannot_be() -> None:
    index = _index("a", {"/d/x": _file("x")})
    assert _errors(index, links=(Link("/d", "e", "mine"),)) == [
        "/d/x of a 1 would be below /d, which is a link of mine"
    ]
    assert _errors(index, links=(Link("/l", "e", "one"), Link("/l", "f", "two"))) == [
        "/l is made twice, for one and for two"
    ]
    root = merge([index], [Link("/l", "e", "one"), Link("/l", "e", "two")])
    assert root.lock.pins["/l"].target == "e"


def test_derived_links() -> None:
    awk = Alternative("awk", "/usr/bin/awk", "/usr/bin/mawk", 5)
    base = {"/var/lock": _dir(), "/var/run": _dir(), "/var/run/x": _dir()}
    indexes = [
        _index("mawk", {"/usr/bin/mawk": _file("m")}, alternatives=(awk,)),
        _index("base-files", {**base, "/etc/dpkg/origins/debian": _file("d")}),
        _index("tzdata", {"/usr/lib/x": _file("x")}),
        _index("ca-certificates", {}),
        _index("libssl3", {}),
    ]
    pins = merge(indexes).lock.pins
    links = derived_links(indexes, pins)
    assert links == derived_links(indexes[::-1], pins)
    assert [(link.path, link.target) for link in links] == [
        ("/bin", "usr/bin"),
        ("/etc/alternatives/awk", "/usr/bin/mawk"),
        ("/etc/dpkg/origins/default", "debian"),
        ("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
        ("/lib", "usr/lib"),
        ("/usr/bin/awk", "/etc/alternatives/awk"),
        ("/usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt"),
        ("/var/lock", "/run/lock"),
    ]
    few = derived_links(indexes, pins, merged_usr=False, made=())
    assert [link.path for link in few] == ["/etc/alternatives/awk", "/usr/bin/awk"]
