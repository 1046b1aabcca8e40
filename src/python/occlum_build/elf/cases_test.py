"""Every loader rule of testprojects/elf_cases, against what is written there and the real ld.so.

A case is a folder of build.sh and case.json: `rule`, `program` (source path), `image_path`,
`config` (text of the loader config), `cpu_level`, `image` (what the image holds: path -> source),
and what is due: `closure` (name -> path), `reused` names, `missing` (name -> chain), `placements`
(image path -> source, or null for none), `lacking` versions (library, versions, needer), parts of
`problems` and `hint`. `ld_so` false: the real loader is not asked; `musl`, `debian`: only where the
machine has it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from occlum_build.elf.closure import ALREADY_LOADED, Closure
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig, parse_loader_config
from occlum_build.elf.placement import placements
from occlum_build.elf.testing import HostView

CASES = Path("testprojects/elf_cases").resolve()
NAMES = sorted(path.parent.name for path in CASES.glob("*/case.json"))
# The others depend on the working directory, or the real loader cannot list them.
LISTED = [
    name for name in NAMES if '"ld_so": false' not in (CASES / name / "case.json").read_text()
]
MUSL = "/lib/ld-musl-x86_64.so.1"
LEVELS = {"baseline": "none", "v3": "x86-64-v3:x86-64-v2"}


class Case:
    """One built case; `{root}` in its texts is the directory it was built in."""

    def __init__(self, name: str, root: Path) -> None:
        text = (CASES / name / "case.json").read_text()
        self.data: dict[str, Any] = json.loads(text.replace("{root}", str(root)))
        self.root = str(root)
        script = str(CASES / name / "build.sh")
        env = {"PATH": os.environ["PATH"], "ROOT": self.root, "CASES": str(CASES)}
        subprocess.run(["sh", script], cwd=root, env=env, check=True, stderr=subprocess.PIPE)
        config = self.data.get("config")
        self.config = parse_loader_config(config, "config") if config else LoaderConfig()

    def close(self) -> Closure:
        view = HostView(self.root)
        linker = Linker(
            view,
            self.config,
            cpu_level=self.data.get("cpu_level", "baseline"),
            image_lookup=self.data.get("image", {}).get,
        )
        return linker.close(self.data["program"], self.data["image_path"])

    def on_disk(self, path: str) -> str:
        """The absolute path, its directory without links."""
        directory, name = os.path.split(os.path.join(self.root, path))
        return os.path.join(os.path.realpath(directory), name)

    def real_closure(self, loader: str) -> tuple[dict[str, str], int]:
        """Name -> path as the real loader lists them, and its exit code."""
        program = os.path.realpath(os.path.join(self.root, self.data["program"]))
        options = ["--library-path", ":".join(d for e in self.config.entries for d in e.dirs)]
        if "musl" not in loader:
            options += ["--glibc-hwcaps-mask", LEVELS[self.data.get("cpu_level", "baseline")]]
        command = [loader, *options, "--list", program]
        done = subprocess.run(command, env={}, capture_output=True, text=True, cwd="/")
        lines = re.findall(r"^\t(\S+) => (\S+) \(0x", done.stdout, re.M)
        bare = re.findall(r"^\t(/\S+) \(0x", done.stdout, re.M)
        found = {**dict(lines), **{one: one for one in bare}}
        return {name: path for name, path in found.items() if "/ld-" not in path}, done.returncode


@pytest.fixture(scope="module", params=NAMES)
def built(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Case:
    case = json.loads((CASES / request.param / "case.json").read_text())
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    if case.get("musl") and not os.path.exists(MUSL):
        pytest.skip("musl is not installed")
    if case.get("debian") and not os.path.exists("/lib/x86_64-linux-gnu/libc.so.6"):
        pytest.skip("the machine has no Debian multiarch directories")
    return Case(request.param, tmp_path_factory.mktemp(request.param).resolve())


def test_closure_is_as_written(built: Case) -> None:
    closure, data = built.close(), built.data
    found = {edge.name: edge.path for edge in closure.edges if edge.rule != ALREADY_LOADED}
    assert found == data["closure"]
    reused = [edge.name for edge in closure.edges if edge.rule == ALREADY_LOADED]
    assert reused == data.get("reused", reused if data.get("debian") else [])
    assert {one.name: list(one.chain) for one in closure.missing} == data.get("missing", {})
    assert data.get("hint", "") in "".join(problem.hint for problem in closure.errors())
    texts = data.get("problems", [])
    assert len(closure.problems) == len(texts)
    assert all(text in one.message for text, one in zip(texts, closure.problems))
    lacking = [[one.library, *one.versions, one.needer] for one in closure.lacking]
    assert lacking == data.get("lacking", [])


def test_libraries_are_placed_as_written(built: Case) -> None:
    placed = {one.image_path: one.source for one in placements(built.close())}
    for image_path, source in built.data.get("placements", {}).items():
        assert placed.get(image_path) == source


@pytest.mark.parametrize("built", LISTED, indirect=True)
def test_closure_is_that_of_the_real_loader(built: Case) -> None:
    closure = built.close()
    assert closure.interpreter is not None
    real, code = built.real_closure(closure.interpreter.path)
    if closure.missing:
        assert code != 0
    else:
        found = {e.name: built.on_disk(e.path) for e in closure.edges if e.rule != ALREADY_LOADED}
        for name in built.data.get("reused", []):
            real.pop(name, None)
        assert code == 0
        assert found == {name: built.on_disk(path) for name, path in real.items()}
