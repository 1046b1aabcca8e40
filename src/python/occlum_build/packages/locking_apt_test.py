"""A lock of the archive that apt of this machine knows: real signatures, indexes and packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.packages.config import ArchiveConfig, PackagesRequest
from occlum_build.packages.lock import read_lock, write_lock
from occlum_build.packages.locking import Places, make_lock
from occlum_build.packages.resolve import USR_IS_MERGED
from occlum_build.packages.testing_apt import KEYRING_OF_DEBIAN, Apt, mirror_of_apt

pytest.importorskip("pysequoia")
PACKAGES = ("redis-server", "python3-numpy", "nginx", "ca-certificates")


def test_a_lock_of_a_real_archive(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if not KEYRING_OF_DEBIAN.exists():
        pytest.skip("there is no keyring of Debian on this machine")
    suites = mirror_of_apt(tmp_path / "mirror")
    archives = tuple(
        ArchiveConfig(
            name,
            (f"file:{tmp_path}/mirror/{name}",),
            tuple(of_mirror),
            ("main",),
            KEYRING_OF_DEBIAN.read_bytes(),
            KEYRING_OF_DEBIAN.name,
            allow_expired=True,  # the lists may be some weeks old
        )
        for name, of_mirror in suites.items()
    )
    request = PackagesRequest("test", archives, PACKAGES)
    lock = make_lock(request, Places(tmp_path / "cache")).lock
    again = make_lock(request, Places(tmp_path / "other"), old=lock).lock
    assert write_lock(again) == write_lock(lock)
    assert read_lock(write_lock(lock), "x.lock") == lock
    apt = Apt(tmp_path / "apt").installed([*PACKAGES, USR_IS_MERGED])
    assert {one.package: one.version for one in lock.packages} == apt
    assert len(lock.suites) == sum(map(len, suites.values()))
    record_property("packages of a real lock", len(lock.packages))
    record_property("bytes of a real lock", len(write_lock(lock)))
