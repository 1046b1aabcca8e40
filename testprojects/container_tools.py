"""Bundles and image layouts on disk, in the hands of runc and umoci."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from system_tools import run_tool, tool


@dataclass(frozen=True)
class Container:
    """runc running a copy of a bundle, which is in `bundle`; its outputs are in one pipe."""

    process: subprocess.Popen[str]
    bundle: Path
    identity: str
    runc: tuple[str, ...]

    def run(self, *argv: str) -> str:
        """Run a program beside the container's own; what it printed."""
        return run_tool(*self.runc, "exec", self.identity, *argv)


@contextlib.contextmanager
def container(bundle: Path, tmp_path: Path) -> Iterator[Container]:
    """A container of a copy of the bundle, until the block ends."""
    if os.geteuid() != 0:
        pytest.skip("runc needs root for a bundle without a user namespace")
    runc = (tool("runc"), "--root", str(tmp_path / "state"))
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy, symlinks=True)
    identity = f"occlum-{uuid.uuid4().hex}"
    with subprocess.Popen(
        [*runc, "run", "--bundle", copy, identity],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Container(process, copy, identity, runc)
        finally:
            subprocess.run([*runc, "delete", "--force", identity], capture_output=True)


def unpack(layout: Path, name: str, out: Path) -> None:
    """Unpack an image into the bundle `out` with umoci."""
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    run_tool("umoci", "unpack", *rootless, "--image", f"{layout}:{name}", str(out))


def layers(layout: Path) -> list[str]:
    """The digests of the layers of the one image in a layout, as hex."""
    index = json.loads((layout / "index.json").read_bytes())
    manifest = _blob(layout, index["manifests"][0]["digest"])
    return [layer["digest"].split(":")[1] for layer in manifest["layers"]]


def names_of_blobs(layout: Path) -> list[str]:
    """The names of the blobs in a layout, which must be their digests."""
    found = sorted((layout / "blobs/sha256").iterdir())
    assert [path.name for path in found] == [sha256(path) for path in found]
    return [path.name for path in found]


def sha256(path: Path) -> str:
    """The digest of a file as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listing(root: Path) -> dict[str, tuple[int, str]]:
    """Path below the directory -> type with mode, and digest of the content or link target."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = ""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = sha256(path)
        found[path.relative_to(root).as_posix()] = (path.lstat().st_mode, content)
    return found


def _blob(layout: Path, digest: str) -> dict[str, Any]:
    value = json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())
    assert isinstance(value, dict)
    return value
