"""Wheels and a real remote cache: a second machine installs and downloads none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_image import built_image
from cache_server import CacheServer, cache_server
from occlum_build.packages.testing_server import MirrorServer, served
from packages.small_wheels import write_wheels
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, run_recorded

SMALL = "testprojects/packages"
IMAGE = f"{SMALL}:python"
PARTS = (SMALL, "testprojects/toolchain", BACKENDS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CacheServer]:
    with cache_server(tmp_path / "storage") as running:
        yield running


@contextlib.contextmanager
def machine(top: Path, server: CacheServer) -> Iterator[tuple[PantsRunner, MirrorServer]]:
    """A checkout, and a mirror of its own."""
    write_wheels(top / "wheels")
    with served(top / "wheels") as mirror:
        options = [*server.options, f"--occlum-wheel-mirrors={mirror.url}/{{name}}"]
        with pants_runner(top / "machine", parts=PARTS, options=options) as pants:
            yield pants, mirror


def test_a_second_machine_downloads_no_wheel(server: CacheServer, tmp_path: Path) -> None:
    with machine(tmp_path / "first", server) as (pants, mirror):
        assert "Install greetings 1.0" in run_recorded(pants, "package", IMAGE).ran
        assert len(mirror.asked) == 2
        before = built_image(pants, IMAGE).listing()
    with machine(tmp_path / "of another user", server) as (pants, mirror):
        run = run_recorded(pants, "package", IMAGE)
        assert {one.source for one in run.processes} == {"HitRemotely"}
        assert mirror.asked == []
        assert built_image(pants, IMAGE).listing() == before
