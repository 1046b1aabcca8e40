from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.testing import TESTPROJECTS
from occlum_build.occlum.toolchain import (
    ALL_OF_AN_ENCLAVE,
    BUILD,
    GLIBC,
    GLIBC_DIR,
    INITFS,
    ToolchainDirectory,
    find,
    parse_version,
    required_files,
)
from occlum_build.sources.model import MAX_LINKS


def test_where_files_are_looked_for() -> None:
    places = {file.role: file.places for file in required_files("0.31.0", "SIM")}
    assert places["libos"] == ("opt/occlum/build/lib/libocclum-libos_sim.so.0.31.0",)
    assert places["pal"] == ("opt/occlum/build/lib/libocclum-pal_sim.so.0.31.0",)
    assert places["musl/libc.so"] == ("usr/local/occlum/x86_64-linux-musl/lib/libc.so",)
    assert places["musl/ld-musl-x86_64.so.1"] == ("lib/ld-musl-x86_64.so.1",)
    assert (
        required_files("0.31.0", "HW", [BUILD])[0].places[0].endswith("libocclum-libos.so.0.31.0")
    )


def test_root_of_a_system_and_occlum_itself_give_the_same(toolchain: Path) -> None:
    whole, occlum = find(toolchain, "HW"), find(toolchain / "opt/occlum", "HW")
    assert whole == occlum and whole.version == "0.31.0"
    assert len(whole.digests) == len(required_files("0.31.0", "HW", ALL_OF_AN_ENCLAVE))
    assert whole.read("init") == b"stand-in for init\n"


def test_occlum_elsewhere_with_the_other_files_beside_it(toolchain: Path, tmp_path: Path) -> None:
    (toolchain / "opt/occlum").rename(tmp_path / "checkout")
    for name in ("usr", "lib"):
        (toolchain / name).rename(tmp_path / "checkout" / name)
    assert find(tmp_path / "checkout", "HYPER").files["init"].is_file()


def test_missing_files_are_named_with_all_places(toolchain: Path) -> None:
    (toolchain / "opt/occlum/build/bin/init").unlink()
    with pytest.raises(OcclumError) as caught:
        find(toolchain, "HW", [INITFS, GLIBC])
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 7 and all(p.code == "toolchain" for p in caught.value.problems)
    assert messages[0] == (
        f"the toolchain has no init: {toolchain}/opt/occlum/build/bin/init does not exist"
    )
    two_places = next(message for message in messages if "libgcc_s" in message)
    assert "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1 nor " in two_places


def test_no_toolchain_at_all(tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match=r"no version header: .*/include/occlum_version.h does"):
        find(tmp_path, "HW")


def test_versions(toolchain: Path, tmp_path: Path, maker: ModuleType) -> None:
    with pytest.raises(OcclumError, match=r"version is 0\.31\.0, not 0\.31\.1"):
        find(toolchain, "HW", version="0.31.1")
    maker.make_toolchain(tmp_path / "old", version="0.30.1")
    with pytest.raises(OcclumError, match=r"Occlum 0\.30\.1 is not supported"):
        find(tmp_path / "old", "HW")
    with pytest.raises(OcclumError, match="defines no Occlum version"):
        parse_version("#define OCCLUM_MAJOR_VERSION 0\n")
    numbers = {"MAJOR": "9" * 100_000, "MINOR": "31", "PATCH": "0"}
    header = "".join(f"#define OCCLUM_{name}_VERSION {one}\n" for name, one in numbers.items())
    with pytest.raises(OcclumError, match="defines no Occlum version"):
        parse_version(header)


def test_unknown_mode(toolchain: Path) -> None:
    with pytest.raises(OcclumError, match="'hw' is no SGX mode"):
        find(toolchain, "hw")


def test_a_file_that_changes_meanwhile(toolchain: Path) -> None:
    found = find(toolchain, "HW")
    found.files["pal"].write_text("another")
    with pytest.raises(OcclumError, match="pal changed during the build"):
        found.read("pal")


INIT = "opt/occlum/build/bin/init"
MUSL = "usr/local/occlum/x86_64-linux-musl/lib"


def _linked(toolchain: Path, place: str, target: str) -> Path:
    path = toolchain / place
    path.unlink()
    path.symlink_to(target)
    return path


