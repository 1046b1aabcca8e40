"""The init of a boot template, run on this machine's kernel with the libOS's answers faked."""

from __future__ import annotations

import errno
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from occlum_build.occlum.runtime_boot import BootSettings, boot_conf
from traced import Call, run_traced

SOURCE = "src/c/boot_init.c"
MOUNT, EXIT_GROUP, MOUNT_ROOTFS = 165, 231, 363
BAD_CONF, BAD_LOWER, BAD_KEY, NOT_MOUNTED = 2, 3, 4, 5
LINKS = {"static": ("-static",), "dynamic": ("-fPIE", "-pie")}
# The members of user_rootfs_config and their offsets, by Occlum's config.rs (repr C, x86-64).
OFFSETS = {
    "len": 0,
    "upper_layer_path": 8,
    "lower_layer_path": 16,
    "entry_point": 24,
    "hostfs_source": 32,
    "hostfs_target": 40,
    "envp": 48,
}
SIZE = 56


@dataclass
class LibOs:
    """Answers the calls that a kernel does not know, and keeps what it was asked.

    `answer` is that of MountRootFS, None to ask this machine's kernel. `key_there` and `key_left`:
    is the key in the program's memory at that call, and when the program ends?
    """

    key: bytes
    answer: int | None = 0
    mounted: list[tuple[str | None, ...]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    configs: list[dict[str, object]] = field(default_factory=list)
    key_there: bool | None = None
    key_left: bool | None = None

    def __call__(self, call: Call) -> int | None:
        if call.number == MOUNT:
            source, target, kind, flags, options = call.args[:5]
            assert flags == 0
            self.mounted.append(tuple(map(call.text, (source, target, kind, options))))
            return 0
        if call.number == MOUNT_ROOTFS:
            self.keys.append(call.memory(call.args[0], len(self.key)))
            self.configs.append(_config(call, call.args[1]))
            self.key_there = call.has_in_memory(self.key)
            return self.answer
        if call.number == EXIT_GROUP:
            text = self.key.hex("-").encode()
            self.key_left = call.has_in_memory(self.key) or call.has_in_memory(text)
        return None


def _config(call: Call, address: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, offset in OFFSETS.items():
        value = call.number_at(address + offset)
        if name == "len":
            found[name] = value
        else:
            found[name] = call.texts(value) if name == "envp" else call.text(value)
    return found


@dataclass(frozen=True)
class Init:
    """A built init with all that it looks at, in a folder of its own."""

    folder: Path
    key: bytes

    @property
    def conf(self) -> Path:
        return self.folder / "boot.conf"

    @property
    def settings(self) -> BootSettings:
        return BootSettings("/sefs/lower", "/sefs/upper", key_file=str(self.folder / "key"))

    def run(self, libos: LibOs, settings: BootSettings | None = None) -> tuple[int, str]:
        """Exit status and standard error; without settings boot.conf stays as it is."""
        if settings is not None:
            self.conf.write_bytes(boot_conf(settings))
        stderr = self.folder / "stderr"
        # An argument and a variable of the host: nobody may look at them.
        try:
            status = run_traced([self.folder / "init", "/elsewhere"], libos, stderr)
        except PermissionError:
            pytest.skip("this machine permits no ptrace")
        return status, stderr.read_text()

    def program(self, text: str) -> str:
        """The path of a script that prints the key."""
        path = self.folder / "release"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)


def _build(folder: Path, link: Sequence[str]) -> None:
    compiler = shutil.which("musl-gcc")
    if compiler is None:
        pytest.skip("there is no musl-gcc on this machine")
    places = (f'-DBOOT_CONF="{folder}/boot.conf"', f'-DLOWER_VIEW="{folder}/lower"')
    flags = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Os")
    subprocess.run([compiler, *flags, *link, *places, "-o", folder / "init", SOURCE], check=True)


@pytest.fixture
def init(request: pytest.FixtureRequest, tmp_path: Path) -> Init:
    """Linked statically, unless a test says otherwise."""
    _build(tmp_path, LINKS[getattr(request, "param", "static")])
    # Fresh, so that it is nowhere in a program but where the program put it.
    init = Init(tmp_path, secrets.token_bytes(16))
    (tmp_path / "key").write_text(init.key.hex("-") + "\n")
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower/metadata").write_bytes(b"metadata")
    return init


def _only(init: Init, libos: LibOs) -> dict[str, object]:
    """The one configuration that the libOS got, with the right key."""
    assert libos.keys == [init.key]
    assert libos.key_there  # else it would say nothing that it is not there in the end
    (config,) = libos.configs
    assert config["len"] == SIZE
    return config


BOTH = pytest.mark.parametrize("init", sorted(LINKS), indirect=True)


@BOTH
def test_every_field(init: Init) -> None:
    settings = BootSettings(
        lower="/sefs/lower",
        upper="../upper",
        entry_point="/bin/app",
        hostfs_source="/srv/data",
        hostfs_target="/data",
        key_file=str(init.folder / "key"),
        env=("A=1", "env=x=y", "EMPTY=", "UMLAUT=ü"),
    )
    libos = LibOs(init.key)

    assert init.run(libos, settings) == (0, "")

    assert _only(init, libos) == {
        "len": SIZE,
        "upper_layer_path": "../upper",
        "lower_layer_path": "/sefs/lower",
        "entry_point": "/bin/app",
        "hostfs_source": "/srv/data",
        "hostfs_target": "/data",
        "envp": ["A=1", "env=x=y", "EMPTY=", "UMLAUT=ü"],
    }
    assert libos.mounted == [("hostfs", f"{init.folder}/lower", "hostfs", "dir=/sefs/lower")]
    assert libos.key_left is False


def test_what_is_not_given_is_null(init: Init) -> None:
    libos = LibOs(init.key)
    assert init.run(libos, init.settings) == (0, "")
    config = _only(init, libos)
    assert {name for name, value in config.items() if value is None} == {
        *("entry_point", "hostfs_source", "hostfs_target", "envp")
    }


@BOTH
def test_key_of_a_program(init: Init) -> None:
    program = init.program(f'[ "$#$(env)" = "0PWD=$PWD" ] && cat {init.folder}/key')
    libos = LibOs(init.key)
    settings = BootSettings("/l", "/u", key_program=program)
    assert init.run(libos, settings) == (0, "")
    _only(init, libos)
    assert libos.key_left is False


def test_the_kernel_of_this_machine_has_no_such_call(init: Init) -> None:
    libos = LibOs(init.key, answer=None)
    assert init.run(libos, init.settings) == (
        NOT_MOUNTED,
        "init: /sefs/lower: the root file system cannot be mounted: Function not implemented "
        "(this is not Occlum's libOS, or too old a one)\n",
    )
    _only(init, libos)
    assert libos.key_left is False


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errno.EPERM, "Operation not permitted (it is mounted once, and only once)"),
        (errno.EINVAL, "Invalid argument (is the libOS of another version?)"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_the_libos_refuses(init: Init, error: int, expected: str) -> None:
    libos = LibOs(init.key, answer=-error)
    status, stderr = init.run(libos, init.settings)
    assert status == NOT_MOUNTED
    assert stderr == f"init: /sefs/lower: the root file system cannot be mounted: {expected}\n"
    assert libos.key_left is False


def test_without_ptrace_there_is_no_hostfs(init: Init) -> None:
    init.conf.write_bytes(boot_conf(init.settings))
    done = subprocess.run([init.folder / "init"], capture_output=True, text=True)
    assert done.returncode == BAD_LOWER
    assert "/sefs/lower: the host's directory cannot be mounted: " in done.stderr


def test_lower_layer_without_metadata(init: Init) -> None:
    metadata = init.folder / "lower/metadata"
    metadata.write_bytes(b"")
    status, stderr = init.run(LibOs(init.key), init.settings)
    assert (status, stderr) == (BAD_LOWER, "init: /sefs/lower/metadata: not a file, or empty\n")
    metadata.unlink()
    libos = LibOs(init.key)
    status, stderr = init.run(libos, init.settings)
    assert status == BAD_LOWER
    assert stderr == (
        "init: /sefs/lower/metadata: No such file or directory: "
        "the root would be an empty file system\n"
    )
    assert libos.configs == [] and libos.key_left is False
    (init.folder / "lower").rmdir()
    (init.folder / "lower").write_text("in the way")
    assert init.run(libos, init.settings)[0] == BAD_LOWER


@pytest.mark.parametrize("make", ["", "{key}\n\n", "{key}00", "{key}\r\n", "{cut}", "{plus}\n"])
def test_bad_key_file(init: Init, make: str) -> None:
    key = init.key.hex("-")
    text = make.format(key=key, cut=key[:-1], plus="+" + key[1:])
    (init.folder / "key").write_text(text)
    libos = LibOs(init.key)
    status, stderr = init.run(libos, init.settings)
    assert status == BAD_KEY
    assert stderr.startswith(f"init: {init.folder}/key: not a key: ")
    assert key[3:-3] not in stderr
    assert libos.configs == [] and libos.key_left is False


def test_no_key(init: Init) -> None:
    (init.folder / "key").unlink()
    status, stderr = init.run(LibOs(init.key), init.settings)
    assert (status, stderr) == (BAD_KEY, f"init: {init.folder}/key: No such file or directory\n")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("cat {key}; exit 7", "exit status 7"),
        ("kill -TERM $$", "ended by signal 15"),
        ("cat {key} {key}", "prints more than a key"),
        ("echo no", "not a key: "),
    ],
)
def test_program_that_gives_no_key(init: Init, script: str, expected: str) -> None:
    program = init.program(script.format(key=init.folder / "key"))
    libos = LibOs(init.key)
    status, stderr = init.run(libos, BootSettings("/l", "/u", key_program=program))
    assert status == BAD_KEY
    assert f"init: {program}: {expected}" in stderr
    assert libos.configs == [] and libos.key_left is False


