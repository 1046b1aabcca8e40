from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError, Place
from occlum_build.files.change import Change


def error_within(folder: Path, path: str | bytes | None, second: str | None = None) -> OSError:
    """An OSError at a path within a change, "PART" and "STAGE" in it for these."""
    with pytest.raises(OSError, match="full") as error, Change() as change:
        part = change.part(Path("given") / "out")
        names = [path and _placed(path, part), second and _placed(second, part)]
        raise OSError(errno.ENOSPC, "full", names[0], None, names[1])
    return error.value


def _placed(path: str | bytes, part: Path) -> str | bytes:
    if isinstance(path, bytes):
        return os.fsencode(_placed(os.fsdecode(path), part))
    return path.replace("PART", str(part)).replace("STAGE", str(part.parent))


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("PART", "given/out"),
        ("PART/d/f", "given/out/d/f"),
        (b"PART/d", "given/out/d"),
        ("STAGE/journal", "given/journal"),
        ("/etc/hosts", "/etc/hosts"),
        (None, None),
    ],
)
def test_an_error_of_the_system(tmp_path: Path, named: str | bytes | None, told: str) -> None:
    assert error_within(tmp_path, named).filename in (told, str(tmp_path / told) if told else None)


def test_both_names_of_an_error(tmp_path: Path) -> None:
    error = error_within(tmp_path, "/etc/hosts", "PART/f")
    assert error.filename2 == "given/out/f"


def test_our_own_errors_and_the_eleventh_part(tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as error, Change() as change:
        parts = [change.part(tmp_path / f"out{n}.x") for n in range(12)]
        change.names.add(parts[0].parent / "tree", tmp_path / "initfs")
        message = f"{parts[1]} and {parts[11]}/f cannot be written"
        place = Place(str(parts[0].parent / "tree/etc"), 3)
        raise OcclumError("io", message, place=place, hint=f"rm {parts[10]}")
    (problem,) = error.value.problems
    assert problem.place == Place(str(tmp_path / "initfs/etc"), 3)
    assert problem.message == f"{tmp_path}/out1.x and {tmp_path}/out11.x/f cannot be written"
    assert problem.hint == f"rm {tmp_path}/out10.x"
    assert ".occlum-build-" not in f"{error.value!r} {error.value}"


def test_a_change_within_a_change(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full") as error, Change() as outer:
        part = outer.part(tmp_path / "out")
        part.mkdir()
        with Change() as inner:
            raise OSError(errno.ENOSPC, "full", str(inner.part(part / "in") / "f"))
    assert error.value.filename == str(tmp_path / "out/in/f")
