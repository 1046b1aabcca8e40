"""Locks, and the packages of locks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError, Problem
from occlum_build.packages.config import LocalDeb, PackagesRequest
from occlum_build.packages.lock import LockedLink, LockedMade, read_lock, write_lock
from occlum_build.packages.locking import (
    Derived,
    FetchedDeb,
    Places,
    fetch_debs,
    gone_of,
    mirror_debs,
    mirrors_of,
)
from occlum_build.packages.testing_archive import (
    Archive,
    content_of,
    stanza,
)
from occlum_build.packages.testing_locking import (
    NOW,
    STANZAS,
    errors,
    locked,
    locking,
    request,
)
from occlum_build.packages.testing_server import served


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    found = Archive(tmp_path / "mirror")
    found.suite("stable", STANZAS)
    return found


def test_a_lock_has_what_a_build_needs(tmp_path: Path, archive: Archive) -> None:
    lock = locked(tmp_path, request(archive.config()))
    content = archive.suite("stable", STANZAS)
    (suite,) = lock.suites
    assert (suite.archive, suite.suite, suite.date) == ("debian", "stable", "2026-07-11T10:16:37Z")
    assert len(suite.signed_by) == 1 and len(suite.inrelease) == 64 and content
    a, b = lock.packages
    assert (a.package, a.version, a.architecture, a.archive) == ("a", "1:1.0", "amd64", "debian")
    data = content_of("a", "1:1.0")
    assert (a.sha256, a.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert a.path == "pool/main/a/a/a_1.0_amd64.deb"
    assert b.path == "pool/main/b/b/b_1+x~2_amd64.deb"
    assert read_lock(write_lock(lock), "x.lock") == lock


def test_what_cannot_be_resolved(tmp_path: Path, archive: Archive) -> None:
    assert errors(tmp_path, request(archive.config(), packages=["a", "c", "b (>= 2)"])) == [
        "packages-unmet: b (>= 2) (requested) is in no suite of debian (there is 1+x~2)",
        "packages-unmet: c (requested) is in no suite of debian",
    ]


def derive(request: PackagesRequest, debs: Sequence[FetchedDeb]) -> Derived:
    """A link and a file for each package, of its bytes."""
    links = [LockedLink(f"/lib/{one.package.package}", "to", "test") for one in debs]
    digest = hashlib.sha256(b"".join(one.file.read_bytes() for one in debs)).hexdigest()
    made = LockedMade("/etc/made", "0644", digest, 5, "test")
    return Derived(tuple(links), (made,), (Problem("packages-script", "not imitated"),))


def test_links_and_made_files(tmp_path: Path, archive: Archive) -> None:
    wanted = request(archive.config(), links=(("/lib/a", ""), ("/lib/b", "other"), ("/x", "y")))
    found = locking(tmp_path, wanted, derive=derive)
    assert found.lock.links == (
        LockedLink("/lib/b", "other", "links"),
        LockedLink("/x", "y", "links"),
    )
    whole = content_of("a", "1:1.0") + content_of("b", "1+x~2")
    assert found.lock.made[0].sha256 == hashlib.sha256(whole).hexdigest()
    assert [one.message for one in found.told] == ["not imitated"]
    assert read_lock(write_lock(found.lock), "x.lock") == found.lock


ARM = (("Package", "b"), ("Version", "1"), ("Architecture", "arm64"))


def test_files_of_the_project(tmp_path: Path, archive: Archive) -> None:
    file = tmp_path / "b.deb"
    file.write_bytes(b"of the project")
    deb = LocalDeb(
        "debs/b.deb", hashlib.sha256(file.read_bytes()).hexdigest(), 14,
        (("Package", "b"), ("Version", "1"), ("Architecture", "all")),
    )  # fmt: skip
    wanted = request(archive.config(), debs=(deb,))
    lock = locked(tmp_path, wanted, derive=derive, debs={"debs/b.deb": file})
    b = lock.packages[1]
    assert (b.package, b.version, b.archive, b.path) == ("b", "1", "", "debs/b.deb")
    assert read_lock(write_lock(lock), "x.lock") == lock
    with pytest.raises(OcclumError, match=r"debs/b\.deb is for arm64, and the root for amd64"):
        locked(tmp_path, replace(wanted, debs=(replace(deb, stanza=ARM),)))
    with pytest.raises(OcclumError, match=r"debs/b\.deb has no Version in its control file"):
        locked(tmp_path, replace(wanted, debs=(replace(deb, stanza=ARM[:1]),)))
    count = mirror_debs(lock, mirrors_of(wanted, Places(tmp_path)), tmp_path / "copy")
    assert count == 1


def test_a_mirror_of_a_lock_is_a_mirror(tmp_path: Path, archive: Archive) -> None:
    wanted = request(archive.config())
    lock = locked(tmp_path, wanted)
    copy = tmp_path / "copy"
    assert mirror_debs(lock, mirrors_of(wanted, Places(tmp_path)), copy) == 2
    assert (copy / "pool/main/a/a/a_1.0_amd64.deb").read_bytes() == content_of("a", "1:1.0")
    again = replace(wanted, archives=(archive.config(mirrors=(f"file:{copy}",)),))
    debs = fetch_debs(lock, again, Places(tmp_path / "other"))
    assert [one.file.read_bytes() for one in debs] == [
        content_of("a", "1:1.0"),
        content_of("b", "1+x~2"),
    ]


def test_a_version_that_has_left_the_mirror(tmp_path: Path, archive: Archive) -> None:
    wanted = request(archive.config())
    lock = locked(tmp_path, wanted)
    with served(archive.root) as server:
        for package in lock.packages:
            (archive.root / package.path).unlink()
        snapshots = f"{server.url}/snapshot/{{snapshot}}"
        config = archive.config(mirrors=(f"file:{archive.root}", server.url, snapshots))
        with pytest.raises(OcclumError) as raised:
            fetch_debs(lock, replace(wanted, archives=(config,)), Places(tmp_path / "c"))
        asked = sorted(server.asked)
    a, b = raised.value.problems
    assert a.code == b.code == "package-gone"
    assert str(a).splitlines() == [
        f"a 1:1.0 (pool/main/a/a/a_1.0_amd64.deb, sha256 {lock.packages[0].sha256}) is nowhere"
        " to be had",
        f"  file:{archive.root}: not there",
        f"  {server.url}: 404",
        f"  {snapshots}: 404",
        "  hint: write the lock anew, or add a mirror that keeps old versions ('{snapshot}' in a"
        " template)",
    ]
    assert asked[-1] == "/snapshot/20260712T101637Z/pool/main/b/b/b_1%2Bx~2_amd64.deb"


def test_which_locked_versions_are_in_no_index_any_more(tmp_path: Path, archive: Archive) -> None:
    wanted = request(archive.config())
    lock = locked(tmp_path, wanted)
    places = Places(tmp_path / "cache", now=NOW)
    assert gone_of(lock, wanted, places) == []
    archive.suite("stable", [stanza("a", "1:1.1")])
    assert [str(one).splitlines()[0] for one in gone_of(lock, wanted, places)] == [
        "a 1:1.0 is in no suite of debian any more (there is 1:1.1)",
        "b 1+x~2 is in no suite of debian any more",
    ]


@pytest.mark.parametrize(
    ("archive_name", "message"),
    [("x", "a is of x, which the request"), ("", "a is of pool/main/a/a/a_1.0_amd64.deb, which")],
)
def test_a_lock_that_names_what_the_request_does_not(
    tmp_path: Path, archive: Archive, archive_name: str, message: str
) -> None:
    wanted = request(archive.config())
    lock = locked(tmp_path, wanted)
    edited = replace(lock, packages=(lock.packages[0]._replace(archive=archive_name),))
    with pytest.raises(OcclumError, match=message):
        fetch_debs(edited, wanted, Places(tmp_path / "c"))


def test_two_archives_with_other_files_under_one_path(tmp_path: Path, archive: Archive) -> None:
    lock = locked(tmp_path, request(archive.config()))
    a = lock.packages[0]
    twice = replace(lock, packages=(a, a._replace(package="z", archive="x", sha256="0" * 64)))
    with pytest.raises(OcclumError, match=r"is another file in debian and in x"):
        mirror_debs(twice, {}, tmp_path / "copy")
