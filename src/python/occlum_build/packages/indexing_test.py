from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from occlum_build.elf.facts import ElfFacts, Script
from occlum_build.elf.testing_made import made_elf
from occlum_build.errors import OcclumError
from occlum_build.packages import deb, indexing
from occlum_build.packages.index import DebIndex, Entry, write_index
from occlum_build.packages.indexing import index_deb, read_deb
from occlum_build.packages.testing_debs import (
    PACKERS,
    Item,
    deb_of,
    directory,
    hard_link,
    link,
    write_deb,
)
from occlum_build.sources.model import DIR, FILE, SYMLINK

ELF = made_elf()


def _index(tmp_path: Path, data: bytes, *, merged_usr: bool = True) -> DebIndex:
    path = tmp_path / "app.deb"
    path.write_bytes(data)
    return index_deb(path, merged_usr=merged_usr)


def _error(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(OcclumError) as error:
        _index(tmp_path, data)
    (problem,) = error.value.problems
    assert problem.code == "deb-file" and problem.place is not None
    assert problem.place.file == str(tmp_path / "app.deb") and problem.hint
    start = "no usable package: "
    assert problem.message.startswith(start), problem.message
    return problem.message[len(start) :]


def _file(content: bytes, mode: int = 0o644) -> Entry:
    return Entry(FILE, mode, len(content), hashlib.sha256(content).hexdigest())


ITEMS = (
    directory("./"),
    directory("./usr/"),
    directory("./usr/bin/", 0o2755),
    Item("./usr/bin/app", ELF, 0o4755),
    hard_link("./usr/bin/other", "./usr/bin/app", 0o4755),
    Item("./usr/bin/run", b"#!/bin/sh\necho \xff\n", 0o755),
    link("./usr/lib/libx.so", "libx.so.1"),
    Item("./usr/share/" + "n" * 120, b"long"),
    Item("./usr/share/\u00fc", b""),
)
DUE = {
    "/": Entry(DIR, 0o755),
    "/usr": Entry(DIR, 0o755),
    "/usr/bin": Entry(DIR, 0o2755),
    "/usr/bin/app": _file(ELF, 0o4755),
    "/usr/bin/other": _file(ELF, 0o4755),
    "/usr/bin/run": _file(b"#!/bin/sh\necho \xff\n", 0o755),
    "/usr/lib/libx.so": Entry(SYMLINK, target="libx.so.1"),
    "/usr/share/" + "n" * 120: _file(b"long"),
    "/usr/share/\u00fc": _file(b""),
}


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_entries_and_facts(tmp_path: Path, compression: str, format_: int) -> None:
    index = _index(tmp_path, deb_of(items=ITEMS, compression=compression, format_=format_))
    assert index.entries == DUE and list(index.entries) == sorted(DUE)
    app, run = DUE["/usr/bin/app"].sha256, DUE["/usr/bin/run"].sha256
    assert isinstance(index.facts[app], ElfFacts)
    assert index.facts[run] == Script("/bin/sh")
    assert index.facts.keys() == {app, run}
    assert (index.name, index.architecture, index.told) == ("app 1.0", "amd64", ())


def test_control_fields(tmp_path: Path) -> None:
    fields = {"Replaces": "b (<< 2),\n c", "Source": "src", "Multi-Arch": "same", "Homepage": "x"}
    index = _index(tmp_path, deb_of("libapp+1", "1:2.0~rc1-1", fields=fields))
    assert (index.package, index.version) == ("libapp+1", "1:2.0~rc1-1")
    assert index.control == {"Source": "src", "Multi-Arch": "same", "Replaces": "b (<< 2), c"}


def test_scripts(tmp_path: Path) -> None:
    scripts = {
        "postinst": "#!/bin/sh\nadduser x\nupdate-alternatives --install /usr/bin/x x /bin/app 5\n",
        "preinst": "#!/bin/sh\ndpkg-divert --add /bin/y\n",
    }
    index = _index(tmp_path, deb_of(scripts=scripts))
    assert [one.path for one in index.alternatives] == ["/bin/app"]
    assert index.diversions == ("/usr/bin/y",)
    assert index.told == ("postinst runs adduser: not imitated",)


def test_what_no_image_holds_is_left_out_and_told(tmp_path: Path) -> None:
    items = (
        Item("./dev/null", mode=0o666, type=tarfile.CHRTYPE),
        Item("./dev/sda", type=tarfile.BLKTYPE),
        Item("./run/fifo", type=tarfile.FIFOTYPE),
    )
    index = _index(tmp_path, deb_of(items=items))
    assert not index.entries
    left_out = "/dev/null, /dev/sda and /run/fifo left out"
    assert index.told == (f"no image holds devices and fifos: {left_out}",)


def test_merged_usr(tmp_path: Path) -> None:
    items = (
        directory("./bin/"),
        directory("./usr/bin/"),
        Item("./bin/x", b"x"),
        hard_link("./usr/bin/y", "./bin/x"),
        link("./usr/bin/x", "/bin/x"),
        link("./lib64", "usr/lib64"),
        link("./sbin/z", "/usr/sbin/z"),
    )
    data = deb_of(items=items)
    index = _index(tmp_path, data)
    assert index.entries == {
        "/usr/bin": Entry(DIR, 0o755),
        "/usr/bin/x": _file(b"x"),
        "/usr/bin/y": _file(b"x"),
    }
    assert index.told == ("links to themselves where /usr is merged: /usr/sbin/z left out",)
    plain = _index(tmp_path, data, merged_usr=False)
    assert list(plain.entries) == [
        "/bin", "/bin/x", "/lib64", "/sbin/z", "/usr/bin", "/usr/bin/x", "/usr/bin/y"
    ]  # fmt: skip


def test_one_entry_twice(tmp_path: Path) -> None:
    items = (Item("./bin/x", b"x"), Item("./usr/bin/x", b"x"))
    assert _index(tmp_path, deb_of(items=items)).entries == {"/usr/bin/x": _file(b"x")}


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([Item("./../etc/passwd")], "the name './../etc/passwd' in it has a component `..`"),
        ([Item("/etc/passwd")], "the name '/etc/passwd' in it is absolute"),
        ([Item("./a\udcff")], "the name './a\\xff' in it is not UTF-8"),
        ([Item("./" + "a" * 256)], "has a component of more than 255 bytes"),
        ([link("./a", "b\udcff")], "the name '/a' in it is not UTF-8"),
        ([link("./a", "")], "the link '/a' in it leads nowhere"),
        ([hard_link("./a", "./b")], "'/a' in it is a hard link to no file before it"),
        ([directory("./b"), hard_link("./a", "./b")], "is a hard link to no file before it"),
        ([hard_link("./a", "../b")], "has a component `..`"),
        ([Item("./a", type=b"Z")], "'/a' in it is of no kind that a package may have"),
        ([Item("./a", b"1"), Item("./a", b"2")], "'/a' is in it twice, with different contents"),
        ([Item("./bin/a", b"1"), Item("./usr/bin/a", b"2")], "'/usr/bin/a' is in it twice"),
        ([link("./a", "etc"), Item("./a/b")], "'/a/b' in it is below /a, which is no directory"),
        ([Item("./a/b"), Item("./a")], "'/a/b' in it is below /a, which is no directory"),
        ([link("./a", "etc"), Item("./a/b/c")], "'/a/b/c' in it is below /a, which is no"),
        ([Item("./bin")], "'./bin' in it does not fit a merged /usr"),
        ([link("./lib", "opt/lib")], "'./lib' in it does not fit a merged /usr"),
    ],
)
def test_entries_that_are_refused(tmp_path: Path, items: list[Item], told: str) -> None:
    assert told in _error(tmp_path, deb_of(items=items))


