"""From mirrors to what suites have: whatever is wrong on the way is one error."""

from __future__ import annotations

import hashlib
import lzma
import os
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.packages.locking import (
    Places,
    make_lock,
)
from occlum_build.packages.testing_archive import (
    ALL,
    Archive,
    clear_signed,
    keyring,
    stanza,
)
from occlum_build.packages.testing_locking import (
    NOW,
    STANZAS,
    errors,
    locked,
    request,
    versions,
)
from occlum_build.packages.testing_server import Answer, nobody_listens, served


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    found = Archive(tmp_path / "mirror")
    found.suite("stable", STANZAS)
    return found


@pytest.mark.parametrize("end", ALL)
def test_each_form_of_an_index(tmp_path: Path, end: str) -> None:
    archive = Archive(tmp_path / "mirror")
    archive.suite("stable", STANZAS, packed=(end,))
    assert versions(locked(tmp_path, request(archive.config()))) == {"a": "1:1.0", "b": "1+x~2"}


def test_a_mirror_need_not_have_each_form_that_is_signed(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "mirror")
    archive.suite("stable", STANZAS, packed=ALL)
    directory = archive.root / "dists/stable/main/binary-amd64"
    (directory / "Packages.xz").unlink()
    (directory / "Packages.gz").write_bytes(b"of another day")
    assert len(locked(tmp_path, request(archive.config())).packages) == 2
    (directory / "Packages").unlink()
    (error,) = errors(tmp_path / "again", request(archive.config()))
    assert error.splitlines()[0].endswith("is nowhere to be had")


def test_release_with_a_signature_apart(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "mirror")
    archive.suite("stable", STANZAS, apart=True)
    lock = locked(tmp_path, request(archive.config()))
    release = (archive.root / "dists/stable/Release").read_bytes()
    assert lock.suites[0].inrelease == hashlib.sha256(release).hexdigest()
    (archive.root / "dists/stable/Release").write_bytes(release + b"\n")
    (error,) = errors(tmp_path, request(archive.config()))
    assert error.startswith("archive-signature: stable of debian is not what ")
    (archive.root / "dists/stable/Release.gpg").unlink()
    (error,) = errors(tmp_path, request(archive.config()))
    assert error.splitlines()[0] == (
        "archive-signature: Release.gpg of stable of debian (dists/stable/Release.gpg) is nowhere"
        " to be had"
    )


@pytest.mark.parametrize(("suite", "base"), [("./", ""), ("jammy/", "jammy/")])
def test_a_flat_repository(tmp_path: Path, suite: str, base: str) -> None:
    archive = Archive(tmp_path / "mirror")
    stanzas = [stanza("a", filename="./debs/a_1.deb")]
    archive.suite(suite, stanzas, directory="")
    assert (archive.root / base / "InRelease").exists()
    lock = locked(tmp_path, request(archive.config(suite)))
    assert lock.packages[0].path == "debs/a_1.deb"


def test_two_suites_and_all_architectures(tmp_path: Path, archive: Archive) -> None:
    everywhere = lzma.compress(stanza("b", "3", architecture="all").encode())
    archive.suite(
        "updates", [stanza("a", "1:2", depends="b")],
        fields={"Architectures": "all amd64", "Components": "updates/main"},
        more={"main/binary-all/Packages.xz": everywhere},
    )  # fmt: skip
    lock = locked(tmp_path, request(archive.config("stable", "updates")))
    assert versions(lock) == {"a": "1:2", "b": "3"}
    assert [one.suite for one in lock.suites] == ["stable", "updates"]


def test_backports(tmp_path: Path, archive: Archive) -> None:
    archive.suite("backports", [stanza("a", "9")], fields={"NotAutomatic": "yes"})
    config = archive.config("stable", "backports")
    assert versions(locked(tmp_path, request(config)))["a"] == "1:1.0"
    wanted = request(config, packages=["a/backports"])
    assert versions(locked(tmp_path, wanted)) == {"a": "9"}


def test_indexes_by_hash_while_a_mirror_is_being_updated(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "mirror")
    archive.suite("stable", STANZAS, fields={"Acquire-By-Hash": "yes"})
    by_name = archive.root / "dists/stable/main/binary-amd64/Packages.xz"
    by_name.write_bytes(b"of the next update")
    assert len(locked(tmp_path, request(archive.config())).packages) == 2
    # A mirror that has no such names although it says so.
    archive.suite("stable", [stanza("a")], fields={"Acquire-By-Hash": "yes"})
    for path in (by_name.parent / "by-hash/SHA256").iterdir():
        path.unlink()
    assert versions(locked(tmp_path, request(archive.config()))) == {"a": "1"}


def test_an_unchanged_suite_costs_its_release_alone(tmp_path: Path, archive: Archive) -> None:
    with served(archive.root) as server:
        wanted = request(archive.config(mirrors=(server.url,)))
        first = locked(tmp_path, wanted)
        server.asked.clear()
        assert locked(tmp_path, wanted) == first
        assert server.asked == ["/dists/stable/InRelease"]
        (index,) = (tmp_path / "cache/indexes").iterdir()
        os.utime(index, (0, 0))
        assert locked(tmp_path, wanted) == first
        assert index.stat().st_mtime > 0  # as it was used
        index.write_bytes(b"damaged")
        assert locked(tmp_path, wanted) == first


