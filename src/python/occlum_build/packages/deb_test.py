from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.deb import CODE
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.testing_debs import PACKERS, Item, ar_of, deb_of, tar_of

STANZA = b"Package: app\nVersion: 1\nArchitecture: all\n"
CONTROL = ("control.tar", tar_of([Item("./control", STANZA)]))
DATA, FORMAT = ("data.tar", tar_of([])), ("debian-binary", b"2.0\n")


def _index(tmp_path: Path, data: bytes) -> str:
    """The name of the package."""
    (tmp_path / "app.deb").write_bytes(data)
    return index_deb(tmp_path / "app.deb").name


def _error(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(OcclumError) as error:
        _index(tmp_path, data)
    (problem,) = error.value.problems
    assert problem.code == CODE and problem.place is not None and problem.hint
    return problem.message


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is no ar archive"),
        (b"!<arch>\n", "its first member is not debian-binary"),
        (ar_of([CONTROL, DATA]), "its first member is not debian-binary"),
        (ar_of([("debian-binary", b"3.0\n"), CONTROL, DATA]), "it has format 3.0, and 2.0"),
        (ar_of([FORMAT]), "are due after debian-binary, and nothing is there"),
        (ar_of([FORMAT, DATA, CONTROL]), "and data.tar, control.tar is there"),
        (ar_of([FORMAT, CONTROL, ("x", b""), DATA]), "and control.tar, x is there"),
        (ar_of([FORMAT, CONTROL, ("data.tar.rar", b"")]), "and control.tar, data.tar.rar is there"),
        (ar_of([FORMAT, CONTROL, ("data.tar.xz", b"\xfd7zXZ\0 and junk")]), "it is damaged"),
        (ar_of([FORMAT, ("control.tar", tar_of([])), DATA]), "it has no control file"),
        (
            ar_of([FORMAT, ("control.tar", tar_of([Item("control", b"Package: ../x\n")])), DATA]),
            "Package in its control file is '../x'",
        ),
        (
            ar_of(
                [FORMAT, ("control.tar", tar_of([Item("control", b"a"), Item("./control")])), DATA]
            ),
            "it has control twice",
        ),
    ],
    ids=range(12),
)
def test_no_packages(tmp_path: Path, data: bytes, told: str) -> None:
    assert told in _error(tmp_path, data)


def test_other_members_that_a_package_may_have(tmp_path: Path) -> None:
    data = ar_of(
        [("debian-binary", b"2.7\nx"), ("_x", b""), CONTROL, ("_y", b""), DATA, ("z", b"")]
    )
    assert _index(tmp_path, data) == "app 1"


def test_control_files_of_any_size(tmp_path: Path) -> None:
    scripts = {"postinst": "#!/bin/sh\n" + " " * (5 << 20)}
    told = _error(tmp_path, deb_of(scripts=scripts))
    assert told == "no usable package: postinst in it has more than 4 MiB"


def test_a_control_archive_of_any_size(tmp_path: Path) -> None:
    items = [Item("./control", STANZA), Item("./x", bytes(65 << 20))]
    archive = PACKERS[".gz"](tar_of(items))
    data = ar_of([FORMAT, ("control.tar.gz", archive), DATA])
    assert _error(tmp_path, data) == "no usable package: it holds more than 64 MiB"
