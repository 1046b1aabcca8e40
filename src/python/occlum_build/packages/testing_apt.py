"""What apt of this machine knows, for tests that compare; skipped where it knows nothing."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from occlum_build.packages.package_index import PackageIndex
from occlum_build.packages.universe import Suite, Universe

_HELPER = "/usr/lib/apt/apt-helper"
KEYRING_OF_DEBIAN = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LISTS = Path("/var/lib/apt/lists")
_INSTALLED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
# Nothing is installed, and nothing of this machine is changed.
_EMPTY = ("Dir::State::status=/dev/null", "Dir::State::extended_states=/dev/null",
          "Debug::NoLocking=1", "APT::Install-Recommends=0", "Dir::Etc::preferences=/dev/null",
          "Dir::Etc::preferencesparts=/dev/null", "APT::Architecture=amd64",
          "APT::Architectures::=amd64")  # fmt: skip


def _output(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=300, env={"LC_ALL": "C.UTF-8"}
    ).stdout


@functools.cache
def universe_of_apt() -> Universe:
    """All that apt's lists have; skips a test where there are none."""
    if shutil.which("apt-get") is None or not Path(_HELPER).exists():
        pytest.skip("there is no apt on this machine")
    text = _output(
        "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(FILENAME)",
        "Created-By: Packages",
    )  # fmt: skip
    suites = []
    for line in text.splitlines():
        site, release, file = line.split(" ", 2)
        content = subprocess.run([_HELPER, "cat-file", file], check=True, capture_output=True)
        index = PackageIndex(content.stdout, file)
        suites.append(Suite(site, release, (index,)))
    if not suites:
        pytest.skip("apt has no lists on this machine: run apt-get update")
    return Universe(suites)


def releases_of_apt() -> list[Path]:
    """The signed InRelease files that apt has; skips a test where there are none."""
    found = sorted(_LISTS.glob("*_InRelease")) if _LISTS.is_dir() else []
    if not found:
        pytest.skip("apt has no lists on this machine: run apt-get update")
    return found


def installed_by_apt(packages: list[str], cache: Path) -> dict[str, str] | None:
    """Names and versions that apt would install where nothing is; None where it refuses to."""
    caches = (f"Dir::Cache={cache}", "Dir::Cache::pkgcache=p.bin", "Dir::Cache::srcpkgcache=s.bin")
    options = [part for one in (*_EMPTY, *caches) for part in ("-o", one)]
    done = subprocess.run(
        ["apt-get", "-s", *options, "install", *packages],
        capture_output=True,
        text=True,
        timeout=300,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    return dict(_INSTALLED.findall(done.stdout)) if done.returncode == 0 else None
