"""Test helpers: the stand-in toolchain, steps as processes, and what a directory holds."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from occlum_build.occlum.file_sealer import ImageFile
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.sefs.planned import numbered

TESTPROJECTS = Path(__file__).resolve().parents[4] / "testprojects"
SOURCES = Path(__file__).resolve().parents[2]
KEY_TEXT = "c0-ff-ee-00-11-22-33-44-55-66-77-88-99-aa-bb-cd"


def load_maker() -> ModuleType:
    """The module testprojects/toolchain/make_toolchain.py."""
    path = TESTPROJECTS / "toolchain" / "make_toolchain.py"
    spec = importlib.util.spec_from_file_location("make_toolchain", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_process(directory: Path, step: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a build graph does: in a directory, without the environment."""
    return subprocess.run(
        [sys.executable, "-B", "-m", f"occlum_build.occlum.{step}", *arguments],
        cwd=directory,
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )


def image_files(manifest: Path) -> dict[str, ImageFile]:
    """The regular files of a manifest by path ("a/b"), as they are to be sealed."""
    entries = {one["path"].strip("/"): one for one in json.loads(manifest.read_bytes())["entries"]}
    entries.pop("", None)
    return {
        path: ImageFile(inode, entries[path]["size"], entries[path]["sha256"], "")
        for path, inode in numbered(entries).items()
        if entries[path]["type"] == "file"
    }


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode, and content or link target, of everything below a directory."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        content = b""
        if stat.S_ISLNK(mode):
            content = os.fsencode(os.readlink(path))
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        found[path.relative_to(root).as_posix()] = (mode, content)
    return found


def changed(request: BuildRequest, **keys_: str) -> None:
    """Change keys of the request's Occlum.json: `metadata__debuggable="false"` (JSON text)."""
    path = request.instance / "Occlum.json"
    document = json.loads(path.read_text())
    for name, text in keys_.items():
        section, key = name.split("__")
        document[section][key] = json.loads(text)
    path.write_text(json.dumps(document))
