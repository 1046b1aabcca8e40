from __future__ import annotations

import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.archive import unpack_toolchain
from occlum_build.occlum.testing import run_process
from occlum_build.occlum.toolchain import find


@pytest.fixture
def archive(toolchain: Path, tmp_path: Path, maker: ModuleType) -> Path:
    path = tmp_path / "toolchain.tar.xz"
    maker.make_archive(toolchain, path)
    return path


def test_archive_of_a_system(archive: Path, toolchain: Path, tmp_path: Path) -> None:
    unpack_toolchain(archive, tmp_path / "out", "HW", version="0.31.0")
    assert find(tmp_path / "out", "HW").digests == find(toolchain, "HW").digests
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "occlum_exec_client" not in names and "Enclave.pem" not in names


def test_archive_of_occlum_itself(toolchain: Path, tmp_path: Path, maker: ModuleType) -> None:
    for name in ("usr", "lib"):
        (toolchain / name).rename(toolchain / "opt/occlum" / name)
    maker.make_archive(toolchain / "opt", tmp_path / "occlum.tar")
    unpack_toolchain(tmp_path / "occlum.tar", tmp_path / "out", "SIM")
    assert find(tmp_path / "out", "SIM").version == "0.31.0"


def test_links_are_followed_within_the_archive(toolchain: Path, tmp_path: Path) -> None:
    loader, occlum = toolchain / "lib/ld-musl-x86_64.so.1", toolchain / "opt/occlum"
    loader.unlink()
    loader.symlink_to("/usr/local/occlum/x86_64-linux-musl/lib/libc.so")
    pal = occlum / "build/lib/libocclum-pal.so.0.31.0"
    pal.rename(pal.with_name("pal"))
    pal.symlink_to("../lib/pal")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(toolchain, ".")
    unpack_toolchain(tmp_path / "a.tar", tmp_path / "out", "HW")
    found = find(tmp_path / "out", "HW")
    assert found.read("musl/ld-musl-x86_64.so.1") == b"stand-in for libc.so\n"
    assert found.read("pal") == b"stand-in for libocclum-pal.so.0.31.0\n"


def test_a_link_out_of_the_archive_leads_nowhere(toolchain: Path, tmp_path: Path) -> None:
    init = toolchain / "opt/occlum/build/bin/init"
    init.unlink()
    init.symlink_to("../../../../../../../../etc/passwd")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(toolchain, ".")
    with pytest.raises(OcclumError, match=r"has no init: opt/occlum/build/bin/init in .*a\.tar"):
        unpack_toolchain(tmp_path / "a.tar", tmp_path / "out", "HW")


def test_what_is_no_toolchain(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_text("no tar")
    with pytest.raises(OcclumError, match="no usable tar archive"):
        unpack_toolchain(path, tmp_path / "out", "HW")
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("empty"), io.BytesIO())
    with pytest.raises(OcclumError, match=r"has no include/occlum_version\.h"):
        unpack_toolchain(path, tmp_path / "out", "HW")
    with pytest.raises(OcclumError, match="No such file"):
        unpack_toolchain(tmp_path / "missing", tmp_path / "out", "HW")


def test_process(archive: Path, tmp_path: Path) -> None:
    assert (
        run_process(
            tmp_path, "archive", str(archive), "HW", "0.31.0", str(tmp_path / "out")
        ).returncode
        == 0
    )
    wrong = run_process(tmp_path, "archive", str(archive), "HW", "0.31.9", str(tmp_path / "other"))
    assert (wrong.returncode, "not 0.31.9" in wrong.stderr) == (1, True)
    usage = run_process(tmp_path, "archive", "x")
    assert usage.returncode == 2 and usage.stderr.startswith("usage: python -m occlum_build.occlum")


INIT = "opt/occlum/build/bin/init"


def _with(toolchain: Path, path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    """An archive of the toolchain with another member in the place of one of its files."""
    (toolchain / member.name).unlink()
    member.size = len(content)
    with tarfile.open(path, "w") as tar:
        tar.add(toolchain, ".")
        tar.addfile(member, io.BytesIO(content))
    return path


def _member(type_: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(INIT)
    member.type, member.linkname = type_, link
    return member


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../etc/passwd", "gone", INIT])
def test_links_out_of_an_archive_are_named(
    toolchain: Path, tmp_path: Path, type_: bytes, target: str
) -> None:
    archive = _with(toolchain, tmp_path / "a.tar", _member(type_, target))
    with pytest.raises(OcclumError) as caught:
        unpack_toolchain(archive, tmp_path / "out", "HW")
    (problem,) = caught.value.problems
    assert problem.message == (
        f"the toolchain has no init: {INIT} in {archive} is a link to {target}, and there is no "
        "such file in the archive"
    )


@pytest.mark.parametrize(
    "type_", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE]
)
def test_what_is_no_regular_file_in_an_archive(
    toolchain: Path, tmp_path: Path, type_: bytes
) -> None:
    archive = _with(toolchain, tmp_path / "a.tar", _member(type_))
    with pytest.raises(OcclumError, match=rf"{INIT} in {archive}: is not a regular file"):
        unpack_toolchain(archive, tmp_path / "out", "HW")


def test_code_in_an_archive_is_elf(toolchain: Path, tmp_path: Path) -> None:
    member = _member(tarfile.REGTYPE)
    archive = _with(toolchain, tmp_path / "a.tar", member, b"-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(OcclumError, match=rf"{INIT} in .*: the toolchain's init is not an ELF"):
        unpack_toolchain(archive, tmp_path / "out", "HW")
