"""Readers of wheels, and of lock files of them."""

from __future__ import annotations

from hostile.fuzzing.workplace import SEPARATOR, file_of, parts_of, text_of
from occlum_build.errors import OcclumError
from occlum_build.wheels.choose import choose_wheels
from occlum_build.wheels.install import Content, Layout, install
from occlum_build.wheels.lock import read_lock
from occlum_build.wheels.platform import Platform
from occlum_build.wheels.testing_wheels import lock_of, locked, wheel_of, zip_of

_LAYOUT = Layout("/usr/lib/python3/dist-packages", "/usr", "/usr/bin/python3", "3.11")
_FILE = "a-1.0-py3-none-any.whl"
_ENTRIES = b"[console_scripts]\na = a.b:c.d [x]\n[gui_scripts]\nb=a:b\n"
_PLATFORMS = (Platform("3.11", "2.31"), Platform("3.9.2", "2.5"))


def wheel(data: bytes) -> None:
    """A wheel, as it is and as the RECORD, WHEEL and entry points of one."""
    record, version, entries = parts_of(data, 3)
    info = {"RECORD": record, "WHEEL": version, "entry_points.txt": entries}
    for content in (data, wheel_of("a", "1.0", {"a.py": b"x"}, info=info)):
        with file_of(content, _FILE) as path:
            try:
                found = install(path, _FILE, _LAYOUT, path.parent / "root")
            except OcclumError as error:
                assert error.code == "wheel-file"
                continue
            assert Content.from_json(found.to_json(), "index.json") == found


def wheels_lock(data: bytes) -> None:
    """What is asked for, and a lock file."""
    asked, content = parts_of(data, 2)
    lock = read_lock(content, "x.lock")
    for platform in _PLATFORMS:
        for roots in ((), text_of(asked).split("\n")[:50]):
            try:
                choose_wheels(lock, roots, platform)
            except OcclumError:
                continue


def seeds() -> list[tuple[str, bytes]]:
    """Inputs for them, by reader."""
    files = {
        "a.py": b"x",
        "a.so": b"\x7fELF",
        "a-1.0.data/scripts/a": b"#!python\n",
        "a-1.0.data/data/x": b"",
    }
    whole = wheel_of("a", "1.0", files, info={"entry_points.txt": _ENTRIES})
    parts = [
        b"a.py,sha256=LXEWQrcmsEQBYnyppAK8n2qPIhm1tvXO9NhaxINIuAs,1\n",
        b"Wheel-Version: 1.0\n",
    ]
    digest = "ab" * 32
    tags = (
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "2-py3-none-any",
        "py3-none-any",
    )
    wheels = [(f"https://host/b-1.0-{tag}.whl", digest) for tag in tags]
    requires = ["b[x]>=1; python_version < '3.10' or extra == 'y'", "c (!=2,>1) ; os_name == 'nt'"]
    lock = lock_of(
        [
            locked("A", "1.0", [("file:///a-1.0.tar.gz", digest)], requires, ">=3.7,!=3.8.*"),
            locked("b", "1.0", wheels, ["a; extra == 'x'"]),
        ],
        ["b", "A[y]==1.*"],
    )
    return [
        ("wheel", whole),
        ("wheel", zip_of([("a-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\n")])),
        ("wheel", SEPARATOR.join([*parts, _ENTRIES])),
        ("wheels_lock", SEPARATOR.join([b"b[x]\nA", lock])),
    ]
