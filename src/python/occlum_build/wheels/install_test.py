from __future__ import annotations

import hashlib
import json
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.process.step import EXIT_CONTENT_MISSING
from occlum_build.wheels.install import Content, Layout, install
from occlum_build.wheels.testing_wheels import record_of, tree_of, wheel_of, zip_of

SITE = "usr/lib/python3/dist-packages"
LAYOUT = Layout(f"/{SITE}", "/usr", "/usr/bin/python3", "3.11")
FILE = "my_tool-1.0-py3-none-any.whl"
INFO = "my_tool-1.0.dist-info"
ENTRY = (
    b"[console_scripts]\nmy-tool = my_tool.cli:App.main\n[gui_scripts]\nmy-gui=my_tool:gui [x]\n"
)
SCRIPT = b"""\
#!/usr/bin/python3
# -*- coding: utf-8 -*-
import sys
from my_tool.cli import App
if __name__ == "__main__":
    sys.exit(App.main())
"""


def installed(tmp_path: Path, wheel: bytes, layout: Layout = LAYOUT) -> dict[str, Any]:
    (tmp_path / FILE).write_bytes(wheel)
    install(tmp_path / FILE, FILE, layout, tmp_path / "out")
    return tree_of(tmp_path / "out")


def failure(tmp_path: Path, wheel: bytes) -> str:
    with pytest.raises(OcclumError) as caught:
        installed(tmp_path, wheel)
    assert caught.value.code == "wheel-file"
    text = str(caught.value)
    assert text.startswith(f"{FILE}: no usable wheel: ")
    assert "get it anew" in text
    return text


def test_everything_has_its_place(tmp_path: Path) -> None:
    data = "my_tool-1.0.data"
    files = {
        "my_tool/__init__.py": b"",
        "my_tool/__pycache__/__init__.cpython-311.pyc": b"old",
        "my_tool/run.sh": b"#!/bin/sh\n",
        f"{data}/purelib/pure.py": b"p",
        f"{data}/purelib/__pycache__/pure.cpython-311.pyc": b"old",
        f"{data}/platlib/native.so": b"\x7fELF...",
        f"{data}/scripts/tool": b"#!python\nprint()\n",
        f"{data}/scripts/toolw": b"#!pythonw -s\n",
        f"{data}/scripts/shell": b"#!/bin/sh\n#!python\n",
        f"{data}/data/share/x.txt": b"x",
        f"{data}/headers/tool.h": b"h",
    }
    wheel = wheel_of(
        "my_tool", "1.0", files, {"my_tool/run.sh": 0o100755},
        info={"entry_points.txt": ENTRY, "INSTALLER": b"pip\n", "direct_url.json": b"{}"},
    )  # fmt: skip
    found = installed(tmp_path, wheel)

    assert {path: mode for path, (mode, _) in found.items()} == {
        f"{SITE}/my_tool/__init__.py": 0o644,
        f"{SITE}/my_tool/run.sh": 0o755,
        f"{SITE}/pure.py": 0o644,
        f"{SITE}/native.so": 0o644,
        f"{SITE}/{INFO}/INSTALLER": 0o644,
        f"{SITE}/{INFO}/METADATA": 0o644,
        f"{SITE}/{INFO}/RECORD": 0o644,
        f"{SITE}/{INFO}/WHEEL": 0o644,
        f"{SITE}/{INFO}/entry_points.txt": 0o644,
        **{f"usr/bin/{one}": 0o755 for one in ("my-gui", "my-tool", "shell", "tool", "toolw")},
        "usr/share/x.txt": 0o644,
        "usr/include/python3.11/my_tool/tool.h": 0o644,
    }
    assert found["usr/bin/my-tool"][1] == SCRIPT
    assert found["usr/bin/tool"][1] == b"#!/usr/bin/python3\nprint()\n"
    assert found["usr/bin/toolw"][1] == b"#!/usr/bin/python3 -s\n"
    assert found["usr/bin/shell"][1] == files[f"{data}/scripts/shell"]
    assert found[f"{SITE}/{INFO}/INSTALLER"][1] == b"occlum-build\n"


def test_record_is_sorted_and_true(tmp_path: Path) -> None:
    wheel = wheel_of(
        "my_tool", "1.0", {"z.py": b"z", "a,b.py": b"a"}, info={"entry_points.txt": ENTRY}
    )
    found = installed(tmp_path, wheel)
    files = {
        f"../../../bin/{path[8:]}"
        if path.startswith("usr/bin/")
        else path[len(SITE) + 1 :]: content
        for path, (_, content) in found.items()
        if not path.endswith("RECORD")
    }
    wanted = record_of({}, f"{INFO}/RECORD").decode().splitlines()
    for path, content in files.items():
        wanted.append(record_of({path: content}, "").decode().splitlines()[0])
    record = found[f"{SITE}/{INFO}/RECORD"][1].decode()
    assert record.splitlines() == sorted(wanted, key=lambda one: one.strip('"'))


