"""An image is the same whoever builds it, wherever and however."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from built_image import BuiltImage, built_image
from pants_runner import PantsRunner, pants_runner

HELLO = "testprojects/hello:image"
GREETER = "testprojects/monorepo/greeter:image"
PARTS = ("testprojects/hello", "testprojects/monorepo")
# The copy of the project has no lock files; the tool in the greeter has no requirements.
OPTIONS = ("--no-python-enable-resolves",)
FRUGAL = (
    *OPTIONS,
    "--no-pantsd",
    "--rule-threads-core=3",
    "--process-execution-local-parallelism=1",
)


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    with _umask(0o022), pants_runner(top, parts=PARTS, options=OPTIONS) as runner:
        runner.run(
            *("package", HELLO, GREETER),
            env={"LANG": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"},
        ).expect(0)
        yield runner


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """Another checkout, of another user, that shares nothing with the first."""
    top = tmp_path_factory.mktemp("another user") / "s"
    with pants_runner(top, parts=PARTS, options=FRUGAL) as runner:
        yield runner


# What pex builds has the modes that the umask leaves, so the greeter is built with the usual one.
@pytest.mark.parametrize(("address", "umask"), [(HELLO, 0o077), (GREETER, 0o022)])
def test_same_bytes_and_modes(
    pants: PantsRunner, elsewhere: PantsRunner, address: str, umask: int
) -> None:
    _limit_modes(elsewhere, umask)
    env = {"LANG": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2"}
    with _umask(umask):
        elsewhere.run("package", address, env=env).expect(0)

    one, other = built_image(pants, address), built_image(elsewhere, address)
    assert one.digest == other.digest
    assert one.listing() == other.listing()
    assert _other_files(one) == _other_files(other)


def _other_files(image: BuiltImage) -> dict[str, bytes]:
    """What lies beside the tree: digest, manifest and archive."""
    return {path.name: path.read_bytes() for path in image.folder.iterdir() if path.is_file()}


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _limit_modes(pants: PantsRunner, umask: int) -> None:
    """Give the files of the build root the modes that git gives them with this umask."""
    for path in [pants.build_root, *pants.build_root.rglob("*")]:
        if not path.is_symlink():
            usual = 0o777 if path.stat().st_mode & 0o100 else 0o666
            path.chmod(usual & ~umask)
