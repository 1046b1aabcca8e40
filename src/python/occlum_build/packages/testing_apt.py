"""What apt of this machine knows, for tests that compare; skipped where it knows nothing."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
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


def _indexes() -> Iterator[tuple[str, str, str, bytes]]:
    """Site, suite, key in the Release, and content of each index that apt has."""
    if shutil.which("apt-get") is None or not Path(_HELPER).exists():
        pytest.skip("there is no apt on this machine")
    text = _output(
        "apt-get",
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE) $(METAKEY) $(FILENAME)",
        "Created-By: Packages",
    )
    if not text:
        pytest.skip("apt has no lists on this machine: run apt-get update")
    for line in text.splitlines():
        site, release, key, file = line.split(" ", 3)
        content = subprocess.run([_HELPER, "cat-file", file], check=True, capture_output=True)
        yield site, release, key, content.stdout


def mirror_of_apt(root: Path) -> dict[str, list[str]]:
    """Write the suites that apt has as mirrors of Debian; the suites by the name of a mirror."""
    suites: dict[str, list[str]] = {}
    releases = {path.name: path for path in releases_of_apt()}
    for site, suite, key, content in _indexes():
        name = site.partition("://")[2].replace("/", "_")
        release = releases.get(f"{name}_dists_{suite}_InRelease")
        if release is None or b"\nOrigin: Debian\n" not in release.read_bytes():
            continue
        base = root / name / "dists" / suite
        (base / key).parent.mkdir(parents=True, exist_ok=True)
        (base / key).write_bytes(content)
        (base / "InRelease").write_bytes(release.read_bytes())
        suites.setdefault(name, []).append(suite)
    return suites


@functools.cache
def universe_of_apt() -> Universe:
    """All that apt's lists have; skips a test where there are none."""
    return Universe(
        [
            Suite(site, suite, (PackageIndex(content, f"{suite}: {key}"),))
            for site, suite, key, content in _indexes()
        ]
    )


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
