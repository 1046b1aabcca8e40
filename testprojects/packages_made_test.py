"""The committed archive is what its maker makes, and what is built of it is the same everywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import listing_of
from occlum_build.packages.deb import opened
from packages.small_debs import Deb, small, small_updates
from packages_site import PARTS, SMALL
from pants_runner import PantsRunner, pants_runner

ARCHIVE = Path(SMALL, "archive")
ADDRESSES = tuple(f"{SMALL}:{name}" for name in ("image", "tar", "enclave"))
NOBODY = 65534
# As in reproducible_test.py: the interpreter and this test's files may lie where only root enters.
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
)
# No tool of a distribution is needed, and none that unpacks files.
LACKING = (
    *("apt", "ar", "bzip2", "curl", "deb", "dpkg", "gpg", "gunzip", "gzip", "sq", "tar", "unxz"),
    *("unzstd", "wget", "xz", "zstd"),
)


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
    """Another checkout of another user, without the tools of a distribution."""
    top = tmp_path_factory.mktemp("elsewhere") / "of another user"
    as_user = AS_NOBODY if os.geteuid() == 0 else ()
    env = {"LANG": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "PATH": str(_path(top.parent / "bin"))}
    wrapper = (*as_user, "sh", "-c", 'umask "$0" && exec "$@"', "077")
    with pants_runner(
        top, parts=PARTS, options=("--no-pantsd",), env=env, wrapper=wrapper
    ) as runner:
        if as_user:
            for path in [top, *top.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        _build(runner)
        yield runner


def _path(directory: Path) -> Path:
    """A directory of links to the programs of this machine, but for some."""
    directory.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            link = directory / program.name
            if not program.name.startswith(LACKING) and not link.is_symlink():
                link.symlink_to(program)
    assert shutil.which("dpkg", path=str(directory)) is None
    return directory


def _build(runner: PantsRunner) -> None:
    lock = runner.build_root / SMALL / "small.lock"
    committed = lock.read_bytes()
    lock.write_bytes(b"")
    runner.run("generate-lockfiles", f"--resolve={SMALL}:small").expect(0)
    assert lock.read_bytes() == committed
    runner.run("package", *ADDRESSES).expect(0)


def test_two_machines_build_the_same(here: PantsRunner, elsewhere: PantsRunner) -> None:
    one, other = (listing_of(runner.dist) for runner in (here, elsewhere))
    assert one == other
    assert sum(path.endswith("image.digest") for path in one) == len(ADDRESSES)
