"""What `./pants package` writes of an image, and programs run in a copy of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pants_runner import PantsRunner
from system_tools import tool

NOBODY = 65534

# The two ways into an image: as root, and as an ordinary user with a user namespace.
WAYS = ("chroot", "unshare")


@dataclass(frozen=True)
class BuiltImage:
    """The folder of one image in dist."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "image"

    @property
    def digest(self) -> str:
        return (self.folder / "image.digest").read_text(encoding="ascii").strip()

    def listing(self) -> dict[str, tuple[str, bytes]]:
        """Path below the tree -> type with mode, as ls shows them, and content or link target."""
        return {
            path.relative_to(self.tree).as_posix(): _entry(path)
            for path in sorted([self.tree, *self.tree.rglob("*")])
        }

    def inodes(self) -> dict[str, tuple[int, int]]:
        """Path of each file below the tree -> inode and time of change: both new if rewritten."""
        return {
            path.relative_to(self.tree).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in sorted(self.tree.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }


def _entry(path: Path) -> tuple[str, bytes]:
    status = path.lstat()
    mode = stat.filemode(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return mode, os.readlink(path).encode()
    return mode, path.read_bytes() if stat.S_ISREG(status.st_mode) else b""


def built_image(pants: PantsRunner, address: str) -> BuiltImage:
    """The image that `package` of `path/to/dir:name` wrote."""
    directory, _, name = address.partition(":")
    return BuiltImage(pants.dist / directory.replace("/", ".") / name)


@dataclass(frozen=True)
class ImageRoot:
    """A writable copy of an image that programs can run in, entered in one of the WAYS."""

    path: Path
    way: str

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program of the image; both its outputs can be read from `stdout`."""
        return subprocess.Popen(
            [*_entering(self.way, self.path), *argv],
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *argv: str) -> str:
        """Run a program of the image to its end; what it printed."""
        with self.start(*argv) as process:
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{argv} ended with {process.returncode}: {output}"
        return output

    @contextlib.contextmanager
    def serving(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """A program of the image that runs until the block ends."""
        with self.start(*argv) as process:
            try:
                yield process
            finally:
                process.kill()


@contextlib.contextmanager
def image_root(image: BuiltImage, way: str) -> Iterator[ImageRoot]:
    """A copy of the image for one test, which is skipped where this way in is not open."""
    with tempfile.TemporaryDirectory(prefix="occlum-image-") as top:
        os.chmod(top, 0o755)
        root = Path(top) / "root"
        shutil.copytree(image.tree, root, symlinks=True)
        if way == "unshare" and os.geteuid() == 0:
            for path in [root, *root.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        _skip_unless_open(way)
        yield ImageRoot(root, way)


def _skip_unless_open(way: str) -> None:
    if way == "chroot" and os.geteuid() != 0:
        pytest.skip("chroot needs root")
    probe = subprocess.run(
        [*_entering(way, Path("/")), "/bin/true"], capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f"no {way} on this machine: {probe.stderr.strip()}")


def _entering(way: str, root: Path) -> list[str]:
    if way == "chroot":
        return [tool("chroot"), str(root)]
    as_user = [tool("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [*(as_user if os.geteuid() == 0 else []), tool("unshare"), "-r", f"--root={root}"]
