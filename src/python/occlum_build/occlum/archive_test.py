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
from occlum_build.sources.model import MAX_LINKS


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


DIRECTORY_LINKS = [
    ("opt/occlum", "occlum-0.31", "opt/occlum-0.31"),
    ("opt/occlum", "/opt/occlum-0.31", "opt/occlum-0.31"),
    ("opt/occlum", "../usr/./lib/occlum/", "usr/lib/occlum"),
    ("opt", "o", "o"),
    ("opt", "/usr/opt", "usr/opt"),
    ("opt/occlum/include", "../../inc", "inc"),
    ("opt/occlum/build", "/b", "b"),
    ("lib", "usr/lib", "usr/lib"),
    ("usr/local", "/opt/local", "opt/local"),
]


def _pack(tree: Path, path: Path, name: str = ".", *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        tar.add(tree, name)
        for member in more:
            tar.addfile(member)
    return path


@pytest.mark.parametrize("name", [".", "toolchain", "a/b"])
@pytest.mark.parametrize(("place", "target", "real"), DIRECTORY_LINKS)
def test_directories_that_are_links_within(
    toolchain: Path, tmp_path: Path, place: str, target: str, real: str, name: str
) -> None:
    plain = find(toolchain, "HW")
    (toolchain / real).parent.mkdir(parents=True, exist_ok=True)
    (toolchain / place).rename(toolchain / real)
    (toolchain / place).symlink_to(target)
    unpack_toolchain(_pack(toolchain, tmp_path / "a.tar", name), tmp_path / "out", "HW")
    assert find(tmp_path / "out", "HW").digests == plain.digests == find(toolchain, "HW").digests


def test_links_of_occlum_s_own_directory(toolchain: Path, tmp_path: Path) -> None:
    plain, own = find(toolchain, "HW"), tmp_path / "own"
    (toolchain / "opt/occlum").rename(own)
    for name in ("usr", "lib"):
        (toolchain / name).rename(own / name)
    (own / "include").rename(own / "inc")
    (own / "include").symlink_to("/opt/occlum/inc")
    (own / "build/bin").rename(own / "bin")
    (own / "build/bin").symlink_to("../../occlum/bin")
    for number, name in enumerate((".", "occlum-0.31")):
        out = tmp_path / f"out{number}"
        unpack_toolchain(_pack(own, tmp_path / "a.tar", name), out, "HW")
        assert find(out, "HW").digests == find(own, "HW").digests == plain.digests


@pytest.mark.parametrize("target", ["occlum-run/", "occlum-run/.", "occlum-run/../occlum-run"])
def test_files_are_no_directories_on_the_way(toolchain: Path, tmp_path: Path, target: str) -> None:
    archive = _with(toolchain, tmp_path / "a.tar", _member(tarfile.SYMTYPE, target))
    folder = INIT.rpartition("/")[0]
    assert _told(archive) == (
        f"the toolchain has no init: {INIT} in {archive} is a link to {target}, and "
        f"{folder}/occlum-run in {archive} is not a directory"
    )


def _told(archive: Path) -> str:
    with pytest.raises(OcclumError) as caught:
        unpack_toolchain(archive, archive.with_name("out"), "HW")
    problem = caught.value.problems[0]
    return f"{problem.place.shown()}: {problem.message}" if problem.place else problem.message


def _other(name: str, type_: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = type_, link
    return member


BIN = "opt/occlum/build/bin"
LATER = [
    ([_other(INIT, tarfile.FIFOTYPE)], f"{INIT} in {{}}: is not a regular file"),
    ([_other(INIT, tarfile.DIRTYPE)], f"{INIT} in {{}}: is not a regular file"),
    ([_other(f"./x/../{INIT}", tarfile.CHRTYPE)], f"{INIT} in {{}}: is not a regular file"),
    ([_other(INIT, tarfile.SYMTYPE, "/x")], f"{INIT} in {{}} is a link to /x, and there"),
    ([_other(INIT, tarfile.LNKTYPE, "x")], f"{INIT} in {{}} is a link to x, and there"),
    ([_other(BIN, tarfile.SYMTYPE, "/x")], f"{BIN} in {{}} is a link to /x, and there"),
    (
        [_other(BIN, tarfile.SYMTYPE, "lib")],
        f"{BIN}/occlum-run in {{}} is below a link in the archive",
    ),
    ([_other(BIN, tarfile.REGTYPE)], f"{BIN} in {{}} is not a directory"),
    ([_other(BIN, tarfile.FIFOTYPE)], f"{BIN} in {{}} is not a directory"),
    ([_other("opt", tarfile.SYMTYPE, "/x")], "opt in {} is a link to /x, and there"),
    ([_other("opt", tarfile.REGTYPE)], "opt in {} is not a directory"),
    ([_other("opt/occlum", tarfile.FIFOTYPE)], "opt/occlum in {} is not a directory"),
    ([_other("lib", tarfile.SYMTYPE, "a/" * 2048)], "lib in {} is a link to a/"),
]


@pytest.mark.parametrize(("later", "told"), LATER)
def test_the_last_member_of_a_name_counts(
    toolchain: Path, tmp_path: Path, later: list[tarfile.TarInfo], told: str
) -> None:
    archive = _pack(toolchain, tmp_path / "a.tar", ".", *later)
    assert told.format(archive) in _told(archive)


def test_a_directory_above_that_became_a_link(toolchain: Path, tmp_path: Path) -> None:
    for target, told in (("/x", "t in {} is a link to /x, and there"), (".", "has no include/")):
        link = _other("t", tarfile.SYMTYPE, target)
        archive = _pack(toolchain, tmp_path / "a.tar", "t", link)
        assert told.format(archive) in _told(archive)


def test_hard_links_are_what_was_there_before(toolchain: Path, tmp_path: Path) -> None:
    plain, run = find(toolchain, "HW"), f"{BIN}/occlum-run"
    same = [
        _other(INIT, tarfile.LNKTYPE, INIT),
        _other("opt/../kept", tarfile.LNKTYPE, f"./{INIT}"),
    ]
    later = [
        _other(INIT, tarfile.FIFOTYPE),
        _other(INIT, tarfile.LNKTYPE, "/kept"),
        _other("kept", tarfile.LNKTYPE, run),
    ]
    unpack_toolchain(_pack(toolchain, tmp_path / "a.tar", ".", *same, *later), tmp_path / "o", "HW")
    assert find(tmp_path / "o", "HW").digests == plain.digests
    early = [_other(INIT, tarfile.LNKTYPE, "later"), _other("later", tarfile.LNKTYPE, run)]
    archive = _pack(toolchain, tmp_path / "a.tar", ".", *early)
    assert f"{INIT} in {archive} is a link to later, and there is no such file" in _told(archive)


@pytest.mark.parametrize("count", [MAX_LINKS, MAX_LINKS + 1])
def test_links_are_followed_up_to_a_limit(toolchain: Path, tmp_path: Path, count: int) -> None:
    last, loader = f"l{count}", "lib/ld-musl-x86_64.so.1"
    (toolchain / loader).rename(toolchain / last)
    links = [_other(f"l{one}", tarfile.SYMTYPE, f"l{one + 1}") for one in range(1, count)]
    links.append(_other(loader, tarfile.SYMTYPE, "/l1"))
    archive = _pack(toolchain, tmp_path / "a.tar", ".", *links)
    if count <= MAX_LINKS:
        unpack_toolchain(archive, tmp_path / "out", "HW")
    else:
        told = f"{loader} in {archive} is a link to /l1, and there is no such file in the archive"
        assert f"{told} within 40 links" in _told(archive)


def test_links_beside_a_directory_of_the_archive_are_out(toolchain: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    toolchain.rename(tmp_path / "all/t")
    (tmp_path / "all/init").write_text("stand-in for init\n")
    target = "../../../../../init"
    (tmp_path / "all/t" / INIT).unlink()
    (tmp_path / "all/t" / INIT).symlink_to(target)
    archive = _pack(tmp_path / "all", tmp_path / "a.tar")
    assert f"is a link to {target}, and there is no such file in t in the archive" in _told(archive)
