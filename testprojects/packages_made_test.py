"""The committed archive is what its maker makes, and what is built of it is the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from another_machine import another_machine
from built_enclave import listing_of
from occlum_build.packages.deb import opened
from packages.small_debs import Deb, small, small_updates
from packages_site import PARTS, SMALL
from pants_runner import PantsRunner, pants_runner

ARCHIVE = Path(SMALL, "archive")
ADDRESSES = tuple(f"{SMALL}:{name}" for name in ("image", "tar", "enclave"))


def _members(path: Path) -> list[bytes]:
    with opened(path, path.name) as deb:
        return [deb.control.read(), deb.data.read()]


@pytest.mark.parametrize("deb", [*small(), *small_updates()], ids=lambda one: one.fields["Package"])
def test_a_package_is_what_the_maker_makes(deb: Deb, tmp_path: Path) -> None:
    made = tmp_path / "made.deb"
    made.write_bytes(deb.content)
    # Other versions of the libraries may compress the same members to other bytes.
    assert _members(made) == _members(ARCHIVE / deb.path)


def test_nothing_else_is_in_the_pool() -> None:
    made = {one.path for one in (*small(), *small_updates())}
    assert {path.relative_to(ARCHIVE).as_posix() for path in ARCHIVE.rglob("*.deb")} == made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("here"), parts=PARTS) as runner:
        _build(runner)
        yield runner


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("elsewhere") / "machine"
    with another_machine(top, parts=PARTS) as runner:
        _build(runner)
        yield runner


def _build(runner: PantsRunner) -> None:
    committed = Path(SMALL, "small.lock").read_bytes()
    lock = runner.build_root / SMALL / "small.lock"
    lock.write_bytes(b"")
    runner.run("generate-lockfiles", f"--resolve={SMALL}:small").expect(0)
    assert lock.read_bytes() == committed
    runner.run("package", *ADDRESSES).expect(0)


def test_two_machines_build_the_same(here: PantsRunner, elsewhere: PantsRunner) -> None:
    one, other = (listing_of(runner.dist) for runner in (here, elsewhere))
    assert one == other
    assert sum(path.endswith("image.digest") for path in one) == len(ADDRESSES)
