"""The wheels of the small project, and their lock file: `small_wheels.py DIRECTORY` writes both.

They are stored and not deflated, as what zlib makes of one text differs between its versions.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from occlum_build.elf import layout
from occlum_build.elf.testing_made import made_elf
from occlum_build.wheels.testing_wheels import lock_of, locked, wheel_of
from packages.small_debs import library

_TAG = "cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"
_PURE, _NATIVE = "greetings-1.0-py3-none-any.whl", f"greet_native-2.1-{_TAG}.whl"
_NEEDED = ("libgreet.so.1", "libinner-1f2e.so.1", "libc.so.6")
_URL = "file://${SMALL_WHEELS}/"
_TEXT = b"""\
from greet_native import _greet


def main() -> None:
    print(_greet)
"""


def small_wheels() -> dict[str, bytes]:
    """The wheels by the names of their files: a pure one, and one with native modules."""
    tags = [(layout.DT_NEEDED, one.encode()) for one in _NEEDED]
    module = made_elf(tags=[*tags, (layout.DT_RUNPATH, b"$ORIGIN/../greet_native.libs")])
    stored = zipfile.ZIP_STORED
    return {
        _PURE: wheel_of(
            "greetings",
            "1.0",
            {"greetings.py": _TEXT, "greetings-1.0.data/scripts/greet.py": b"#!python\n"},
            info={"entry_points.txt": b"[console_scripts]\ngreetings = greetings:main\n"},
            method=stored,
        ),
        _NATIVE: wheel_of(
            "greet_native",
            "2.1",
            {
                "greet_native/__init__.py": b"",
                "greet_native/_greet.abi3.so": module,
                "greet_native.libs/libinner-1f2e.so.1": library("libinner-1f2e.so.1", "libc.so.6"),
            },
            tag=_TAG,
            method=stored,
        ),
    }


def small_lock() -> bytes:
    """A lock file of them; where they are, this machine alone knows."""
    wheels = small_wheels()
    other = f"{_URL}greet_native-2.1-cp38-abi3-win_amd64.whl"
    native: list[tuple[str, bytes | str]] = [(other, "0" * 64), (_URL + _NATIVE, wheels[_NATIVE])]
    requires = [
        "greet-native>=2; sys_platform == 'linux'",
        "colours; sys_platform == 'win32'",
        "plots; extra == 'plots'",
    ]
    return lock_of(
        [
            locked("greet-native", "2.1", native, [], ">=3.8"),
            locked("greetings", "1.0", [(_URL + _PURE, wheels[_PURE])], requires, ">=3.8"),
        ],
        ["greetings"],
    )


def write_wheels(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in small_wheels().items():
        (directory / name).write_bytes(content)


if __name__ == "__main__":
    write_wheels(Path(sys.argv[1]))
    Path(sys.argv[1], "wheels.lock").write_bytes(small_lock())