def test_files_that_are_too_large_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "MAX_BYTES", 10)
    items = [Item("./a", b"123456"), Item("./b", b"12345")]
    assert _error(tmp_path, deb_of(items=items)) == "its files have more than 10 bytes"


def test_names_of_directories_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "MAX_NAME_BYTES", 1000)
    items = [Item("./x/" + "a/" * 50), Item("./y/" + "a/" * 50)]
    told = _error(tmp_path, deb_of(items=items))
    assert told == "directories above its files have names of more than 1000 bytes"


def test_facts_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "MAX_FACTS_BYTES", 1000)
    items = [Item(f"./{number}", ELF + bytes([number])) for number in range(10)]
    told = _error(tmp_path, deb_of(items=items))
    assert told == "what its ELF files tell has more than 1000 bytes"


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(OcclumError) as error:
            index_deb(path)
        assert error.value.code == "deb-file"


def test_damaged_anywhere(tmp_path: Path) -> None:
    """One error or the same index, and of what has a checksum nothing damaged."""
    rng = random.Random(13)
    for compression in (".xz", ".zst", ".gz", ""):
        good = deb_of(items=ITEMS, compression=compression)
        for _ in range(300):
            mutant = bytearray(good)
            if rng.random() < 0.3:
                del mutant[rng.randrange(len(mutant)) :]
            else:
                mutant[rng.randrange(len(mutant))] = rng.randrange(256)
            try:
                index = _index(tmp_path, bytes(mutant))
            except OcclumError as error:
                assert error.code == "deb-file"
            else:
                assert not compression or index.entries == DUE


