from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.toolchain import (
    ALL_OF_AN_ENCLAVE,
    BUILD,
    GLIBC,
    INITFS,
    find,
    parse_version,
    required_files,
)


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
