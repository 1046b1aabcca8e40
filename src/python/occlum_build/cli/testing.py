"""A workspace for tests of `copy-bom`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from occlum_build.cli.main import main

BOM = """\
targets:
- target: /app
  mkdirs: [tmp]
  createlinks: [{src: run, linkname: start}]
  copy:
  - {from: src, files: [run], dirs: [conf]}
"""


DUE = {
    "app": "0755",
    "app/conf": "0750",
    "app/conf/a": "0640 a",
    "app/run": "0751 run\n",
    "app/start": "0777 -> run",
    "app/tmp": "0755",
}


class Workspace:
    """The working directory `ws` with sources `src`; the BOM lies above it, the image in it."""

    def __init__(self, top: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.top, self.capsys = top, capsys
        self.path = top / "ws"
        self.image = self.path / "image"
        self.bom = top / "bom.yaml"
        (self.path / "src/conf").mkdir(parents=True)
        (self.path / "src/run").write_text("run\n")
        (self.path / "src/run").chmod(0o751)
        (self.path / "src/conf/a").write_text("a")
        (self.path / "src/conf/a").chmod(0o640)
        (self.path / "src/conf").chmod(0o750)

    def run(self, *options: str, bom: str = BOM, root: str = "image") -> tuple[int, str, str]:
        """Exit code, standard output and error."""
        self.bom.write_text(bom)
        arguments = ["copy-bom", "-f", "../bom.yaml", "--root", root, *options]
        try:
            code = main(arguments)
        except SystemExit as usage:
            code = usage.code if isinstance(usage.code, int) else -1
        out, err = self.capsys.readouterr()
        return code, out, err

    def told(self, *options: str, bom: str = BOM, root: str = "image") -> str:
        """Standard error of a run that succeeds."""
        code, out, err = self.run(*options, bom=bom, root=root)
        assert (code, out) == (0, ""), err
        return err

    def tree(self) -> dict[str, str]:
        """All below the top directory but the BOM: path -> mode, and content or target."""
        found = {}
        for path in sorted(self.top.rglob("*")):
            mode = f"{stat.S_IMODE(path.lstat().st_mode):04o}"
            text = f" -> {os.readlink(path)}" if path.is_symlink() else ""
            text = f" {path.read_text()}" if path.is_file() and not text else text
            found[str(path.relative_to(self.top))] = mode + text
        return {path: entry for path, entry in found.items() if path != "bom.yaml"}

    def image_tree(self) -> dict[str, str]:
        prefix = "ws/image/"
        return {
            path[len(prefix) :]: entry
            for path, entry in self.tree().items()
            if path.startswith(prefix)
        }


def copy(item: str) -> str:
    return f"targets: [{{target: /, copy: [{{{item}}}]}}]"
