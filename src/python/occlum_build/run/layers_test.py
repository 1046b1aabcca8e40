"""A root file system below the image: what programs see of both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.run.inside import run_inside, run_program
from occlum_build.run.spec import READ_ONLY, SCRATCH, Program, RootSpec
from occlum_build.run.testing import as_nobody


@pytest.fixture
def below(tmp_path: Path) -> Path:
    root = tmp_path / "below"
    for path in (
        "bin/cat", "etc/hidden", "etc/shown", "usr/lib/x", "home/user/secret", "odd:name/x",
        "odd,name/x", "opt/a/b/c",
    ):  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("below")
    (root / "lib").symlink_to("usr/lib")
    (root / "out").symlink_to(os.path.abspath(os.sep))
    return root


def spec(image: Path, below: Path, access: str = READ_ONLY) -> RootSpec:
    return RootSpec(str(image), access=access, below=str(below), hidden=("etc/hidden",))


def bash(script: str) -> Program:
    return Program(("/bin/bash", "-c", script), ("PATH=/bin",))


def test_the_image_comes_first(image: Path, below: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = (
        "cat /etc/shown /usr/lib/x /lib/x /opt/a/b/c; echo; cat /bin/greet; "
        "for one in /etc/hidden /home/user /odd*; do [ -e $one ] && echo $one; done; "
        "cat /etc/hidden; :"
    )
    assert run_program(spec(image, below), bash(script)) == 0
    told = capfd.readouterr()
    assert told.out == "belowbelowbelowbelow\n#!/bin/bash\necho hello $1\n"
    assert told.err == "cat: /etc/hidden: No such file or directory\n"


@pytest.mark.parametrize("access", [READ_ONLY, SCRATCH])
def test_neither_is_written_to(
    access: str, image: Path, below: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(image.rglob("*"))
    script = "echo new > /etc/new && echo new > /new && echo new > /bin/new && echo new >> /lib/x"
    script += " && cat /etc/new /new /bin/new /lib/x"
    code = run_program(spec(image, below, access), bash(script))
    told = capfd.readouterr()
    if access == SCRATCH:
        assert (code, told.out) == (0, "new\nnew\nnew\nbelownew\n")
    else:
        assert code == 1
        assert "Read-only file system" in told.err
    assert sorted(image.rglob("*")) == before
    assert not (below / "etc/new").exists()
    assert (below / "usr/lib/x").read_text() == "below"


def test_the_machine_itself_below_an_image_that_lies_in_it(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    machine = RootSpec(str(image), below="/")
    assert run_program(machine, bash("[ -d /usr/share ] && [ ! -e /home ] && echo yes")) == 0
    assert capfd.readouterr().out == "yes\n"


def test_as_an_ordinary_user(image: Path) -> None:
    script = bash("[ -d /usr/share ] && [ -x /bin/cat ]")
    assert as_nobody(image, lambda path: run_program(RootSpec(path, below="/"), script)) == 0


def test_a_machine_that_makes_no_layers(
    image: Path, below: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: str, layers: list[str], written: str) -> None:
        raise OSError(22, "Invalid argument", f"mount on {place}")

    monkeypatch.setattr("occlum_build.run.layers._overlay", refuse)
    with pytest.raises(OcclumError, match="the image cannot be run: mount on root: Invalid"):
        run_inside(spec(image, below), lambda _inside: True)
