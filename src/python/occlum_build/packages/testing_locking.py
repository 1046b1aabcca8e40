"""Locks of small archives, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.config import ArchiveConfig, PackagesRequest
from occlum_build.packages.lock import PackagesLock
from occlum_build.packages.locking import (
    Locking,
    Places,
    make_lock,
)
from occlum_build.packages.testing_archive import (
    stanza,
)

NOW = datetime(2026, 7, 20, tzinfo=timezone.utc)
STANZAS = [stanza("a", "1:1.0", depends="b (>= 1)"), stanza("b", "1+x~2")]


def request(
    *archives: ArchiveConfig, packages: Sequence[str] = ("a",), **more: Any
) -> PackagesRequest:
    return PackagesRequest("lock.yaml", archives, tuple(packages), **more)


def locked(tmp_path: Path, wanted: PackagesRequest, **more: Any) -> PackagesLock:
    return locking(tmp_path, wanted, **more).lock


def locking(tmp_path: Path, wanted: PackagesRequest, **more: Any) -> Locking:
    places = Places(tmp_path / "cache", now=NOW, debs=more.pop("debs", {}))
    return make_lock(wanted, places, **more)


def versions(lock: PackagesLock) -> dict[str, str]:
    return {one.package: one.version for one in lock.packages}


def errors(tmp_path: Path, wanted: PackagesRequest, **more: Any) -> list[str]:
    with pytest.raises(OcclumError) as raised:
        locked(tmp_path, wanted, **more)
    return [f"{one.code}: {one.message}" for one in raised.value.problems]
