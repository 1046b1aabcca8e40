"""What a memo says of an image: where it was another one, or is another one by the end of a run."""

from __future__ import annotations

import os
from typing import Any

import pytest

from occlum_build.cli import copy_bom
from occlum_build.cli.copy_bom_plan import ExistingImage
from occlum_build.cli.memo import record
from occlum_build.cli.memo.find import OPTION
from occlum_build.cli.memo.testing import BOM, LOADER, Change, Workspace, twice
from occlum_build.elf.layout import DT_NEEDED, DT_RUNPATH
from occlum_build.elf.testing_made import made_elf
from occlum_build.errors import OcclumError
from occlum_build.image.write import ImageWriter


@pytest.fixture
def _on(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine had so many: with more than one, a copy of the process plans once more."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))


def test_a_plan_over_an_image_is_not_that_of_none(ws: Workspace) -> None:
    """What is linked in the image leads elsewhere; without the image it does not."""

    def runs(*options: str) -> list[object]:
        ws.mkdir("ws/image").mkdir("ws/image/elsewhere").link("ws/image/app", "elsewhere")
        first, second = ws.run(*options), ws.run(*options)
        assert ws.was_known is (not options)
        assert "elsewhere/run" in second.image
        ws.remove("ws/image")
        third = ws.run(*options)
        assert not ws.was_known
        assert "app/run" in third.image
        return [first, second, third, ws.run(*options)]

    assert twice(ws, runs)


def test_a_directory_that_was_there_keeps_its_mode_until_it_goes(ws: Workspace) -> None:
    def runs(*options: str) -> list[object]:
        ws.mkdir("ws/image").mkdir("ws/image/app").chmod("ws/image/app", 0o711)
        first, second = ws.run(*options), ws.run(*options)
        assert ws.was_known is (not options)
        ws.remove("ws/image")
        third = ws.run(*options)
        assert not ws.was_known
        assert (first.image["app"], third.image["app"]) == ("drwx--x--x", "drwxr-xr-x")
        return [first, second, third, ws.run(*options)]

    assert twice(ws, runs)


@pytest.mark.usefixtures("_on")
@pytest.mark.parametrize("cores", [1, 2])
def test_a_plan_over_what_a_run_left_may_ask_for_its_content(ws: Workspace) -> None:
    """A library that one program brings is found for another one once it is there."""
    origin = made_elf(LOADER, tags=[(DT_NEEDED, b"libq.so"), (DT_RUNPATH, b"$ORIGIN")])
    there = made_elf(LOADER, tags=[(DT_NEEDED, b"libq.so"), (DT_RUNPATH, b"$ORIGIN/../../opt")])
    ws.write("host/opt/brings", origin).write("host/opt/libq.so", made_elf())
    ws.write("ws/src/conf/a", there)
    opt = "- target: /opt\n  copy: [{files: [/opt/brings]}]\n"
    ws.write("bom.yaml", BOM + opt)

    def runs(*options: str) -> list[object]:
        first, second = ws.run(*options), ws.run(*options)
        assert "opt/libq.so" in first.image
        assert ("libq.so" in first.err, "libq.so" in second.err) == (True, False)
        assert not ws.was_known
        return [first, second, ws.run(*options), ws.run(*options)]

    assert twice(ws, runs)


def test_what_an_image_will_be_is_what_it_is_then(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan over what will be written sees what one over what was written would see."""
    told: list[dict[str, object]] = []

    class Recorder(record.Recorder):
        def planned(self, plan: Any, *arguments: Any) -> None:
            super().planned(plan, *arguments)
            will_be = record._ImageOf(str(ws.image), plan)
            told.append({entry.path: will_be.lstat(entry.path) for entry in plan.entries})

    monkeypatch.setattr(record, "Recorder", Recorder)
    assert ws.run().code == 0
    assert len(told[0]) > 10
    assert told[0] == {path: ExistingImage(str(ws.image)).lstat(path) for path in told[0]}


@pytest.mark.usefixtures("_on")
@pytest.mark.parametrize("cores", [1, 2])
def test_a_plan_over_what_a_run_left_may_be_another_one(ws: Workspace) -> None:
    """The link that overrides a file is there in the second run, where it leads the file on."""
    top = "includes: [more.yaml]\ntargets:\n- target: /d\n  mkdirs: [real]\n"
    ws.write("bom.yaml", top + "  copy: [{from: src, files: [a.txt]}]\n")
    link = "targets:\n- target: /d\n  createlinks: [{src: real, linkname: a.txt}]\n"
    ws.write("late/more.yaml", link)

    def runs(*options: str) -> list[object]:
        first, second = ws.run(*options), ws.run(*options)
        assert not ws.was_known
        assert ("d/real/a.txt" in first.image, "d/real/a.txt" in second.image) == (False, True)
        return [first, second, ws.run(*options), ws.run(*options)]

    assert twice(ws, runs)


def test_a_root_below_a_link_that_leads_elsewhere_then(ws: Workspace) -> None:
    ws.mkdir("one").mkdir("other").link("images", "one")
    ws.root = "../images/image"
    ws.write("bom.yaml", "targets:\n- target: /bin\n  copy: [{files: [/usr/bin/app]}]\n")

    def runs(*options: str) -> list[object]:
        ws.image = ws.top / "one/image"
        first, second = ws.run(*options), ws.run(*options)
        assert ws.was_known is (not options)
        ws.link("images", "other")
        ws.image = ws.top / "other/image"
        third = ws.run(*options)
        assert third.image == first.image
        return [first, second, third, ws.run(*options)]

    assert twice(ws, runs)


@pytest.mark.parametrize("option", ["--root", "--sysroot"])
def test_what_is_named_from_a_link_upwards_is_above_where_the_link_leads(
    ws: Workspace, option: str
) -> None:
    """Also where the name without the link and the `..` is that of something else."""
    ws.mkdir("one").mkdir("one/sub").mkdir("ws/image").mkdir("ws/host")
    ws.rename("host", "one/host").copy("one", "other").write("other/host/usr/bin/app", "app")
    ws.link("ws/link", "../one/sub")
    ws.write("bom.yaml", "targets:\n- target: /bin\n  copy: [{files: [/usr/bin/app]}]\n")
    ws.root, ws.sysroot = "link/../image", "link/../host"
    if option == "--root":
        ws.sysroot = "../one/host"
    else:
        ws.root = "../one/image"

    def runs(*options: str) -> list[object]:
        ws.image = ws.top / "one/image"
        first, second = ws.run(*options), ws.run(*options)
        assert ws.was_known is (not options)
        ws.link("ws/link", "../other/sub")
        if option == "--root":
            ws.image = ws.top / "other/image"
        third = ws.run(*options)
        assert (third.code, third.image == first.image) == (0, option == "--root")
        return [first, second, third]

    assert twice(ws, runs)


@pytest.mark.parametrize(
    "change",
    [
        lambda ws: ws.write("ws/image/app/stray", "stray"),
        lambda ws: ws.write("ws/image/app/run", "#!/bin/SH\n").utime("ws/image/app/run", 1),
        lambda ws: ws.write("ws/image/app/run", "#!/bin/SH\n"),  # of the same size and time
        lambda ws: ws.chmod("ws/image/app/run", 0o600),
        lambda ws: ws.link("ws/image/app/start", "conf"),
        lambda ws: ws.remove("ws/image/app/tmp"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_what_somebody_changes_behind_the_writer_is_not_what_the_run_left(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, change: Change, is_new: bool
) -> None:
    class Writer(ImageWriter):
        def write(self, *arguments: Any, **options: Any) -> Any:
            written = super().write(*arguments, **options)
            change(ws)
            return written

    def runs(*options: str) -> list[object]:
        if not is_new:
            assert ws.run(OPTION).code == 0
        with monkeypatch.context() as patched:
            patched.setattr(copy_bom, "ImageWriter", Writer)
            first = ws.run(*options)
        second = ws.run(*options)
        assert not ws.was_known
        return [first, second, ws.run(*options)]

    assert twice(ws, runs)


def test_what_cannot_be_looked_at_afterwards_is_no_error_of_the_run(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As below a directory of the image that this user may not search any more."""

    def no_look(path: str) -> None:
        raise OcclumError("file", f"{path} cannot be read: Permission denied")

    def runs(*options: str) -> list[object]:
        ws.mkdir("ws/image")
        with monkeypatch.context() as patched:
            patched.setattr(record, "what_stands_at", no_look)
            first = ws.run(*options)
        second = ws.run(*options)
        assert (first.code, ws.was_known) == (0, False)
        return [first, second]

    assert twice(ws, runs)