def test_the_order_and_method_of_an_archive_do_not_count(tmp_path: Path) -> None:
    files = {"b.py": b"b" * 1000, "a.py": b"a", "c.so": b"\x7fELF"}
    trees = []
    for number, (order, method) in enumerate([(1, zipfile.ZIP_DEFLATED), (-1, zipfile.ZIP_STORED)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        wheel = wheel_of("my_tool", "1.0", dict(list(files.items())[::order]), method=method)
        tree = installed(folder, wheel)
        trees.append({path: one for path, one in tree.items()})
    assert trees[0] == trees[1]


def test_modules_in_the_root(tmp_path: Path) -> None:
    layout = Layout("/", "/usr", "/usr/bin/python3", "3.11")
    found = installed(tmp_path, wheel_of("my_tool", "1.0", {"a.py": b""}), layout)
    assert {"a.py", f"{INFO}/INSTALLER", f"{INFO}/RECORD"} < set(found)


def test_other_places(tmp_path: Path) -> None:
    layout = Layout("/opt/app/lib", "", "/opt/python", "3.11")
    wheel = wheel_of("my_tool", "1.0", {"a.py": b"", "my_tool-1.0.data/data/etc/a": b""},
                     info={"entry_points.txt": ENTRY})  # fmt: skip
    found = installed(tmp_path, wheel, layout)
    assert {"opt/app/lib/a.py", "etc/a", "bin/my-tool"} < set(found)
    assert found["bin/my-tool"][1].startswith(b"#!/opt/python\n")
    assert b"\n../../../bin/my-tool," in b"\n" + found[f"opt/app/lib/{INFO}/RECORD"][1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "has a component `..`"),
        ("a/../../x", "has a component `..`"),
        ("/etc/passwd", "is absolute"),
        ("a" * 300, "more than 255 bytes"),
        ("a/" * 2100 + "b", "more than 4095 bytes"),
        ("my_tool-1.0.data/other/x", "nothing is known of"),
        ("my_tool-1.0.data/x", "nothing is known of"),
        ("a.py/b", "is below a file"),
        ("other-1.dist-info/METADATA", "2 directories *.dist-info"),
        ("my_tool-1.0.data/purelib/a.py", "two files of it would be"),
        ("my_tool-1.0.data/data/lib/python3/dist-packages/a.py", "two files of it would be"),
        ("my_tool-1.0.data/data/lib/python3/dist-packages/a.py/b", "is below a file"),
    ],
)
def test_names_that_are_wrong(tmp_path: Path, name: str, words: str) -> None:
    assert words in failure(tmp_path, wheel_of("my_tool", "1.0", {"a.py": b"", name: b"x"}))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_what_is_no_regular_file(tmp_path: Path, mode: int) -> None:
    wheel = wheel_of("my_tool", "1.0", {"link": b"/etc/passwd"}, {"link": mode | 0o777})
    assert "'link' in it is no regular file" in failure(tmp_path, wheel)


def test_a_name_that_comes_twice(tmp_path: Path) -> None:
    with pytest.warns(UserWarning):
        wheel = zip_of([("a.py", b"1"), ("a.py", b"2"), (f"{INFO}/WHEEL", b"Wheel-Version: 1.0\n")])
    assert "is in it twice" in failure(tmp_path, wheel)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"RECORD": b"a.py,sha256=AAAA,1\n"}, "has not the hash that RECORD says"),
        ({"RECORD": b"a.py,md5=AAAA,1\n"}, "RECORD has a hash 'md5'"),
        ({"RECORD": b""}, "RECORD has no hash of 'a.py'"),
        ({"RECORD": b"a.py\n"}, "not path, hash and size"),
        ({"RECORD": b'"a\n'}, "no list of values"),
        ({"RECORD": b"\xff"}, "RECORD is not UTF-8"),
        ({"WHEEL": b"Wheel-Version: 2.0\n"}, "version 1 of the format"),
        ({"WHEEL": b""}, "version 1 of the format"),
        ({"entry_points.txt": b"[console_scripts]\na = b\n"}, "is no `name = module:function`"),
        ({"entry_points.txt": b"[console_scripts]\n../a = b:c\n"}, "is no `name ="),
        ({"entry_points.txt": b"[console_scripts]\n.. = b:c\n"}, "is no `name ="),
        ({"entry_points.txt": b"[console_scripts]\na = b:c\nimport os\n"}, "cannot be read"),
        ({"entry_points.txt": b"[console_scripts]\na = b:c;d\n"}, "is no `name ="),
        ({"entry_points.txt": b"[console_scripts\n"}, "cannot be read"),
    ],
)
def test_metadata_that_is_wrong(tmp_path: Path, info: dict[str, bytes], words: str) -> None:
    assert words in failure(tmp_path, wheel_of("my_tool", "1.0", {"a.py": b"x"}, info=info))


