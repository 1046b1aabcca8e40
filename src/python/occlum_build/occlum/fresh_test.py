from __future__ import annotations

import os
import stat
from pathlib import Path
from types import ModuleType

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.fresh import init_instance, make_instance, plan_fresh
from occlum_build.occlum.testing import snapshot

MUSL = ["ld-musl-x86_64.so.1", "libc.so", "libgcc_s.so.1", "libgomp.so.1", "libstdc++.so.6"]


def names(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir())


def test_layout_with_musl(toolchain: Path, tmp_path: Path) -> None:
    inst = tmp_path / "a/b/inst"
    make_instance(inst, plan_fresh(toolchain))
    assert names(inst) == [".__occlum_status", "Occlum.json", "image", "initfs"]
    assert (inst / ".__occlum_status").read_text() == "initialized\n"
    directories = ["bin", "dev", "etc", "ext2", "host", "lib", "lib64"]
    assert names(inst / "image") == [*directories, "proc", "root", "sbin", "tmp"]
    assert names(inst / "image/lib") == MUSL == names(inst / "initfs/lib")
    assert names(inst / "initfs") == ["bin", "dev", "etc", "lib", "proc"]
    assert names(inst / "initfs/etc") == names(inst / "image/etc") == ["hosts"]
    assert (inst / "image/etc/hosts").read_bytes() == b"127.0.0.1   localhost\n"
    assert (inst / "initfs/bin/init").read_bytes() == b"stand-in for init\n"
    assert stat.S_IMODE((inst / "Occlum.json").stat().st_mode) == 0o644


def test_layout_with_glibc_and_a_time_zone(tmp_path: Path, maker: ModuleType) -> None:
    maker.make_toolchain(tmp_path / "system", glibc=True)
    zone = tmp_path / "zone"
    zone.write_bytes(b"TZif2")
    inst = tmp_path / "inst"
    make_instance(inst, plan_fresh(tmp_path / "system", zone))
    glibc = inst / "image/opt/occlum/glibc"
    assert os.readlink(glibc / "lib/ld-linux-x86-64.so.2") == "/lib64/ld-linux-x86-64.so.2"
    libraries = ["libc.so.6", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libstdc++.so.6"]
    assert names(glibc / "lib") == ["ld-linux-x86-64.so.2", *libraries]
    assert names(inst / "image/lib64") == ["ld-linux-x86-64.so.2"]
    for etc in (glibc / "etc", inst / "image/etc", inst / "initfs/etc"):
        assert (etc / "localtime").read_bytes() == b"TZif2"


def test_modes_do_not_depend_on_the_umask(toolchain: Path, tmp_path: Path) -> None:
    planned = plan_fresh(toolchain)
    before = os.umask(0o077)
    try:
        make_instance(tmp_path / "inst", planned)
    finally:
        os.umask(before)
    modes = {
        path.relative_to(tmp_path / "inst").as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for path in (tmp_path / "inst").rglob("*")
    }
    assert {entry.path: entry.mode for entry in planned} == modes


def test_new_refuses_what_exists_and_leaves_nothing_after_an_error(
    toolchain: Path, tmp_path: Path
) -> None:
    (tmp_path / "inst").mkdir()
    planned = plan_fresh(toolchain)
    with pytest.raises(OcclumError, match="exists already"):
        make_instance(tmp_path / "inst", planned)
    (toolchain / "opt/occlum/build/bin/init").unlink()
    before = names(tmp_path)
    with pytest.raises(OcclumError, match="No such file"):
        make_instance(tmp_path / "other", planned)
    assert names(tmp_path) == before


def test_init_keeps_what_is_there_and_runs_once(toolchain: Path, tmp_path: Path) -> None:
    (tmp_path / "inst/image/bin").mkdir(parents=True)
    (tmp_path / "inst/image/bin/mine").write_text("mine")
    init_instance(tmp_path / "inst", plan_fresh(toolchain))
    assert names(tmp_path / "inst/image/bin") == ["mine"]
    with pytest.raises(OcclumError, match="is an Occlum instance already"):
        init_instance(tmp_path / "inst", plan_fresh(toolchain))


def test_nothing_is_left_where_an_instance_cannot_be_made(
    toolchain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    planned = plan_fresh(toolchain)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Path, "symlink_to", full)
    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OcclumError, match="No space left"):
        make_instance(tmp_path / "a/b/inst", planned)
    (tmp_path / "file").touch()
    with pytest.raises(OcclumError, match="file"):
        make_instance(tmp_path / "file/inst", planned)
    (tmp_path / "file").unlink()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["image", "initfs", "initfs/etc", "initfs/bin", "image/etc"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_init_writes_through_no_link(toolchain: Path, tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "outside/.occlum-build-0123456789abcdef").mkdir(parents=True)
    place = tmp_path / "inst" / path
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "outside") if kind == "link" else place.touch()
    before = snapshot(tmp_path)
    what = "symlink" if kind == "link" else "file"
    with pytest.raises(OcclumError, match=f"{place}: is a {what}, where a directory") as error:
        init_instance(tmp_path / "inst", plan_fresh(toolchain))
    assert error.value.problems[0].hint
    assert snapshot(tmp_path) == before


def test_init_follows_a_link_to_the_directory_itself(toolchain: Path, tmp_path: Path) -> None:
    (tmp_path / "inst").mkdir()
    (tmp_path / "link").symlink_to("inst")
    init_instance(tmp_path / "link", plan_fresh(toolchain))
    assert names(tmp_path / "inst") == [".__occlum_status", "Occlum.json", "image", "initfs"]


def test_what_is_no_toolchain_is_told_by_its_header(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OcclumError, match=r"no version header: .*/fifo is not a directory"):
        plan_fresh(tmp_path / "fifo")
