"""Readers of what archives of packages publish, and of the lock files that come of it.

Each takes an input of any bytes and may raise nothing but OcclumError. Where what was read can be
written again, it must come back the same.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from hostile.fuzzing.workplace import fresh_directory, parts_of, text_of
from occlum_build.errors import OcclumError
from occlum_build.packages.config import ArchiveConfig
from occlum_build.packages.config_file import read_configuration
from occlum_build.packages.lock import PackagesLock, read_lock, write_lock
from occlum_build.packages.lock_changes import changes_of
from occlum_build.packages.package_index import PackageIndex
from occlum_build.packages.release import check_release, parse_release
from occlum_build.packages.resolve import Wish, resolve
from occlum_build.packages.signature import Keyring, Signed, verify_clear, verify_detached
from occlum_build.packages.universe import Suite, Universe
from occlum_build.packages.unpacked import unpacked
from occlum_build.packages.urls import Wanted, check_mirror, location

_NOW = datetime(2026, 7, 20, tzinfo=timezone.utc)
_WANTED = Wanted("pool/a_1.deb", "ab" * 32, 9, "20260712T101637Z", "a 1")


def packages_signature(data: bytes) -> None:
    """A keyring, a clear-signed text, a detached signature of that."""
    ring, clear, apart = parts_of(data, 3)
    keyring = Keyring(ring, "keyring")
    for signature in (b"", apart):
        try:
            if signature:
                signed = verify_detached(clear, signature, keyring, "apart")
            else:
                signed = verify_clear(clear, keyring, "clear")
            assert signed.signers
        except OcclumError as error:
            assert error.code == "archive-signature"


def packages_release(data: bytes) -> None:
    """A Release file that somebody signed."""
    release = parse_release(Signed(data, ("AB",)), "stable of debian")
    for component in ("main", ""):
        try:
            release.indexes(component, "amd64")
        except OcclumError as error:
            assert error.code == "archive-index"
    check_release(release, "stable", ArchiveConfig("debian", (), ()), _NOW, "2026-01-01T00:00:00Z")


def packages_index(data: bytes) -> None:
    """What is asked for, and the Packages files of two suites."""
    asked, *indexes = parts_of(data, 3)
    suites = [
        Suite("debian", f"suite{number}", (PackageIndex(content, "Packages"),))
        for number, content in enumerate(indexes)
    ]
    words = text_of(asked).split("\n")[:50]
    for recommends in (False, True):
        wish = Wish(words, essential=True, recommends=recommends)
        try:
            resolve(Universe(suites), wish)
        except OcclumError:
            continue


def packages_packed(data: bytes) -> None:
    """A compressed index."""
    for name in ("Packages.xz", "Packages.gz"):
        try:
            assert len(unpacked(data, name, 1 << 20)) <= 1 << 20
        except OcclumError as error:
            assert error.code == "archive-index"


def packages_lock(data: bytes) -> None:
    """A lock file of packages."""
    lock = read_lock(data, "x.lock")
    assert write_lock(lock) == data
    assert changes_of(lock, lock).lines() == []
    changes_of(PackagesLock({}), lock)


def packages_config(data: bytes) -> None:
    """A configuration; its mirrors, and others."""
    text, *mirrors = parts_of(data, 2)
    with fresh_directory() as directory:
        (directory / "keys.asc").write_bytes(b"key")
        (directory / "c.yaml").write_bytes(text)
        with suppress(OcclumError):  # mirrors are looked at all the same
            read_configuration(directory / "c.yaml", _stanza)
    for mirror in text_of(b"\n".join(mirrors)).split("\n")[:50]:
        check_mirror(mirror)
        assert location(mirror, _WANTED).startswith(("/", "http://", "https://", "HTTP"))


def _stanza(path: Path) -> dict[str, str]:
    raise OcclumError("deb", f"{path.name} is no .deb")
