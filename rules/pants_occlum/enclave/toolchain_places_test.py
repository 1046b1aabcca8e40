from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.errors import Report
from occlum_build.sources.os import OsSources
from pants_occlum.enclave.toolchain_places import HEADER_FILE, Found, Installation, find_files

HEADER = "opt/occlum/include/occlum_version.h"
LINKS = (("opt/occlum", "occlum-0.31"), ("opt/occlum", "/opt/occlum-0.31"), ("opt", "/o"))


def _header(root: Path) -> None:
    (root / HEADER).parent.mkdir(parents=True)
    lines = zip(("MAJOR", "MINOR", "PATCH"), (0, 31, 0))
    text = "".join(f"#define OCCLUM_{name}_VERSION {number}\n" for name, number in lines)
    (root / HEADER).write_text(text)


def _find(root: Path) -> tuple[Found, list[str]]:
    report = Report()
    request = Installation(str(root), "HW", "")
    found = find_files(request, OsSources(request.system), report)
    return found, [one.message for one in report.errors]


@pytest.mark.parametrize(("place", "target"), LINKS)
def test_occlum_is_found_behind_a_link_within(tmp_path: Path, place: str, target: str) -> None:
    _header(tmp_path)
    real = tmp_path / target[1:] if target.startswith("/") else tmp_path / f"opt/{target}"
    (tmp_path / place).rename(real)
    (tmp_path / place).symlink_to(target)
    found, told = _find(tmp_path)
    assert found.version == "0.31.0"
    init = next(one for one in told if "has no init" in one)
    assert init == f"the toolchain has no init: {tmp_path}/opt/occlum/build/bin/init does not exist"


@pytest.mark.parametrize("place", ["opt", "opt/occlum", "opt/occlum/include"])
def test_what_is_no_directory(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / place)
    _, told = _find(tmp_path)
    role = HEADER_FILE.role
    assert told == [f"the toolchain has no {role}: {tmp_path}/{place} is not a directory"]


def test_a_link_out_at_occlum_s_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "s/opt").mkdir(parents=True)
    (tmp_path / "s/opt/occlum").symlink_to("../../own")
    _header(tmp_path / "own")
    _, (told,) = _find(tmp_path / "s")
    assert "/s/opt/occlum is a link to ../../own, and there is no such file in" in told


def test_occlum_itself(tmp_path: Path) -> None:
    _header(tmp_path)
    (tmp_path / "opt/occlum").rename(tmp_path / "own")
    assert _find(tmp_path / "own")[0].files[HEADER_FILE.role][1] == "/include/occlum_version.h"
    _, told = _find(tmp_path / "gone")
    assert told[0].endswith("/gone/include/occlum_version.h does not exist")
