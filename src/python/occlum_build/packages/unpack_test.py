from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.testing_debs import Item, directory, hard_link, link, write_deb
from occlum_build.packages.tree import TreeWriter
from occlum_build.packages.unpack import contents_of_deb, unpack_deb, unpack_files

ITEMS = (
    directory("./"),
    directory("./usr/bin/", 0o500),
    Item("./usr/bin/app", b"app", 0o4755),
    hard_link("./usr/bin/other", "./usr/bin/app", 0o4755),
    Item("./bin/same", b"app", 0o4755),
    Item("./bin/mode", b"app", 0o644),
    link("./etc/link", "/usr/bin/app"),
    Item("./etc/none", b"", 0o000),
)


def _deb(tmp_path: Path) -> Path:
    return write_deb(tmp_path, "app", items=ITEMS)


def _files(deb: Path, root: Path, wanted: list[str]) -> None:
    root.mkdir()
    with TreeWriter(str(root)) as tree:
        unpack_files(deb, index_deb(deb), tree, wanted)


def _tree(root: Path) -> dict[str, str]:
    found = {}
    for path in sorted(root.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[str(path.relative_to(root))] = f"-> {os.readlink(path)}"
        elif path.is_dir():
            found[str(path.relative_to(root))] = f"{mode:04o}/"
        else:
            found[str(path.relative_to(root))] = f"{mode:04o} {path.read_text()}"
    return found


def test_all_of_it(tmp_path: Path) -> None:
    deb = _deb(tmp_path)
    mask = os.umask(0o077)
    try:
        unpack_deb(deb, index_deb(deb), tmp_path / "root")
    finally:
        os.umask(mask)
    root = tmp_path / "root"
    assert _tree(root) == {
        "etc": "0755/",
        "etc/link": "-> /usr/bin/app",
        "etc/none": "0000 ",
        "usr": "0755/",
        "usr/bin": "0500/",
        "usr/bin/app": "4755 app",
        "usr/bin/mode": "0644 app",
        "usr/bin/other": "4755 app",
        "usr/bin/same": "4755 app",
    }
    inodes = {name: (root / "usr/bin" / name).stat().st_ino for name in ("app", "other", "same")}
    assert inodes["app"] == inodes["other"] != inodes["same"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "wanted",
    [
        ["/usr/bin/app"],
        ["/usr/bin/other"],
        ["/usr/bin/same"],
        ["/usr/bin/other", "/usr/bin/same"],
        ["/usr/bin/app", "/usr/bin/other"],
        ["/etc/none", "/usr/bin/mode"],
        [],
    ],
)
def test_wanted_files_alone(tmp_path: Path, wanted: list[str]) -> None:
    deb = _deb(tmp_path)
    index = index_deb(deb)
    _files(deb, tmp_path / "root", wanted)
    found = [f"/{path}" for path, text in _tree(tmp_path / "root").items() if text[-1:] != "/"]
    assert found == sorted(wanted)
    contents = contents_of_deb(deb, index, wanted, 3)
    assert contents == {path: b"" if path == "/etc/none" else b"app" for path in wanted}


def test_a_content_that_is_too_large(tmp_path: Path) -> None:
    deb = _deb(tmp_path)
    with pytest.raises(OcclumError, match="/usr/bin/app in it has more than 2 bytes"):
        contents_of_deb(deb, index_deb(deb), ["/usr/bin/app"], 2)


def test_what_the_index_does_not_say(tmp_path: Path) -> None:
    deb = _deb(tmp_path)
    index = index_deb(deb)
    app = index.entries["/usr/bin/app"]
    for entries, told in (
        ({**index.entries, "/usr/bin/app": app._replace(sha256="0" * 64)}, "/usr/bin/app in it is"),
        ({**index.entries, "/usr/bin/app": app._replace(size=4)}, "/usr/bin/app in it is not what"),
        ({**index.entries, "/usr/x": app}, "/usr/x are in its index, but not in it"),
        ({"/usr/bin/other": app}, "/usr/bin/app in it is not what the index of app 1.0 says"),
    ):
        with pytest.raises(OcclumError) as error:
            unpack_deb(deb, replace(index, entries=entries), tmp_path / "root")
        (problem,) = error.value.problems
        assert problem.code == "deb-content" and told in problem.message
        assert problem.place is not None and problem.place.file == str(deb)
        assert os.listdir(tmp_path) == [deb.name]


def test_a_directory_that_exists(tmp_path: Path) -> None:
    deb = _deb(tmp_path)
    (tmp_path / "root").mkdir()
    with pytest.raises(FileExistsError):
        unpack_deb(deb, index_deb(deb), tmp_path / "root")


def test_damage_leaves_nothing(tmp_path: Path) -> None:
    deb = _deb(tmp_path)
    index = index_deb(deb)
    deb.write_bytes(deb.read_bytes()[:-30])
    with pytest.raises(OcclumError, match="no usable package"):
        unpack_deb(deb, index, tmp_path / "root")
    assert os.listdir(tmp_path) == [deb.name]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **_options: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", link)
    deb = _deb(tmp_path)
    unpack_deb(deb, index_deb(deb), tmp_path / "root")
    tree = _tree(tmp_path / "root")
    assert tree["usr/bin/other"] == tree["usr/bin/app"] == "4755 app"


def test_what_its_owner_may_not_read_is_readable_where_that_is_asked(tmp_path: Path) -> None:
    items = (
        directory("./closed/", 0o000),
        Item("./closed/run", b"run", 0o111),
        Item("./closed/none", b"none", 0o000),
        hard_link("./closed/other", "./closed/none", 0o000),
    )
    deb = write_deb(tmp_path, "app", items=items)
    root = tmp_path / "root"
    unpack_deb(deb, index_deb(deb), root, readable=True)
    if os.geteuid() == 0:
        for path in (root / "closed", *(root / "closed").iterdir()):
            os.chown(path, 65534, 65534)
    done = subprocess.run([sys.executable, "-c", _READ], cwd=root, check=False, capture_output=True)
    assert (done.stdout, done.stderr) == (b"none none run\n", b"")
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (root / "closed").iterdir()}
    assert modes == {"none": 0o400, "other": 0o400, "run": 0o511}
    assert stat.S_IMODE((root / "closed").stat().st_mode) == 0o700


# As their owner without capabilities, who may not enter the directories above.
_READ = """
import os
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(*(open(f"closed/{name}").read() for name in ("none", "other", "run")))
"""


def test_what_is_no_file_of_it(tmp_path: Path) -> None:
    deb = _deb(tmp_path)
    for path in ("/gone", "/usr/bin", "/etc/link"):
        with pytest.raises(OcclumError, match=f"{path} are wanted, and no files in it"):
            _files(deb, tmp_path / f"root{path.replace('/', '-')}", [path])
