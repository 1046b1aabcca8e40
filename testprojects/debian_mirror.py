"""Archives of this machine's Debian as a directory, for tests that lock packages of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from occlum_build.packages.testing_apt import KEYRING_OF_DEBIAN, fill_mirrors, mirror_of_apt
from pants_runner import PantsRunner

_ARCHIVE = """\
occlum_archive(
    name="{name}", mirrors=["file:{root}/{name}"], suites={suites}, keyring="./debian.gpg",
    allow_expired=True,
)
"""


@dataclass(frozen=True)
class DebianMirror:
    """Archives of Debian in a directory; the suites of each."""

    root: Path
    suites: dict[str, list[str]]

    @property
    def addresses(self) -> list[str]:
        """Of the archives, in the folder that they are written to."""
        return [f":{name}" for name in self.suites]

    @property
    def targets(self) -> str:
        """The archives in BUILD language; `debian.gpg` is to be beside them."""
        return "".join(
            _ARCHIVE.format(name=name, root=self.root, suites=suites)
            for name, suites in self.suites.items()
        )

    def write(self, pants: PantsRunner, build: str, wanted: Sequence[str]) -> Path:
        """Write the folder `debian`; `build` is what follows its archives, with two fields."""
        build = build.format(archives=self.addresses, wanted=list(wanted))
        folder = pants.write("debian/BUILD", self.targets + build).parent
        shutil.copy(KEYRING_OF_DEBIAN, folder / "debian.gpg")
        return folder


def debian_mirror(root: Path, work: Path, wanted: Sequence[str]) -> DebianMirror:
    """A mirror with packages and all that they need; skips the test where it cannot be made."""
    if not KEYRING_OF_DEBIAN.exists():
        pytest.skip(f"there is no {KEYRING_OF_DEBIAN} on this machine")
    suites = mirror_of_apt(root)
    if not suites:
        pytest.skip("apt has no suites of Debian on this machine")
    fill_mirrors(root, suites, wanted, work)
    return DebianMirror(root, suites)