def test_mirrors_are_asked_in_order(tmp_path: Path, archive: Archive) -> None:
    with served(archive.root) as liar:
        liar.otherwise = lambda path: Answer(body=b"<html>please log in</html>")
        mirrors = (nobody_listens(), "/nowhere", liar.url, f"file:{archive.root}")
        lock = locked(tmp_path, request(archive.config(mirrors=mirrors)))
    assert lock == locked(tmp_path, request(archive.config()))  # mirrors are no part of it
    before = Places(tmp_path / "c", now=NOW, mirrors={"debian": [str(archive.root)]})
    assert make_lock(request(archive.config(mirrors=())), before).lock == lock


def test_what_is_wrong_with_a_signature(tmp_path: Path, archive: Archive) -> None:
    wanted = request(archive.config(keyring=keyring("other")))
    (error,) = errors(tmp_path, wanted)
    assert error.startswith("archive-signature: stable of debian is signed by ")
    assert error.endswith(", none of which debian.asc has")
    inrelease = archive.root / "dists/stable/InRelease"
    signed = inrelease.read_bytes()
    inrelease.write_bytes(b"Suite: evil\n\n" + signed)
    (error,) = errors(tmp_path, request(archive.config()))
    assert error == "archive-signature: stable of debian is no clear-signed text"
    inrelease.write_bytes(signed.replace(b"Suite", b"suite"))
    (error,) = errors(tmp_path, request(archive.config()))
    assert error.startswith("archive-signature: stable of debian is not what ")


def test_all_suites_that_are_wrong_are_told(tmp_path: Path, archive: Archive) -> None:
    archive.suite("updates", [], by="other")
    found = errors(tmp_path, request(archive.config("stable", "updates", "security")))
    assert [one.partition(":")[0] for one in found] == ["archive-signature", "archive-index"]
    assert found[1].splitlines()[0] == (
        "archive-index: InRelease or Release of security of debian (dists/security/Release) is"
        " nowhere to be had"
    )


def test_an_expired_one_and_a_snapshot(tmp_path: Path, archive: Archive) -> None:
    archive.suite("stable", STANZAS, fields={"Valid-Until": "Sun, 12 Jul 2026 00:00:00 UTC"})
    (error,) = errors(tmp_path, request(archive.config()))
    assert error == "archive-signature: stable of debian expired on 2026-07-12"
    assert locked(tmp_path, request(archive.config(allow_expired=True))).packages


def test_a_rollback(tmp_path: Path, archive: Archive) -> None:
    old = locked(tmp_path, request(archive.config()))
    assert locked(tmp_path, request(archive.config()), old=old) == old
    newer = replace(old, suites=(old.suites[0]._replace(date="2026-08-01T00:00:00Z"),))
    (error,) = errors(tmp_path, request(archive.config()), old=newer)
    assert error == (
        "archive-signature: stable of debian is of 2026-07-11, older than the lock's (2026-08-01)"
    )
    assert locked(tmp_path, request(archive.config(allow_expired=True)), old=newer) == old


def test_an_index_of_another_digest(tmp_path: Path, archive: Archive) -> None:
    index = archive.root / "dists/stable/main/binary-amd64/Packages.xz"
    data = index.read_bytes()
    for other in (data[:-1] + b"\0", data[:-1], data + b"\0"):
        index.write_bytes(other)
        (error,) = errors(tmp_path, request(archive.config()))
        assert error == (
            "archive-index: main/binary-amd64/Packages.xz of stable of debian is not what InRelease"
            " says: the mirror is being updated or damaged"
        )
    index.unlink()
    (error,) = errors(tmp_path, request(archive.config()))
    assert "is nowhere to be had\n  file:" in error and error.endswith(": not there")


def test_an_index_that_holds_too_much(
    tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.suite("stable", STANZAS * 9)
    monkeypatch.setattr("occlum_build.packages.suites.ARCHIVE_INDEX_BYTES", 500)
    (error,) = errors(tmp_path, request(archive.config()))
    assert "main/binary-amd64/Packages.xz cannot be unpacked: it holds more than 500 bytes" in error
    monkeypatch.setattr("occlum_build.packages.suites.ARCHIVE_INDEX_BYTES", 10)
    (error,) = errors(tmp_path, request(archive.config()))
    assert error.endswith("Packages.xz of stable of debian has more than 10 bytes")


def test_an_index_that_is_no_xz(tmp_path: Path, archive: Archive) -> None:
    content = archive.suite("stable", [], packed=(), more={"main/binary-amd64/Packages.xz": b"x"})
    assert content
    (error,) = errors(tmp_path, request(archive.config()))
    assert error.startswith("archive-index: main/binary-amd64/Packages.xz cannot be unpacked: ")


def test_a_component_that_there_is_not(tmp_path: Path, archive: Archive) -> None:
    (error,) = errors(tmp_path, request(archive.config(components=("main", "universe"))))
    assert error == "archive-index: stable of debian has no component universe for amd64"


def test_a_signed_release_of_another_suite(tmp_path: Path, archive: Archive) -> None:
    text = (archive.root / "dists/stable/InRelease").read_bytes()
    (archive.root / "dists/testing").mkdir()
    (archive.root / "dists/testing/InRelease").write_bytes(text)
    (error,) = errors(tmp_path, request(archive.config("testing")))
    assert error == "archive-signature: testing of debian says that it is stable"
    bad = clear_signed(b"Suite: stable\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nMD5Sum:\n x 1 y\n")
    (archive.root / "dists/stable/InRelease").write_bytes(bad)
    (error,) = errors(tmp_path, request(archive.config()))
    assert error.startswith("archive-index: stable of debian has no SHA256 of its indexes")