def test_control_members(tmp_path: Path) -> None:
    """As they are; without md5sums those that dpkg would compute."""
    path = tmp_path / "app.deb"
    path.write_bytes(deb_of(items=ITEMS, scripts={"md5sums": "00  usr/bin/app\n"}))
    read = read_deb(path)
    assert read.holds == index_deb(path)
    assert read.control.startswith(b"Package: app\nVersion: 1.0\n")
    assert b"Description: for tests\n" in read.control
    assert read.md5sums == b"00  usr/bin/app\n"

    more = [*ITEMS, Item("./usr/empty"), Item("./usr/line\nbreak"), Item("./bin/\u00fc", b"x")]
    path.write_bytes(deb_of(items=more))
    read = read_deb(path)
    lines = read.md5sums.decode().splitlines()
    assert lines == sorted(lines, key=lambda line: line[34:])
    sums = {line[34:]: line[:32] for line in lines}
    of_elf = hashlib.md5(ELF, usedforsecurity=False).hexdigest()
    assert sums["usr/bin/app"] == sums["usr/bin/other"] == of_elf
    # By the names that the package has, before /usr is merged.
    assert sums["bin/\u00fc"] == hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    assert sums["usr/empty"] == hashlib.md5(b"", usedforsecurity=False).hexdigest()
    files = [path for path, entry in read.holds.entries.items() if entry.type == FILE]
    assert len(sums) == len(files) - 1


def test_md5sums_of_very_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deb, "CONTROL_BYTES", 1000)
    path = tmp_path / "app.deb"
    path.write_bytes(deb_of(scripts={"md5sums": "x" * 1001}))
    assert len(read_deb(path).md5sums) == 1001
    assert _error(tmp_path, deb_of(scripts={"postinst": "x" * 1001})) == (
        "postinst in it has more than 1000 bytes"
    )


def test_as_a_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    deb = write_deb(tmp_path, "app", items=[Item("./bin/x")])
    outputs = ["out.json", "control", "md5sums"]
    step = [sys.executable, "-m", "occlum_build.packages.indexing", deb.name, *outputs]
    path = os.pathsep.join(os.path.abspath(one) for one in sys.path if one)
    environment = {"PYTHONPATH": path}
    subprocess.run(step, cwd=tmp_path, env=environment, check=True)
    read = read_deb(deb)
    assert (tmp_path / "out.json").read_bytes() == write_index(read.holds)
    assert (tmp_path / "control").read_bytes() == read.control
    assert (tmp_path / "md5sums").read_bytes() == read.md5sums
    subprocess.run([*step, "plain"], cwd=tmp_path, env=environment, check=True)
    assert list(json.loads((tmp_path / "out.json").read_bytes())["files"]) == ["/bin/x"]
    deb.write_bytes(b"junk")
    failed = subprocess.run(step, cwd=tmp_path, env=environment, check=False)
    assert failed.returncode == 1
    assert capfd.readouterr().err.startswith("app_1.0_amd64.deb: no usable package: it is no ar")