def test_no_record(tmp_path: Path) -> None:
    assert "no RECORD" in failure(tmp_path, zip_of([(f"{INFO}/WHEEL", b"Wheel-Version: 1.0\n")]))


def test_another_distribution(tmp_path: Path) -> None:
    assert "it is another distribution" in failure(tmp_path, wheel_of("other", "1.0", {}))


@pytest.mark.parametrize("size", [0, 10, 200, -30])
def test_a_part_of_a_wheel(tmp_path: Path, size: int) -> None:
    failure(tmp_path, wheel_of("my_tool", "1.0", {"a.py": b"x" * 1000})[:size])


@pytest.mark.parametrize("size", [0xFFFFFFF0, 16])
def test_a_member_has_what_its_directory_says(tmp_path: Path, size: int) -> None:
    wheel = bytearray(wheel_of("my_tool", "1.0", {"a.py": b"\0" * 4096}))
    struct.pack_into("<I", wheel, wheel.index(b"PK\x01\x02") + 24, size)
    assert "it is damaged" in failure(tmp_path, bytes(wheel))


def test_many_members_that_say_much(tmp_path: Path) -> None:
    wheel = bytearray(wheel_of("my_tool", "1.0", {f"{one}": b"\0" * 64 for one in range(4)}))
    at = -1
    while (at := wheel.find(b"PK\x01\x02", at + 1)) >= 0:
        struct.pack_into("<I", wheel, at + 24, 0xFFFFFFF0)
    assert "more than 8 GiB of files" in failure(tmp_path, bytes(wheel))


def test_members_that_overlap(tmp_path: Path) -> None:
    files = {"a.py": b"x" * 100, "b.py": b"x" * 100}
    wheel = bytearray(wheel_of("my_tool", "1.0", files, method=zipfile.ZIP_STORED))
    first = wheel.index(b"PK\x01\x02")
    second = wheel.index(b"PK\x01\x02", first + 1)
    struct.pack_into("<I", wheel, second + 42, 0)
    assert "members of it overlap" in failure(tmp_path, bytes(wheel))


def test_what_may_hold_elf_files(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(
        wheel_of("my_tool", "1.0", {"a.so": b"\x7fELF", "b.zip": b"PK\x03\x04", "c.py": b"c"})
    )
    content = install(tmp_path / FILE, FILE, LAYOUT, tmp_path / "out")
    assert content.may_hold_elf == (f"/{SITE}/a.so", f"/{SITE}/b.zip")
    assert Content.from_json(content.to_json(), "x") == content


def step(tmp_path: Path, sha256: str) -> subprocess.CompletedProcess[str]:
    out = [str(tmp_path / "out"), str(tmp_path / "index.json")]
    command = [sys.executable, "-m", "occlum_build.wheels.install", str(tmp_path / FILE), sha256]
    return subprocess.run(
        [*command, FILE, *LAYOUT, *out], capture_output=True, text=True, check=False
    )


def test_the_process(tmp_path: Path) -> None:
    wheel = wheel_of("my_tool", "1.0", {"a.so": b"\x7fELF"})
    sha256 = hashlib.sha256(wheel).hexdigest()
    assert step(tmp_path, sha256).returncode == EXIT_CONTENT_MISSING
    (tmp_path / FILE).write_bytes(wheel[:-1])
    assert step(tmp_path, sha256).returncode == EXIT_CONTENT_MISSING
    assert not (tmp_path / "out").exists()
    (tmp_path / FILE).write_bytes(wheel)
    assert step(tmp_path, sha256).returncode == 0
    assert json.loads((tmp_path / "index.json").read_bytes()) == {"elf": [f"/{SITE}/a.so"]}
    (tmp_path / FILE).write_bytes(b"no wheel")
    done = step(tmp_path, hashlib.sha256(b"no wheel").hexdigest())
    assert done.returncode == 1
    assert "no usable wheel" in done.stderr
