"""Directories in one another, more than Python's recursion and more than a path takes: the right
result, or one error that names the tree; never a traceback, and nothing is left over.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from hostile.injected import Injector, Ran, command
from occlum_build.files.stages import is_temporary
from occlum_build.files.trees import remove_tree

TESTPROJECTS = Path("testprojects").resolve()
LEVELS = (1200, 5000)
# A path of the kernel has room for 2,047 of these.
PATH_LEVELS = 2000
_passed: list[str] = []


def make_deep(root: Path, levels: int) -> None:
    """Nested directories, a file in the last one."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)


@pytest.fixture(scope="module")
def injector() -> Iterator[Injector]:
    with Injector(["hostile.in_one_process"]) as one:
        yield one


class Work:
    """A directory for one command, gone afterwards however deep it is."""

    def __init__(self, path: Path, injector: Injector) -> None:
        self.path = path
        self.toolchain = path.parent / "toolchain"
        self.key = path.parent / "key.pem"
        self._injector = injector
        path.mkdir()

    def run(self, *argv: str | Path) -> Ran:
        ran = self._injector.run(command(*argv, cwd=self.path))
        assert not ran.has_traceback, ran
        assert not [name for name in os.listdir(self.path) if is_temporary(name)], ran
        return ran

    def build(self, *more: str) -> Ran:
        return self.run("build", "--toolchain", self.toolchain, "--sign-key", self.key, *more)


@pytest.fixture
def work(tmp_path: Path, injector: Injector) -> Iterator[Work]:
    maker = TESTPROJECTS / "toolchain/make_toolchain.py"
    subprocess.run([sys.executable, maker, tmp_path / "toolchain"], check=True)
    (tmp_path / "key.pem").write_bytes((TESTPROJECTS / "vectors/sign/test_key.pem").read_bytes())
    (tmp_path / "key.pem").chmod(0o600)
    yield Work(tmp_path / "work", injector)
    remove_tree(tmp_path / "work")  # as pytest cannot


@pytest.fixture
def instance(work: Work) -> Work:
    assert work.run("init", "--toolchain", work.toolchain).code == 0
    return work


@pytest.fixture
def passed(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    _passed.append(request.node.name)


def right_or_refused(ran: Ran, levels: int, tree: str) -> None:
    """A tree with paths that the kernel takes is used; of another the error names the top."""
    if levels <= PATH_LEVELS:
        assert ran.code == 0, ran
        return
    assert ran.code == 1, ran
    (error,) = (line for line in ran.err.splitlines() if line.startswith("error: "))
    assert tree in error and "holds a path of more than 4095 bytes" in error, error
    assert len(error) < 500


@pytest.mark.usefixtures("passed")
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("tree", ["image", "initfs"])
def test_build(instance: Work, tree: str, levels: int) -> None:
    make_deep(instance.path / tree, levels)
    right_or_refused(instance.build(), levels, tree)


@pytest.mark.usefixtures("passed")
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("force", [(), ("-f",)])
def test_build_empties_run(instance: Work, force: tuple[str, ...], levels: int) -> None:
    assert instance.build().code == 0
    make_deep(instance.path / "run/mount/__ROOT", levels)
    assert instance.build(*force).code == 0
    assert os.listdir(instance.path / "run/mount/__ROOT") == []


@pytest.mark.usefixtures("passed")
@pytest.mark.parametrize("levels", LEVELS)
def test_a_stage_of_a_killed_run(instance: Work, levels: int) -> None:
    stage = instance.path / ".occlum-build-0123456789abcdef"
    stage.mkdir()
    make_deep(stage, levels)
    assert instance.build().code == 0


@pytest.mark.usefixtures("passed")
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("tree", ["run", "initfs"])
def test_package(instance: Work, tree: str, levels: int) -> None:
    assert instance.build().code == 0
    make_deep(instance.path / tree, levels)
    right_or_refused(instance.run("package", "--debug", "app"), levels, tree)
    assert (instance.path / "app.tar.gz").exists() == (levels <= PATH_LEVELS)


@pytest.mark.usefixtures("passed")
@pytest.mark.parametrize("levels", LEVELS)
def test_prebuilt(instance: Work, levels: int) -> None:
    assert instance.build().code == 0
    (instance.path / "image").rename(instance.path.parent / "image")
    make_deep(instance.path / "build/mount/__ROOT", levels)
    ran = instance.build("-f")
    assert ran.code == 1 and not ran.has_traceback
    assert "build/mount/__ROOT/d cannot be read: it is not a regular file" in ran.err


@pytest.mark.usefixtures("passed")
@pytest.mark.parametrize("levels", LEVELS)
def test_sefs_zip(work: Work, levels: int) -> None:
    (work.path / "tree").mkdir()
    make_deep(work.path / "tree", levels)
    right_or_refused(work.run("sefs", "zip", "tree", "image", "mac"), levels, "tree")


def test_every_deep_tree_passes(record_property: Callable[[str, object], None]) -> None:
    record_property("deep trees that are built or refused", len(_passed))
