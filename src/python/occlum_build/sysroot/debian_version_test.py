from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest

from occlum_build.sysroot.debian_version import DebianVersion

ORDERED = [
    "0~a",
    "0",
    "1.0~~",
    "1.0~rc1",
    "1.0",
    "1.0-0ubuntu1~22.04.1",
    "1.0-0ubuntu1",
    "1.0-0ubuntu1.9",
    "1.0-0ubuntu1.10",
    "1.0-1",
    "1.0a",
    "1.0+dfsg-1",
    "1.0-1-2",
    "1.0.1",
    "1.10",
    "1:0.1",
    "1:0.1-2+deb12u3",
    "10:0",
]


def test_order() -> None:
    versions = [DebianVersion(text) for text in ORDERED]
    assert [str(version) for version in sorted(reversed(versions))] == ORDERED
    assert len(set(versions)) == len(ORDERED)
    assert DebianVersion("0:1.0-0") == DebianVersion("1.00")
    assert hash(DebianVersion("0:1.0-0")) == hash(DebianVersion("1.00"))
    assert DebianVersion("1") != "1"


def test_order_is_that_of_dpkg() -> None:
    if shutil.which("dpkg") is None:
        pytest.skip("there is no dpkg on this machine")
    for one, other in itertools.combinations(ORDERED, 2):
        done = subprocess.run(["dpkg", "--compare-versions", one, "lt", other])
        assert (done.returncode == 0) == (DebianVersion(one) < DebianVersion(other)), (one, other)


def test_numbers_may_have_any_number_of_digits() -> None:
    many = "9" * 1_000_000
    less, equal, more = map(DebianVersion, (f"1.{many[1:]}-1", f"1.00{many}-1", f"1.1{many}-1"))
    assert less < DebianVersion(f"1.{many}-1") == equal < more
    assert str(more) == f"1.1{many}-1"


def test_digits_of_other_scripts_are_no_numbers() -> None:
    assert DebianVersion("1.\u0663") != DebianVersion("1.3")
