from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from occlum_build.sources.os import OsSources
from occlum_build.sysroot.dpkg import Owner, Packages, packages_of

STATUS = """\
Package: libz1
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 1:1.2-3
Description: a library
 Version: 9 is no field, as the line is indented

Package: dash
Status: install ok installed
Architecture: amd64
Version: 0.5

Package: bash
Status: hold ok installed
Architecture: amd64
Version: 5.2

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def owners_of(sources: OsSources, paths: list[str]) -> Mapping[str, Owner]:
    return packages_of(sources, paths).owners


def database(root: Path, lists: dict[str, list[str]], diversions: str = "") -> OsSources:
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info.parent / "status").write_text(STATUS)
    (info.parent / "diversions").write_text(diversions)
    for package, paths in lists.items():
        (info / f"{package}.list").write_text("".join(f"{path}\n" for path in ["/.", *paths]))
    (info / "libz1:amd64.md5sums").write_text("/usr/lib/libz.so.1\n")
    return OsSources(str(root))


def test_owners(tmp_path: Path) -> None:
    lists = {"libz1:amd64": ["/usr/lib/libz.so.1"], "dash": ["/bin/dash"]}
    sources = database(tmp_path, lists)
    assert owners_of(sources, ["/usr/lib/libz.so.1", "/bin/dash", "/etc/passwd"]) == {
        "/bin/dash": Owner("dash", "0.5"),
        "/usr/lib/libz.so.1": Owner("libz1:amd64", "1:1.2-3"),
    }


def test_merged_usr(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "bin").symlink_to("/usr/bin")
    lists = {"libz1:amd64": ["/lib/libz.so.1"], "dash": ["/bin/dash"], "bash": ["/sbin/bash"]}
    sources = database(tmp_path, lists)
    found = owners_of(sources, ["/usr/lib/libz.so.1", "/usr/bin/dash", "/usr/sbin/bash"])
    assert {path: owner.package for path, owner in found.items()} == {
        "/usr/lib/libz.so.1": "libz1:amd64",
        "/usr/bin/dash": "dash",
    }


def test_diverted_file_belongs_to_the_package_that_diverts(tmp_path: Path) -> None:
    lists = {"bash": ["/bin/sh"], "dash": ["/bin/sh", "/bin/own"]}
    diversions = "/bin/sh\n/bin/sh.distrib\ndash\n/bin/own\n/bin/own.moved\n:\n"
    sources = database(tmp_path, lists, diversions)
    paths = ["/bin/sh", "/bin/sh.distrib", "/bin/own", "/bin/own.moved"]
    found = owners_of(sources, paths)
    assert {path: owner.package for path, owner in found.items()} == {
        "/bin/sh": "dash",
        "/bin/sh.distrib": "bash",
        "/bin/own.moved": "dash",
    }


def test_database_is_found_through_links_inside_the_root(tmp_path: Path) -> None:
    database(tmp_path / "data", {"dash": ["/bin/dash"]})
    (tmp_path / "var").symlink_to("/data/var")
    assert list(owners_of(OsSources(str(tmp_path)), ["/bin/dash"])) == ["/bin/dash"]


def test_versions_of_installed_packages(tmp_path: Path) -> None:
    sources = database(tmp_path, {"gone": ["/etc/gone"]})
    packages = packages_of(sources, ["/etc/gone"])
    assert packages.owners == {}
    assert packages.versions == {
        "bash": "5.2",
        "bash:amd64": "5.2",
        "dash": "0.5",
        "dash:amd64": "0.5",
        "libz1": "1:1.2-3",
        "libz1:amd64": "1:1.2-3",
    }


def test_without_a_database(tmp_path: Path) -> None:
    assert packages_of(OsSources(str(tmp_path)), ["/bin/sh"]) == Packages()


def test_as_dpkg_itself_says() -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("there is no dpkg on this machine")
    asked = ["dpkg-query", "-W", "-f", "${Version}", "libc6:amd64"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    path = str(Path("/lib/x86_64-linux-gnu/libc.so.6").resolve())
    assert owners_of(OsSources(), [path]) == {path: Owner("libc6:amd64", version)}
