"""What `./pants package` writes of an enclave, enclaves of a test's own, and the command line."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pants_runner import PantsResult, PantsRunner

TOOLCHAIN = "testprojects/toolchain"
ARCHIVE = f"{TOOLCHAIN}/stand_in.tar.xz"
PARTS = ("testprojects/hello", TOOLCHAIN)
HELLO = "testprojects/hello:enclave"
KEY_TEXT = "c0-ff-ee-00-11-22-33-44-55-66-77-88-99-aa-bb-cd"

# The image of small enclaves: one script.
_APP = """\
occlum_files(name="files", target="/bin", files=["app.sh"])
occlum_files(name="mount_points", target="/", mkdirs=["dev", "etc", "host", "proc"])
occlum_image(name="image", boms=[":files", ":mount_points"])
files(name="sources", sources=["app.sh"])
"""


@dataclass(frozen=True)
class BuiltEnclave:
    """The folder of one enclave in dist."""

    folder: Path

    @property
    def instance(self) -> Path:
        return self.folder / "occlum_instance"

    @property
    def archive(self) -> Path:
        return self.folder / "occlum_instance.tar.gz"

    @property
    def signed(self) -> Path:
        return self.instance / "build/lib/libocclum-libos.signed.so"

    @property
    def measurement(self) -> dict[str, Any]:
        measured = json.loads((self.folder / "measurement.json").read_bytes())
        assert isinstance(measured, dict)
        return measured

    @property
    def mrenclave(self) -> str:
        return str(self.measurement["mrenclave"])

    def listing(self) -> dict[str, tuple[str, bytes]]:
        """Path below the folder -> type with mode, and content or link target."""
        return listing_of(self.folder)


def listing_of(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Path below a folder -> type with mode, as ls shows them, and content or link target."""
    return {path.relative_to(folder).as_posix(): _entry(path) for path in folder.rglob("*")}


def _entry(path: Path) -> tuple[str, bytes]:
    status = path.lstat()
    mode = stat.filemode(status.st_mode)
    if path.is_symlink():
        return mode, os.readlink(path).encode()
    return mode, path.read_bytes() if path.is_file() else b""


def built_enclave(pants: PantsRunner, address: str) -> BuiltEnclave:
    """The enclave that `package` of `path/to/dir:name` wrote."""
    directory, _, name = address.partition(":")
    return BuiltEnclave(pants.dist / directory.replace("/", ".") / name)


def small_enclave(pants: PantsRunner, name: str, **fields: object) -> str:
    """The address of an enclave with the fields, whose image is one script; written, not built."""
    if not (pants.build_root / "app/BUILD").exists():
        pants.write("app/app.sh", "#!/bin/sh\necho app\n")
        pants.write("app/BUILD", _APP)
    given = {"image": "//app:image", "toolchain": f"//{TOOLCHAIN}", **fields}
    text = ", ".join(f"{field}={value!r}" for field, value in given.items())
    pants.write(f"enclaves/{name}/BUILD", f'occlum_enclave(name="enclave", {text})\n')
    return f"enclaves/{name}:enclave"


def package(pants: PantsRunner, *args: str, env: Mapping[str, str] | None = None) -> PantsResult:
    """Package the addresses, which the options come before, and expect that to succeed."""
    return pants.run("package", *args, env=env).expect(0)


def occlum_build(pants: PantsRunner, *args: object, cwd: Path | None = None) -> str:
    """What the command line of the same library prints, which must succeed."""
    done = subprocess.run(
        [
            Path(os.environ["OCCLUM_VENV"], "bin/python"),
            *("-B", "-m", "occlum_build.cli.main"),
            *map(str, args),
        ],
        cwd=cwd or pants.top,
        env={"PYTHONPATH": str(pants.build_root / "src/python"), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def unpacked_toolchain(root: Path) -> Path:
    """The stand-in toolchain as the root of a system that has Occlum installed."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root)
    return root


def image_key_file(path: Path, text: str = KEY_TEXT) -> Path:
    """A file with an image key."""
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def signing_key_files(folder: Path) -> tuple[Path, Path]:
    """A fresh RSA-3072 key with exponent 3, and its public half."""
    private, public = folder / "private.pem", folder / "public.pem"
    openssl("genrsa", "-3", "-out", private, "3072")
    openssl("rsa", "-in", private, "-pubout", "-out", public)
    private.chmod(0o600)
    return private, public


def openssl(*args: object) -> None:
    """Run openssl, which must succeed."""
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)
