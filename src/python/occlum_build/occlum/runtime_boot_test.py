from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.runtime_boot import (
    BOOT_CONF,
    DIRECTORIES,
    BootSettings,
    boot_conf,
    check_hostfs,
    check_initfs,
    check_rootfs,
)
from occlum_build.occlum.testing import run_process
from occlum_build.sgx.config import default_config, merge, parse_json
from occlum_build.sources.model import DIR, FILE

GOOD = BootSettings(lower="/sefs/lower", upper="/sefs/upper", key_program="/bin/key")
MUSL = "/lib/ld-musl-x86_64.so.1"


def test_boot_conf() -> None:
    settings = replace(
        GOOD,
        entry_point="/bin/app",
        hostfs_source="../data",
        hostfs_target="/data",
        env=("A=1", "PATH=/bin:/usr/bin"),
    )
    assert boot_conf(settings).decode() == (
        "lower=/sefs/lower\nupper=/sefs/upper\nentry_point=/bin/app\nhostfs_source=../data\n"
        "hostfs_target=/data\nkey_program=/bin/key\nenv=A=1\nenv=PATH=/bin:/usr/bin\n"
    )
    assert boot_conf(GOOD) == b"lower=/sefs/lower\nupper=/sefs/upper\nkey_program=/bin/key\n"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lower": ""}, "lower is empty"),
        ({"upper": ""}, "upper is empty"),
        ({"upper": "/sefs/lower"}, "lower and upper are the same directory"),
        ({"lower": "/a,b"}, "lower: '/a,b' has a comma"),
        ({"upper": "/a\nkey_file=/b"}, "upper: '/a\\nkey_file=/b' holds a control character"),
        ({"env": ("A=\ud800",)}, "env: 'A=\\ud800' holds a control character or no Unicode"),
        ({"lower": "x" * 4096}, "lower is longer than 4095 bytes"),
        ({"entry_point": "bin/app"}, "entry_point: 'bin/app' is not absolute"),
        ({"key_program": "key"}, "key_program: 'key' is not absolute"),
        ({"hostfs_target": "/data"}, "hostfs_target needs hostfs_source"),
        ({"key_program": ""}, "one of key_file and key_program must be given"),
        ({"key_file": "/key"}, "one of key_file and key_program must be given"),
        ({"env": ("A",)}, "env: 'A' must be written as NAME=value"),
        ({"env": ("=a",)}, "env: '=a' must be written as NAME=value"),
        ({"env": ("A=1", "A=2")}, "env: A is set twice"),
        ({"env": tuple(f"A{n}={'x' * 1000}" for n in range(66))}, "longer than 65536 bytes"),
    ],
)
def test_settings_that_are_wrong(changes: Mapping[str, object], expected: str) -> None:
    with pytest.raises(OcclumError) as error:
        boot_conf(BootSettings(**{**asdict(GOOD), **changes}))
    assert [problem.code for problem in error.value.problems] == ["boot-settings"]
    assert expected in str(error.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(OcclumError) as error:
        boot_conf(BootSettings(lower="", upper="", hostfs_target="data"))
    assert len(error.value.problems) == 5


def rootfs(**changes: str) -> dict[str, str]:
    """Kind by path of an image that can be booted."""
    kinds = {f"/{name}": DIR for name in DIRECTORIES}
    return {**kinds, "/lib64/ld-linux-x86-64.so.2": FILE, "/bin": DIR, **changes}


def check(kinds: Mapping[str, str], settings: BootSettings = GOOD) -> str:
    """What is wrong with an image, "" if nothing is."""
    try:
        check_rootfs(settings, lambda path: kinds.get(path, ""))
    except OcclumError as error:
        assert {problem.code for problem in error.problems} == {"boot-rootfs"}
        return str(error)
    return ""


def test_image_that_can_be_booted() -> None:
    assert check(rootfs()) == ""
    assert check({**rootfs(), "/lib64/ld-linux-x86-64.so.2": "", MUSL: FILE}) == ""
    assert check(rootfs(), replace(GOOD, entry_point="/bin")) == ""
    assert check({**rootfs(), "/data": DIR}, replace(GOOD, hostfs_target="/data")) == ""


def test_image_that_lacks_something() -> None:
    kinds = {**rootfs(), "/tmp": "", "/host": FILE}
    with pytest.raises(OcclumError) as error:
        check_rootfs(GOOD, lambda path: kinds.get(path, ""))
    (problem,) = error.value.problems
    assert problem.message == "the image lacks what a boot needs, the directories: host, tmp"
    assert "`mkdirs: [host, tmp]`" in problem.hint
    assert f"neither /lib64/ld-linux-x86-64.so.2 nor {MUSL}" in check(
        {**rootfs(), "/lib64/ld-linux-x86-64.so.2": ""}
    )
    assert check(rootfs(), replace(GOOD, entry_point="/bin/app")) == (
        "entry_point: there is no /bin/app in the image"
    )
    settings = replace(GOOD, hostfs_source="/srv", hostfs_target="/bin/app")
    text = check({**rootfs(), "/bin/app": FILE}, settings)
    assert text.startswith("hostfs_target: there is no directory /bin/app in the image\n")


def test_hostfs() -> None:
    check_hostfs(default_config())
    config = merge(default_config(), parse_json(b'{\n "mount": []}', "app/Occlum.json"))
    with pytest.raises(OcclumError) as error:
        check_hostfs(config)
    assert error.value.code == "config-hostfs"
    assert str(error.value).startswith("app/Occlum.json:2:11: $.mount: no mount has the type")


def program(path: Path, *link: str) -> None:
    """Build a program that does nothing, with musl's interpreter if it has one."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc on this machine")
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-nostdlib", *link]
    if link[0] in ("-pie", "-no-pie"):
        flags.append(f"-Wl,--dynamic-linker={MUSL}")
    source = "void _start(void) {}\n"
    subprocess.run(["gcc", "-x", "c", "-", *flags, "-o", path], input=source, text=True, check=True)


@pytest.fixture
def initfs(tmp_path: Path) -> Path:
    """An initfs with a good init, and a key program that is a script."""
    tree = tmp_path / "tree"
    program(tree / "bin/init", "-pie", "-fPIE")
    (tree / "bin/key").write_text("#!/bin/sh\n")
    (tree / "lib").mkdir()
    (tree / MUSL[1:]).write_bytes(b"stand-in")
    return tree


def why(tree: Path, settings: BootSettings = GOOD) -> list[str]:
    """What is wrong with an initfs."""
    try:
        check_initfs(tree, settings)
    except OcclumError as error:
        assert {problem.code for problem in error.problems} == {"boot-init"}
        return [f"{problem.place}: {problem.message}" for problem in error.problems]
    return []


def test_programs_of_an_initfs(initfs: Path) -> None:
    assert why(initfs) == []
    init = initfs / "bin/init"
    init.rename(initfs / "real")
    init.symlink_to("/real")
    assert why(initfs) == []


def test_init_that_cannot_be_started(initfs: Path) -> None:
    init = initfs / "bin/init"
    only = "/bin/init: the libOS starts only position-independent programs with an interpreter"
    for link in (("-static",), ("-static-pie", "-fPIE"), ("-no-pie",)):
        program(init, *link)
        assert why(initfs) == [only]
    init.write_text("#!/bin/sh\n")
    assert why(initfs) == ["/bin/init: not an ELF program"]
    init.unlink()
    (initfs / "bin/key").unlink()
    assert why(initfs) == [
        "/bin/init: there is no such program in the initfs",
        "/bin/key: there is no such program in the initfs",
    ]
    program(init, "-pie", "-fPIE")
    program(initfs / "bin/key", "-static")
    assert why(initfs) == [only.replace("init", "key", 1)]
    (initfs / MUSL[1:]).unlink()
    assert why(initfs, replace(GOOD, key_program="", key_file="/key")) == [
        f"/bin/init: its interpreter {MUSL} is not in the initfs"
    ]


def test_as_steps(tmp_path: Path, toolchain: Path, initfs: Path) -> None:
    shutil.copytree(initfs, tmp_path / "mine")
    shutil.copytree(toolchain, tmp_path / "toolchain")
    request = {"image_type": "integrity-only", "tree": "mine", "boot": asdict(GOOD)}
    (tmp_path / "request.json").write_text(json.dumps(request))
    assert run_process(tmp_path, "initfs", "request.json", "toolchain", "out").stderr == ""
    assert (tmp_path / "out/tree" / BOOT_CONF).read_bytes() == boot_conf(GOOD)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert f"/{BOOT_CONF}" in {entry["path"] for entry in manifest["entries"]}
    program(tmp_path / "mine/bin/init", "-static")
    done = run_process(tmp_path, "initfs", "request.json", "toolchain", "out2")
    assert done.returncode == 1
    assert done.stderr.startswith("/bin/init: the libOS starts only position-independent")
    assert "hint: link it with `-pie` and without `-static`" in done.stderr


def test_configuring_needs_a_hostfs(tmp_path: Path, toolchain: Path) -> None:
    (tmp_path / "Occlum.json").write_bytes(
        (toolchain / "opt/occlum/etc/template/Occlum.json").read_bytes()
    )
    (tmp_path / "mac").write_text("-".join(["00"] * 16))
    request = {
        "configs": ["Occlum.json"],
        "libos": str(toolchain / "opt/occlum/build/lib/libocclum-libos.so.0.31.0"),
        "image_mac": "mac",
        "initfs_mac": "mac",
        "needs_hostfs": True,
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    assert run_process(tmp_path, "configure", "request.json", "out").stderr == ""
    config = json.loads((tmp_path / "Occlum.json").read_text())
    config["mount"] = config["mount"][:1]
    (tmp_path / "Occlum.json").write_text(json.dumps(config))
    done = run_process(tmp_path, "configure", "request.json", "out2")
    assert done.returncode == 1 and done.stderr.startswith("Occlum.json:1:")
    assert '$.mount: no mount has the type "hostfs", but the boot has a' in done.stderr
