"""What apt of this machine knows, for tests that compare; skipped where it knows nothing.

What skips is unittest.SkipTest, as benchmarks have no pytest.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import unittest
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from occlum_build.files.reading import chunks_of
from occlum_build.packages.config import ArchiveConfig, PackagesRequest
from occlum_build.packages.locking import Places, make_lock
from occlum_build.packages.package_index import PackageIndex
from occlum_build.packages.universe import Suite, Universe

_HELPER = "/usr/lib/apt/apt-helper"
KEYRING_OF_DEBIAN = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LISTS = Path("/var/lib/apt/lists")
# What `--print-uris` prints: '…/redis_7%3a1_amd64.deb' redis_5%3a7.0_amd64.deb 73908 SHA256:…
_FETCHED = re.compile(r"^'[^']*' ([^_ ]+)_([^_ ]+)_[^_ ]+\.deb ", re.MULTILINE)
# Nothing is installed, and nothing of this machine is changed.
_EMPTY = ("Dir::State::status=/dev/null", "Dir::State::extended_states=/dev/null",
          "Debug::NoLocking=1", "APT::Install-Recommends=0", "Dir::Etc::preferences=/dev/null",
          "Dir::Etc::preferencesparts=/dev/null", "APT::Architecture=amd64",
          "APT::Architectures::=amd64", "APT::Get::AutomaticRemove=0",
          "APT::Get::HideAutoRemove=1")  # fmt: skip


def _output(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=300, env={"LC_ALL": "C.UTF-8"}
    ).stdout


class _Index(NamedTuple):
    """An index that apt has: its key in the Release, name of its file in the lists, content."""

    site: str
    suite: str
    key: str
    file: str
    content: bytes


def _indexes() -> Iterator[_Index]:
    if shutil.which("apt-get") is None or not Path(_HELPER).exists():
        raise unittest.SkipTest("there is no apt on this machine")
    text = _output(
        "apt-get",
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE) $(METAKEY) $(FILENAME)",
        "Created-By: Packages",
    )
    if not text:
        raise unittest.SkipTest("apt has no lists on this machine: run apt-get update")
    for line in text.splitlines():
        site, release, key, file = line.split(" ", 3)
        content = subprocess.run([_HELPER, "cat-file", file], check=True, capture_output=True)
        name = re.sub(r"\.(lz4|xz|gz|zst|bz2)$", "", Path(file).name)
        yield _Index(site, release, key, name, content.stdout)


def mirror_of_apt(root: Path) -> dict[str, list[str]]:
    """Write the suites that apt has as mirrors of Debian; the suites by the name of a mirror."""
    suites: dict[str, list[str]] = {}
    releases = {path.name: path for path in releases_of_apt()}
    for site, suite, key, _, content in _indexes():
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


def archives_of(root: Path, suites: Mapping[str, Sequence[str]]) -> tuple[ArchiveConfig, ...]:
    """Mirrors of apt's suites as archives, each of the name of its mirror."""
    keyring = KEYRING_OF_DEBIAN.read_bytes()
    return tuple(
        ArchiveConfig(
            name, (f"file:{root / name}",), tuple(of_mirror), ("main",), keyring, allow_expired=True
        )
        for name, of_mirror in suites.items()
    )


def fill_mirrors(
    root: Path,
    suites: Mapping[str, Sequence[str]],
    packages: Sequence[str],
    work: Path,
    *,
    essential: bool = False,
) -> None:
    """Let apt download packages, and what they depend on; skips a test where it cannot.

    work: a directory for what comes between.
    """
    request = PackagesRequest("", archives_of(root, suites), tuple(packages), essential=essential)
    places = {
        one.sha256: (one, root / one.archive / one.path)
        for one in make_lock(request, Places(work)).lock.packages
        if not (root / one.archive / one.path).exists()
    }
    if not places:
        return
    downloads = work / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    names = [f"{one.package}={one.version}" for one, _ in places.values()]
    done = subprocess.run(
        ["apt-get", "download", *names], cwd=downloads, capture_output=True, text=True
    )
    if done.returncode:
        raise unittest.SkipTest(f"apt does not have all that its lists have: {done.stderr}")
    for found in downloads.iterdir():
        sha256 = hashlib.sha256(b"".join(chunks_of(found))).hexdigest()
        _, place = places.pop(sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(found, place)


@functools.cache
def universe_of_apt() -> Universe:
    """All that apt's lists have; skips a test where there are none."""
    return Universe(
        [
            Suite(site, suite, (PackageIndex(content, f"{suite}: {key}"),))
            for site, suite, key, _, content in _indexes()
        ]
    )


def releases_of_apt() -> list[Path]:
    """The signed InRelease files that apt has; skips a test where there are none."""
    found = sorted(_LISTS.glob("*_InRelease")) if _LISTS.is_dir() else []
    if not found:
        raise unittest.SkipTest("apt has no lists on this machine: run apt-get update")
    return found


class Apt:
    """apt-get with the lists of this machine, where nothing is installed; for several threads.

    The lists are copied as plain ones: apt reads the packages that it chose in them by their
    offsets, and would unpack them for each. And `-s` resolves a second time, for its simulation,
    where `--print-uris` does not: a third of the time, for the same answers.
    """

    def __init__(self, directory: Path) -> None:
        lists, caches = directory / "lists", directory / "caches"
        (lists / "partial").mkdir(parents=True)
        caches.mkdir()
        for one in _indexes():
            (lists / one.file).write_bytes(one.content)
        for release in releases_of_apt():
            shutil.copy(release, lists)
        own = (f"Dir::State::lists={lists}", f"Dir::Cache={caches}",
               "Dir::Cache::pkgcache=p.bin", "Dir::Cache::srcpkgcache=s.bin")  # fmt: skip
        self._options = [part for one in (*_EMPTY, *own) for part in ("-o", one)]
        self.installed([])  # which makes the caches

    def installed(self, packages: list[str]) -> dict[str, str] | None:
        """Names and versions that would be installed; None where apt refuses to."""
        done = subprocess.run(
            ["apt-get", "-y", "-qq", "--print-uris", *self._options, "install", *packages],
            capture_output=True,
            text=True,
            timeout=300,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        )
        found = _FETCHED.findall(done.stdout)
        return {name: unquote(version) for name, version in found} if not done.returncode else None
