"""A project with a root of packages of its own archive, which a test serves, changes and breaks."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from built_image import BuiltImage, built_image
from occlum_build.packages.testing_server import MirrorServer, served
from packages.make_archive import Signer, write_archive
from packages.small_debs import libgreet, small
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, RecordedRun, run_recorded

SMALL = "testprojects/packages"
TOOLCHAIN = "testprojects/toolchain"
PARTS = (SMALL, TOOLCHAIN, BACKENDS)
LOCK, PACKAGES, IMAGE = "app/app.lock", "app:packages", "app:image"
WANTED = ("base-files", "base-passwd", "ca-certificates", "greet-long", "greeting-en")
_ARCHIVE = """\
occlum_archive(name="archive", mirrors={mirrors}, suites=["small"], keyring="{keyring}")
"""
_PACKAGES = """\
occlum_packages(
    name="packages", archives=[":archive"], packages={packages}, lockfile="./app.lock", {fields}
)
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"], sysroot=":packages")
"""


@dataclass
class Site:
    """The project's `app`: an image of packages of an archive that is signed and served here.

    version: of libgreet1; each new one is a package that no cache has seen.
    """

    pants: PantsRunner
    mirror: MirrorServer
    signer: Signer = field(default_factory=Signer)
    version: int = 0

    @property
    def archive(self) -> Path:
        return self.mirror.root

    @property
    def image(self) -> BuiltImage:
        return built_image(self.pants, IMAGE)

    @property
    def library(self) -> bytes:
        """The library of the package that is renewed, as the image has it."""
        return (self.image.tree / "lib/x86_64-linux-gnu/libgreet.so.1").read_bytes()

    def publish(self) -> str:
        """Let the archive have a new libgreet1, and nothing old; its version."""
        self.version += 1
        version = f"1.{self.version}-1"
        shutil.rmtree(self.archive, ignore_errors=True)
        others = [one for one in small() if one.fields["Package"] != "libgreet1"]
        date = f"Sat, 11 Jul 2026 11:{self.version:02}:00 UTC"
        write_archive(
            self.archive, {"small": [*others, libgreet(version, ".xz")]}, self.signer, date
        )
        return version

    def write(
        self,
        mirrors: Sequence[str] = (),
        packages: Sequence[str] = WANTED,
        keyring: str = "./app.asc",
        **fields: object,
    ) -> None:
        """Write the project's targets; `fields` are those of `occlum_packages`."""
        mirrors = list(mirrors or [self.mirror.url])
        more = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        text = _ARCHIVE.format(mirrors=mirrors, keyring=keyring)
        self.pants.write("app/BUILD", text + _PACKAGES.format(packages=list(packages), fields=more))
        self.pants.write("app/app.asc", self.signer.keyring())
        shutil.copy(self.pants.build_root / SMALL / "bom.yaml", self.pants.build_root / "app")

    def lock(self, *options: str, exit_code: int = 0) -> RecordedRun:
        """Write the lock file anew."""
        command = ("generate-lockfiles", f"--resolve={PACKAGES}")
        return run_recorded(self.pants, *options, *command, exit_code=exit_code)

    def build(self, *options: str, exit_code: int | None = 0) -> RecordedRun:
        return run_recorded(self.pants, *options, "package", IMAGE, exit_code=exit_code)

    def new(self, *mirrors: str, **fields: object) -> str:
        """Lock a package that no cache has, by the usual mirror, and write targets as given."""
        version = self.publish()
        self.write()
        self.lock()
        self.forget()
        self.write(mirrors, **fields)  # type: ignore[arg-type]
        return version

    def forget(self) -> None:
        """Remove named caches of packages, and what the mirror was asked for."""
        for name in ("occlum_debs", "occlum_packages", "occlum_roots"):
            shutil.rmtree(self.named_cache(name), ignore_errors=True)
        self.mirror.asked.clear()
        self.mirror.answers.clear()

    def named_cache(self, name: str) -> Path:
        return self.pants.top / "named_caches" / name

    def debs_asked(self) -> list[str]:
        """The names of the packages that the mirror was asked for."""
        return sorted(
            path.rpartition("/")[2].partition("_")[0]
            for path in self.mirror.asked
            if path.endswith(".deb")
        )


@contextlib.contextmanager
def packages_site(top: Path, *options: str) -> Iterator[Site]:
    """A site in an empty directory, with nothing published."""
    with (
        served(top / "mirror") as mirror,
        pants_runner(top / "pants", parts=PARTS, options=options) as pants,
    ):
        yield Site(pants, mirror)