def test_links_are_followed_within_the_toolchain(toolchain: Path) -> None:
    loader = _linked(toolchain, "lib/ld-musl-x86_64.so.1", f"/{MUSL}/libc.so")
    (toolchain / "lib").rename(toolchain / "usr/lib")
    (toolchain / "lib").symlink_to("usr/lib")
    (toolchain / INIT).rename(toolchain / "opt/occlum/init")
    (toolchain / INIT).symlink_to("/opt/occlum/init")
    pal = f"{toolchain}/opt/occlum/build/lib/libocclum-pal.so.0.31.0"
    (toolchain / "opt/occlum/pal").mkdir()
    Path(pal).rename(toolchain / "opt/occlum/pal/pal")
    Path(pal).symlink_to("../../pal/./pal")
    found = find(toolchain, "HW")
    assert found == find(toolchain / "opt/occlum", "HW")
    assert found.files["musl/ld-musl-x86_64.so.1"] == toolchain / MUSL / "libc.so"
    assert found.files["init"] == toolchain / "opt/occlum/init"
    assert found.read("pal") == b"stand-in for libocclum-pal.so.0.31.0\n"
    assert loader.name in {one.name for one in (toolchain / "usr/lib").iterdir()}


def test_links_in_a_copy_of_occlum(toolchain: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (toolchain / "opt/occlum").rename(copy)
    for name in ("usr", "lib"):
        (toolchain / name).rename(copy / name)
    _linked(copy, "lib/ld-musl-x86_64.so.1", f"/{MUSL}/libc.so")
    _linked(copy, "build/bin/init", "/opt/occlum/build/bin/occlum-run")
    (tmp_path / "named").symlink_to(copy)
    for root in (copy, tmp_path / "named"):
        found = find(root, "HW")
        assert found.files["init"] == root / "build/bin/occlum-run"
        assert found.files["musl/ld-musl-x86_64.so.1"] == root / MUSL / "libc.so"


@pytest.mark.parametrize(
    "target",
    [
        *("{secret}", "../../../../../secret.pem", "../../../../../{name}/../secret.pem"),
        *("gone", "init", "../../../../../system/opt/occlum/build/bin/occlum-run"),
    ],
)
@pytest.mark.parametrize("place", [INIT, f"{MUSL}/libgomp.so.1"])
def test_links_out_of_the_toolchain_are_named(
    toolchain: Path, tmp_path: Path, target: str, place: str
) -> None:
    secret = tmp_path / "secret.pem"
    secret.write_text("secret")
    depth = "../" * (place.count("/") - 4)
    target = target.format(secret=secret, name=toolchain.name)
    target = target if target.startswith("/") else depth + target
    link = _linked(toolchain, place, target)
    for root in (toolchain, toolchain / "opt/occlum"):
        with pytest.raises(OcclumError) as caught:
            find(root, "HW")
        (problem,) = caught.value.problems
        assert problem.code == "toolchain"
        assert f": {link} is a link to {target}, and there is no such file in {toolchain}" in str(
            problem
        )


def test_directories_that_are_links_out_of_the_toolchain(toolchain: Path, tmp_path: Path) -> None:
    (toolchain / "opt/occlum").rename(tmp_path / "occlum")
    (toolchain / "opt/occlum").symlink_to(tmp_path / "occlum")
    with pytest.raises(OcclumError, match=f"opt/occlum is a link to {tmp_path}/occlum, and"):
        find(toolchain, "HW")
    assert find(toolchain / "opt/occlum", "HW").files  # which is the one that was named


OCCLUM_LINKS = [
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


def _moved(toolchain: Path, place: str, target: str, real: str) -> None:
    (toolchain / real).parent.mkdir(parents=True, exist_ok=True)
    (toolchain / place).rename(toolchain / real)
    (toolchain / place).symlink_to(target)


@pytest.mark.parametrize(("place", "target", "real"), OCCLUM_LINKS)
def test_directories_that_are_links_within(
    toolchain: Path, place: str, target: str, real: str
) -> None:
    plain = find(toolchain, "HW")
    _moved(toolchain, place, target, real)
    assert find(toolchain, "HW").digests == plain.digests
    assert ToolchainDirectory(toolchain).directory(GLIBC_DIR) is None  # which is optional


def test_what_is_missing_behind_a_good_link(toolchain: Path) -> None:
    _moved(toolchain, "opt/occlum", "occlum-0.31", "opt/occlum-0.31")
    (toolchain / INIT).unlink()
    with pytest.raises(OcclumError, match=f"has no init: {toolchain}/{INIT} does not exist"):
        find(toolchain, "HW")
    (toolchain / "opt/occlum/glibc").symlink_to("gone")
    with pytest.raises(
        OcclumError, match=r"occlum-0\.31/glibc is a link to gone, and there is no such"
    ):
        ToolchainDirectory(toolchain).directory(GLIBC_DIR)


@pytest.mark.parametrize("target", ["occlum-run/", "occlum-run/.", "occlum-run/../occlum-run"])
def test_files_are_no_directories_on_the_way(toolchain: Path, target: str) -> None:
    link = _linked(toolchain, INIT, target)
    told = f"{link} is a link to {target}, and {link.parent}/occlum-run is not a directory"
    with pytest.raises(OcclumError) as caught:
        find(toolchain, "HW")
    assert [one.message for one in caught.value.problems] == [f"the toolchain has no init: {told}"]


@pytest.mark.parametrize("count", [1, MAX_LINKS, MAX_LINKS + 1, 3 * MAX_LINKS])
def test_links_are_followed_up_to_a_limit(toolchain: Path, count: int) -> None:
    (toolchain / "lib/ld-musl-x86_64.so.1").rename(toolchain / f"l{count}")
    for number in range(1, count):
        (toolchain / f"l{number}").symlink_to(f"l{number + 1}")
    link = toolchain / "lib/ld-musl-x86_64.so.1"
    link.symlink_to("/l1")
    if count <= MAX_LINKS:
        assert find(toolchain, "HW").files[f"musl/{link.name}"] == toolchain / f"l{count}"
        return
    told = f": {link} is a link to /l1, and there is no such file in {toolchain} within 40 links"
    with pytest.raises(OcclumError) as caught:
        find(toolchain, "HW")
    assert told in str(caught.value) and len(caught.value.problems) == 1


@pytest.mark.parametrize("place", ["", "opt", "opt/occlum", "opt/occlum/include"])
@pytest.mark.parametrize("put", [os.mkfifo, Path.touch])
def test_what_is_no_directory(
    toolchain: Path, tmp_path: Path, place: str, put: Callable[[Path], None]
) -> None:
    path = toolchain / place
    path.rename(tmp_path / "moved")
    put(path)
    for root in (toolchain, *([path] if place == "opt/occlum" else [])):
        with pytest.raises(OcclumError) as caught:
            find(root, "HW")
        told = f"the toolchain has no version header: {path} is not a directory"
        assert [one.message for one in caught.value.problems] == [told]


def test_what_is_no_regular_file(toolchain: Path) -> None:
    (toolchain / INIT).unlink()
    os.mkfifo(toolchain / INIT)
    (toolchain / MUSL / "libc.so").unlink()
    (toolchain / MUSL / "libc.so").mkdir()
    with pytest.raises(OcclumError) as caught:
        find(toolchain, "HW")
    told = [str(problem) for problem in caught.value.problems]
    places = (INIT, f"{MUSL}/libc.so")
    assert told == [f"{toolchain}/{place}: is not a regular file" for place in places]


def _elf(start: dict[int, bytes]) -> bytes:
    data = bytearray((TESTPROJECTS / "vectors/sign/enc_mini.so").read_bytes())
    for offset, change in start.items():
        data[offset : offset + len(change)] = change
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"-----BEGIN RSA PRIVATE KEY-----\n", "is not an ELF file"),
        (b"", "is not an ELF file"),
        (b"stand-in for " + bytes(200), "is not an ELF file"),
        (b"\x7fELF", "is a damaged ELF file"),
        (_elf({18: b"\xb7\0"}), "is an ELF file of 64 bits for EM_AARCH64, not for x86-64"),
        (_elf({16: b"\1\0"}), "is an ELF file of type ET_REL, and neither a program nor"),
        (_elf({5: b"\2"}), "ELF file"),
        (_elf({4: b"\1"}), "ELF file"),
    ],
)
def test_code_is_an_elf_file_for_x86_64(toolchain: Path, content: bytes, fault: str) -> None:
    places = [INIT, "opt/occlum/build/lib/libocclum-libos.so.0.31.0", f"{MUSL}/libc.so"]
    for place in places:
        (toolchain / place).write_bytes(content)
    with pytest.raises(OcclumError) as caught:
        find(toolchain, "HW")
    told = sorted(str(problem) for problem in caught.value.problems)
    assert len(told) == len(places)
    for problem, place in zip(told, sorted(places)):
        assert problem.startswith(f"{toolchain}/{place}: the toolchain's ") and fault in problem


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
def test_the_template_is_an_object_of_json(toolchain: Path, content: bytes) -> None:
    template = toolchain / "opt/occlum/etc/template/Occlum.json"
    template.write_bytes(content)
    with pytest.raises(OcclumError) as caught:
        find(toolchain, "HW")
    (problem,) = caught.value.problems
    assert problem.code == "toolchain" and str(problem).startswith(str(template))
    assert "JSON" in str(problem) or "nested" in str(problem)
