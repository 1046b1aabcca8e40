"""What was looked at is what is copied: commands are stopped before each of their system calls.

A source is changed or replaced there, or a directory of the target.

Then the command ends with an error, or its result is that of the file as it was before or as it was
after the change: never a mixture, never what a link leads to, and it never waits.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostile.changing_source import (
    CHANGES,
    IN_PLACE,
    OLD,
    SECRET,
    WHOLE,
    Case,
    by_link,
    overwrite,
    parent_by_link,
)
from hostile.injected import KILL, STOP, Call, Injector, command
from occlum_build.sefs.protect import show_file

KEY = "-".join(["0a"] * 16)
_MODULES = [
    "locale",
    "yaml",
    "occlum_build.cli.copy_bom",
    "occlum_build.cli.sefs",
    "occlum_build.cli.package",
    "occlum_build.cli.protect",
    "occlum_build.checks.image",
    "occlum_build.elf.archive",
    "occlum_build.sefs.writer",
    "occlum_build.sefs.protect",
    "occlum_build.occlum.package",
]
_counted: Counter[str] = Counter()


@pytest.fixture(scope="module")
def injector() -> Iterator[Injector]:
    with Injector(_MODULES) as one:
        yield one


@pytest.fixture
def case(tmp_path: Path) -> Case:
    (tmp_path / "case").mkdir()
    return Case(tmp_path / "case", _counted)


def copied(case: Case) -> dict[str, bytes]:
    """The files of the image by path, without following what stands for one."""
    image = case.ws / "image"
    found = {
        str(path.relative_to(image)): b"-> " if path.is_symlink() else path.read_bytes()
        for path in image.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    assert not any(".occlum-build-" in path for path in found)
    return found


BOMS = {
    "hash": f"files: [{{name: src/f, hash: {hashlib.sha256(OLD).hexdigest()}}}]",
    "files": "files: [src/f]",
    "dirs": "dirs: [src]",
}


def run_in(case: Case, *argv: str) -> Call:
    """A run of the command line in `ws`, which looks for no translations."""
    return command(*argv, cwd=case.ws, env={"LANGUAGE": "C"})


def copy_bom(case: Case, item: str, *options: str) -> Call:
    bom = case.top.with_name("bom.yaml")
    bom.write_text(f"targets: [{{target: /, copy: [{{{item}}}]}}]")
    return run_in(case, "copy-bom", "-f", str(bom), "--root", "image", *options)


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("kind", BOMS)
def test_copy_bom(
    injector: Injector, case: Case, kind: str, change: Callable[[Path], object]
) -> None:
    call = copy_bom(case, BOMS[kind])
    codes = set()
    for ran in case.stopped(injector, call, change, step=2 if change is overwrite else 6):
        codes.add(ran.code)
        found = copied(case)
        for content in found.values():
            if kind == "hash":
                assert content == OLD, ran
            else:
                # Where the change came before anything was looked at, a link is followed as ever.
                is_early = change in (by_link, parent_by_link) and content in (SECRET, b"-> ")
                assert content in WHOLE or (is_early and ran.code == 0), ran
        if ran.code:
            assert found == {}, ran
            assert "error: " in ran.err, ran
    assert 0 in codes
    assert len(codes) > 1


def _image(case: Case, *, is_there: bool) -> None:
    case.make()
    (case.ws / "src/d/e").mkdir(parents=True)
    for path in ("d/g", "d/e/h", "d/e/i"):
        (case.ws / "src" / path).write_bytes(b"1")
    (case.ws / "src/d/link").symlink_to("g")
    shutil.copytree(case.top / "outside", case.top / "elsewhere/e")
    if is_there:
        shutil.copytree(case.ws / "src", case.ws / "image/src", symlinks=True)
        (case.ws / "image/src/d/e/h").write_bytes(b"0")
        (case.ws / "image/src/d/more").mkdir()
        (case.ws / "image/src/d/more/x").touch()


@pytest.mark.parametrize("victim", ["src", "src/d", "src/d/e", "."])
@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_directory_of_the_image_is_replaced_by_a_link(
    injector: Injector, case: Case, victim: str, sync: bool, is_there: bool
) -> None:
    call = copy_bom(case, "dirs: [src]", *(["--sync"] if sync else []))
    directory = case.ws / "image" / victim

    def by_link_to_elsewhere() -> None:
        if directory.is_dir() and not directory.is_symlink():
            directory.rename(case.top / "moved")
            Path(os.path.abspath(directory)).symlink_to(case.top / "elsewhere")

    codes, at = set(), 1
    while True:
        _image(case, is_there=is_there)
        before = sorted((case.top / "elsewhere").rglob("*"))
        ran = injector.run(call, at=at, error=STOP, meanwhile=by_link_to_elsewhere)
        if not ran.hit:
            break
        _counted["copy-bom into a replaced directory"] += 1
        assert not ran.has_traceback, ran
        # One that was a link before anything was planned is the user's own, as ever.
        followed = ran.code == 0 and (not sync or victim == ".")
        if not followed:
            assert sorted((case.top / "elsewhere").rglob("*")) == before, ran
            assert (case.top / "elsewhere/e/f").read_bytes() == SECRET
        codes.add(ran.code)
        at += 7
    assert len(codes) > 1


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("has_key", [False, True])
def test_sefs_zip(
    injector: Injector, case: Case, has_key: bool, change: Callable[[Path], object]
) -> None:
    key = case.top.with_name("key")
    key.write_text(KEY)
    key.chmod(0o600)
    options = ["--key", str(key)] if has_key else []
    call = run_in(case, "sefs", "zip", *options, ".", "../image", "../image.mac")
    for ran in case.stopped(injector, call, change, step=3 if change is overwrite else 8):
        if ran.code:
            assert not (case.top / "image").exists(), ran
            continue
        done = injector.run(run_in(case, "sefs", "unzip", *options, "../image", "../out"))
        assert done.code == 0, done
        for path in (case.top / "out").rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert path.read_bytes() in WHOLE, ran


@pytest.mark.parametrize("change", IN_PLACE, ids=lambda one: one.__name__)
def test_protect(injector: Injector, case: Case, change: Callable[[Path], object]) -> None:
    call = run_in(case, "protect", "src/f")
    for ran in case.stopped(injector, call, change, step=2):
        protected = case.ws / "src/f.protected"
        if ran.code:
            assert not protected.exists(), ran
            continue
        assert b"".join(map(bytes, show_file(protected))) in WHOLE, ran


def _prepare(case: Case, is_there: bool) -> None:
    case.make()
    (case.ws / "src/d").mkdir()
    (case.ws / "src/d/g").write_bytes(b"new")
    (case.ws / "src/d/l").symlink_to("g")
    if is_there:
        (case.ws / "image/src/d").mkdir(parents=True)
        (case.ws / "image/src/d/g").write_bytes(b"old")
        (case.ws / "image/src/f").write_bytes(SECRET)
        (case.ws / "image/src/.occlum-build-0123456789abcdef").touch()


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("error", [KILL, 5, 28], ids=["SIGKILL", "EIO", "ENOSPC"])
def test_a_copy_that_is_killed_or_fails_leaves_old_or_new_files(
    injector: Injector, case: Case, error: int, is_there: bool
) -> None:
    """And the next one makes all right, and removes what was left over."""
    call = copy_bom(case, "dirs: [src]")
    wanted = {"src/f": OLD, "src/d/g": b"new", "src/d/l": b"-> "}
    possible = {"src/f": {OLD, SECRET}, "src/d/g": {b"new", b"old"}, "src/d/l": {b"-> "}}
    step = 1 if error == KILL else 4
    for ran in injector.each(call, error, lambda: _prepare(case, is_there), step=step):
        _counted["copy-bom killed or failing"] += 1
        assert not ran.has_traceback, ran
        errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
        assert not any(".occlum-build-" in line for line in errors), ran
        left = dict(_all(case))
        for path, content in left.items():
            if ".occlum-build-" not in path:
                assert content in possible[path], ran
            else:
                assert error == KILL or ran.code or ran.hit.startswith("unlink"), ran
        if ran.code == 0:
            assert left == wanted, ran
        again = injector.run(call)
        assert again.code == 0, again
        assert copied(case) == wanted


def _all(case: Case) -> Iterator[tuple[str, bytes]]:
    image = case.ws / "image"
    for path in image.rglob("*"):
        if path.is_symlink() or path.is_file():
            is_link = path.is_symlink()
            yield str(path.relative_to(image)), b"-> " if is_link else path.read_bytes()


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    for name, count in sorted(_counted.items()):
        record_property("tried", f"{count:,} times {name}, stopped or hit at another system call")
    assert sum(_counted.values()) > 500
