from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files.testing import files_of_at_most
from occlum_build.packages.assemble import assemble, debs_in
from occlum_build.packages.testing_debs import Item, directory, link, write_deb
from occlum_build.sources.model import DIR, FILE, SYMLINK

ALTERNATIVE = "#!/bin/sh\nupdate-alternatives --install /usr/bin/x x /usr/bin/{} {}\nchown a b\n"
MASTER = "./usr/share/base-passwd/passwd.master"


def _debs(directory_: Path) -> list[Path]:
    """Packages whose order by name is not that of the list."""
    return [
        write_deb(
            directory_,
            "b",
            items=[
                directory("./bin/"),
                Item("./bin/b", b"b", 0o755),
                Item("./etc/both", b"of b"),
                directory("./lib64/"),
            ],
            scripts={"postinst": ALTERNATIVE.format("b", 10)},
            compression=".zst",
        ),
        write_deb(
            directory_,
            "a",
            items=[
                Item("./usr/bin/a", b"a", 0o4755),
                Item("./etc/both", b"of a"),
                link("./usr/bin/l", "a"),
                Item("./etc/mode", b"", 0o600),
                directory("./srv/", 0o500),
                Item("./srv/x", b"x"),
            ],
            fields={"Replaces": "b (<< 2)"},
            scripts={"postinst": ALTERNATIVE.format("a", 5)},
            compression=".gz",
        ),
        write_deb(directory_, "base-passwd", items=[Item(MASTER, b"root:*:0:0::/:/bin/sh\n")]),
    ]


def test_a_root_of_packages(tmp_path: Path) -> None:
    target = tmp_path / "root"
    root = assemble(_debs(tmp_path), target)
    for path, pin in root.lock.pins.items():
        full = target / path[1:]
        status = full.lstat()
        assert (pin.type == SYMLINK) == full.is_symlink()
        if pin.type == SYMLINK:
            assert os.readlink(full) == pin.target
        else:
            assert (pin.type == DIR, pin.mode) == (full.is_dir(), status.st_mode & 0o7777)
    listed = {f"/{path.relative_to(target)}" for path in target.rglob("*")} | {"/"}
    assert listed == root.lock.pins.keys()
    files = {path: (target / path[1:]).read_bytes() for path, pin in root.lock.pins.items()
             if pin.type == FILE}  # fmt: skip
    assert files == {
        "/etc/both": b"of a",
        "/etc/mode": b"",
        "/etc/passwd": b"root:x:0:0::/:/bin/sh\n",
        "/srv/x": b"x",
        "/usr/bin/a": b"a",
        "/usr/bin/b": b"b",
        f"/{MASTER[2:]}": b"root:*:0:0::/:/bin/sh\n",
    }
    links = {path: pin.target for path, pin in root.lock.pins.items() if pin.type == SYMLINK}
    assert links == {
        "/bin": "usr/bin",
        "/etc/alternatives/x": "/usr/bin/b",
        "/usr/bin/l": "a",
        "/usr/bin/x": "/etc/alternatives/x",
    }
    assert [one.message for one in root.told] == [
        "b 1.0: postinst runs chown: not imitated",
        "a 1.0: postinst runs chown: not imitated",
    ]


def test_without_a_merged_usr(tmp_path: Path) -> None:
    root = assemble(_debs(tmp_path), tmp_path / "root", merged_usr=False)
    assert (tmp_path / "root/bin/b").read_bytes() == b"b"
    assert "/usr/bin/b" not in root.lock.pins


def test_errors_leave_nothing(tmp_path: Path) -> None:
    debs = [write_deb(tmp_path, name, items=[Item("./x", name.encode())]) for name in ("a", "b")]
    with pytest.raises(OcclumError) as error:
        assemble([*debs, write_deb(tmp_path, "c", items=[Item("./d/x"), link("./e", "d")]),
                  write_deb(tmp_path, "d", items=[Item("./e/x")])], tmp_path / "root")  # fmt: skip
    assert [one.code for one in error.value.problems] == ["packages-file"] * 2
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".deb"]
    with pytest.raises(FileExistsError):
        (tmp_path / "root").mkdir()
        assemble(debs[:1], tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())


def test_a_full_disk_is_told_with_the_place(tmp_path: Path) -> None:
    deb = write_deb(tmp_path, "a", items=[Item("./usr/x", b"x" * 5000)])
    with files_of_at_most(4000), pytest.raises(OSError) as raised:
        assemble([deb], tmp_path / "root")
    assert raised.value.filename == str(tmp_path / "root/usr/x")
    assert list(tmp_path.iterdir()) == [deb]


def test_debs_in_directories(tmp_path: Path) -> None:
    one, two, base = _debs(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    assert debs_in([base, tmp_path]) == [base, two, one]
    (tmp_path / "empty").mkdir()
    with pytest.raises(OcclumError, match="has no"):
        debs_in([tmp_path / "empty"])
