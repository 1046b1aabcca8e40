from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files import locks
from occlum_build.files.testing import in_another_thread
from occlum_build.occlum import package as package_module
from occlum_build.occlum.build import build
from occlum_build.occlum.configure import Settings
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.instance import reading, writing
from occlum_build.occlum.package import archived, check_packageable, package
from occlum_build.occlum.testing import changed
from occlum_build.sources.model import DIR, FILE, SYMLINK


def members(archive: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return tar.getmembers()


def outside_secure_fs(found: list[tarfile.TarInfo]) -> list[str]:
    return [member.name for member in found if "__ROOT/" not in member.name]


def test_members_are_those_of_occlum(build_request: BuildRequest, tmp_path: Path) -> None:
    build(build_request)
    inst, out = build_request.instance, tmp_path / "out.tar.gz"
    package(inst, out, "top")
    found = members(out)
    assert outside_secure_fs(found) == [
        *("top/.__occlum_status", "top/.sgx_mode", "top/Occlum.json"),
        "top/build/.Occlum_sys.json.protected",
        "top/build/bin",
        *(f"top/build/bin/{n}" for n in ("occlum-run", "occlum_exec_client", "occlum_exec_server")),
        *("top/build/initfs", "top/build/initfs/.ROOT_MAC", "top/build/initfs/__ROOT"),
        "top/build/lib/libocclum-libos.signed.so",
        *(f"top/build/lib/libocclum-pal.so{end}" for end in ("", ".0", ".0.31.0")),
        *("top/build/mount", "top/build/mount/.ROOT_MAC", "top/build/mount/__ROOT"),
        *("top/initfs", "top/initfs/bin", "top/initfs/bin/init", "top/initfs/dev"),
        *("top/initfs/etc", "top/initfs/etc/hosts", "top/initfs/lib"),
        *(
            f"top/initfs/lib/{name}"
            for name in (
                *("ld-musl-x86_64.so.1", "libc.so", "libgcc_s.so.1"),
                *("libgomp.so.1", "libstdc++.so.6"),
            )
        ),
        *("top/initfs/proc", "top/run", "top/run/initfs", "top/run/initfs/__ROOT"),
        *("top/run/mount", "top/run/mount/__ROOT"),
    ]
    assert all((m.mtime, m.uid, m.gid, m.uname, m.gname) == (0, 0, 0, "", "") for m in found)
    assert {member.mode for member in found} == {0o644, 0o755, 0o777}


@pytest.mark.parametrize("mode", ["HW", "SIM"])
def test_what_is_archived_is_told_by_the_tree_too(
    build_request: BuildRequest, tmp_path: Path, mode: str
) -> None:
    settings = replace(build_request.settings, sgx_mode=mode)
    build(replace(build_request, settings=settings))
    inst, out = build_request.instance, tmp_path / "out.tar.gz"
    package(inst, out, "top")
    kinds = {}
    for path in inst.rglob("*"):
        kind = SYMLINK if path.is_symlink() else DIR if path.is_dir() else FILE
        kinds[str(path.relative_to(inst))] = kind
    assert [f"top/{path}" for path in archived(kinds, mode)] == [one.name for one in members(out)]


def test_compressed_as_tar_does(build_request: BuildRequest, tmp_path: Path) -> None:
    (build_request.instance / "image/bin/text").write_text(
        "".join(f"{number * number}\n" for number in range(20_000))
    )
    build(build_request)
    out = tmp_path / "out.tar.gz"
    package(build_request.instance, out, "top")
    archive = gzip.decompress(out.read_bytes())
    sizes = {level: len(gzip.compress(archive, level)) for level in (1, 6, 9)}
    assert sizes[9] < sizes[6] < sizes[1]
    assert abs(out.stat().st_size - sizes[6]) < 16


def test_the_same_bytes_again(build_request: BuildRequest, tmp_path: Path) -> None:
    build(build_request)
    outs = [tmp_path / name for name in ("a.tar.gz", "b.tar.gz")]
    for umask, out in zip((0o022, 0o077), outs):
        before = os.umask(umask)
        try:
            build(replace(build_request, force=True))
            package(build_request.instance, out, "top")
        finally:
            os.umask(before)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*.tmp"))


def test_simulation_has_its_own_library(build_request: BuildRequest, tmp_path: Path) -> None:
    build(replace(build_request, settings=Settings(sgx_mode="SIM")))
    package(build_request.instance, tmp_path / "out.tar.gz", "top")
    names = outside_secure_fs(members(tmp_path / "out.tar.gz"))
    assert [name for name in names if "pal" in name] == [
        "top/build/lib/libocclum-pal.so",
        "top/build/lib/libocclum-pal.so.0",
        "top/build/lib/libocclum-pal_sim.so.0.31.0",
    ]


def test_what_is_not_packaged(build_request: BuildRequest, tmp_path: Path) -> None:
    inst = build_request.instance
    with pytest.raises(OcclumError, match="not built, or its enclave is not signed"):
        check_packageable(inst, debug=True)
    build(build_request)
    with pytest.raises(OcclumError, match="debuggable: its memory can be read"):
        check_packageable(inst, debug=False)
    check_packageable(inst, debug=True)
    changed(build_request, metadata__debuggable="false")
    with pytest.raises(OcclumError, match="debuggable"):
        check_packageable(inst, debug=False)
    build(build_request)
    check_packageable(inst, debug=False)
    build(replace(build_request, settings=Settings(sgx_mode="SIM")))
    with pytest.raises(OcclumError, match=r"simulated one \(SIM\)"):
        check_packageable(inst, debug=False)


@pytest.mark.parametrize("kind", ["missing", "fifo", "link"])
@pytest.mark.parametrize(
    "part", [".Occlum_sys.json.protected", "mount/__ROOT/metadata", "initfs/.ROOT_MAC"]
)
def test_what_no_enclave_boots_without_is_a_regular_file(
    build_request: BuildRequest, tmp_path: Path, part: str, kind: str
) -> None:
    build(build_request)
    path = build_request.instance / "build" / part
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    with pytest.raises(OcclumError, match="is missing from the instance, or is no regular file"):
        package(build_request.instance, tmp_path / "out.tar.gz", "top")
    assert not (tmp_path / "out.tar.gz").exists()


def test_special_files_are_left_out_of_run_alone(
    build_request: BuildRequest, tmp_path: Path
) -> None:
    build(build_request)
    os.mkfifo(build_request.instance / "run/fifo")
    (told,) = package(build_request.instance, tmp_path / "out.tar.gz", "top")
    assert "left out" in told.message
    os.mkfifo(build_request.instance / "build/mount/__ROOT/fifo")
    with pytest.raises(OcclumError, match="fifo: is neither a file nor a directory nor a symlink"):
        package(build_request.instance, tmp_path / "other.tar.gz", "top")


def test_an_incomplete_instance(build_request: BuildRequest, tmp_path: Path) -> None:
    build(build_request)
    (build_request.instance / "build/.Occlum_sys.json.protected").unlink()
    with pytest.raises(OcclumError, match="is missing from the instance"):
        package(build_request.instance, tmp_path / "out.tar.gz", "top")
    assert not (tmp_path / "out.tar.gz").exists()


def test_two_archives_at_once_but_none_while_it_is_built(
    build_request: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0)
    build(build_request)
    inst, out = build_request.instance, tmp_path / "out.tar.gz"
    with reading(inst):
        assert in_another_thread(lambda: package(inst, out, "top")) == []
        (error,) = in_another_thread(lambda: [build(build_request)].clear())
        assert error.code == "instance" and "another run" in str(error)
    with writing(inst):
        (error,) = in_another_thread(lambda: package(inst, out, "other"))
        assert error.code == "instance" and "another run" in str(error)
    assert members(out)[0].name.startswith("top/")


def test_what_cannot_be_read_is_told_and_not_the_archive(
    build_request: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    build(build_request)
    monkeypatch.setattr(package_module, "open", failing_open(Failing()), raising=False)
    with pytest.raises(OcclumError) as error:
        package(build_request.instance, tmp_path / "out.tar.gz", "top")
    place = error.value.problems[0].place
    assert place is not None and place.file == str(build_request.instance / ".__occlum_status")
    assert not list(tmp_path.glob("out*"))


def failing_open(failing: io.BytesIO) -> Callable[..., Any]:
    """Opens what is written, and gives another file for what is read."""
    return lambda file, mode, **options: failing if mode == "rb" else open(file, mode, **options)


def test_what_cannot_be_listed_is_an_error(
    build_request: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(build_request)
    inst = build_request.instance
    (inst / "run/closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("run/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OcclumError, match="run/closed: Permission denied") as error:
        package(inst, tmp_path / "out.tar.gz", "top")
    assert error.value.code == "package" and not (tmp_path / "out.tar.gz").exists()
