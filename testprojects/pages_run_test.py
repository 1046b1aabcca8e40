"""README.md and docs/tutorial.md, copied and pasted into an empty folder, with the wheels alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_repository import LIBRARY, PLUGIN, built_wheels, foreign_repository
from pages import FILE, SHELL, TEXT, Block, blocks_of
from pants_runner import PantsRunner

PAGES = (Path("README.md"), Path("docs/tutorial.md"))


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """An empty build root; OCCLUM_CHECKOUT has the examples and the two wheels."""
    top = tmp_path_factory.mktemp("newcomer")
    checkout = top / "checkout"
    shutil.copytree("examples", checkout / "examples")
    (checkout / "dist").mkdir()
    for wheel in (LIBRARY, PLUGIN):
        shutil.copy(built_wheels() / wheel, checkout / "dist")
    # Of the wheels the pages say where they are.
    env = {"OCCLUM_CHECKOUT": str(checkout), "PANTS_PYTHON_REPOS_INDEXES": "+[]"}
    with foreign_repository(top / "pants", env=env) as runner:
        commands = top / "bin"
        commands.mkdir()
        shutil.move(runner.build_root / "pants", commands / "pants")
        yield runner


def run(newcomer: PantsRunner, page: Path, block: Block) -> str:
    """What the commands of a block print; all of them must succeed."""
    environment = newcomer.environment()
    environment["PATH"] = f"{newcomer.top.parent / 'bin'}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=newcomer.build_root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{page}:{block.line}\n{block.text}\n{done.stdout}"
    return done.stdout


def write(newcomer: PantsRunner, block: Block) -> None:
    """A file that is there already stays untouched, so that pantsd goes on."""
    file = newcomer.build_root / block.file
    if not file.exists() or file.read_text() != block.text:
        newcomer.write(block.file, block.text)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_copy_and_paste(newcomer: PantsRunner, page: Path) -> None:
    for path in newcomer.build_root.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            shutil.rmtree(path)
    printed, kinds = "", set()
    for block in blocks_of(page):
        kinds.add(block.kind)
        if block.kind == FILE:
            write(newcomer, block)
        elif block.kind == SHELL:
            printed = run(newcomer, page, block)
        else:
            for line in block.text.splitlines():
                assert line in printed, f"{page}:{block.line}: not printed: {line}\n{printed}"
    assert kinds == {FILE, SHELL, TEXT}


def test_a_file_without_a_name_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text\n\n```python\nx = 1\n```\n")
    with pytest.raises(
        AssertionError, match=r"page\.md:3: the first line of the block is no `# path`"
    ):
        list(blocks_of(page))