def test_no_program(init: Init) -> None:
    settings = BootSettings("/l", "/u", key_program="/none")
    status, stderr = init.run(LibOs(init.key), settings)
    assert (status, stderr) == (BAD_KEY, "init: /none: No such file or directory\n")


GOOD = "lower=/l\nupper=/u\nkey_file=/k\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": lower and upper must be given"),
        ("lower=/l\nkey_file=/k\n", ": lower and upper must be given"),
        ("lower=/l\nupper=/u\n", ": one of key_file and key_program must be given"),
        (GOOD + "key_program=/p\n", ": one of key_file and key_program must be given"),
        (GOOD + "lower=/l\n", ":4: lower is given twice"),
        (GOOD + "upper\n", ":4: not written as name=value"),
        (GOOD + "\n", ":4: not written as name=value"),
        (GOOD + "entry_point=\n", ":4: entry_point has no value"),
        (GOOD + "lowerdir=/l\n", ":4: there is no setting lowerdir"),
        (GOOD + "env=A=\0\n", ": holds a byte that is zero"),
        (GOOD + "env=A=" + "x" * 70000, ": longer than 65536 bytes"),
    ],
)
def test_bad_boot_conf(init: Init, text: str, expected: str) -> None:
    init.conf.write_text(text)
    libos = LibOs(init.key)
    status, stderr = init.run(libos)
    assert (status, stderr) == (BAD_CONF, f"init: {init.conf}{expected}\n")
    assert libos.mounted == []


def test_no_boot_conf(init: Init) -> None:
    status, stderr = init.run(LibOs(init.key))
    assert (status, stderr) == (BAD_CONF, f"init: {init.conf}: No such file or directory\n")


def test_the_last_line_may_have_no_end(init: Init) -> None:
    init.conf.write_text(f"lower=/l\nupper=/u\nkey_file={init.folder}/key\nenv=A=1")
    libos = LibOs(init.key)
    assert init.run(libos) == (0, "")
    assert _only(init, libos)["envp"] == ["A=1"]


def test_paths_that_mount_options_cannot_hold(init: Init) -> None:
    for lower in ("/l,key=1", "/" + "l" * 5000):
        init.conf.write_text(f"lower={lower}\nupper=/u\nkey_file={init.folder}/key\n")
        status, stderr = init.run(LibOs(init.key))
        assert status == BAD_LOWER
        assert "too long, or with a comma" in stderr
