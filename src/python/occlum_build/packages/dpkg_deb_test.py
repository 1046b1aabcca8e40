"""The unpacker against `dpkg-deb -x`: types, modes, targets of links, contents."""

from __future__ import annotations

import os
import random
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from occlum_build.files.trees import remove_tree, walk
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.testing_debs import (
    PACKERS,
    Item,
    deb_of,
    directory,
    hard_link,
    link,
)
from occlum_build.packages.unpack import unpack_deb

# How many packages of the machine's own archive are compared, of 11 MB together, and how many of
# them apt may lack. With OCCLUM_DEBS it is as many as that says.
COUNT, LACKING = int(os.environ.get("OCCLUM_DEBS", 170)), 20
SEED = 20261127
SMALL_BYTES, LARGE_BYTES = 200_000, 2_000_000
SECONDS = 240  # for the downloads

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="this machine has no dpkg-deb"
)


def _tree(root: Path) -> dict[str, tuple[str, object]]:
    """What is below a directory, and it itself: path -> mode with type, and content or target."""
    found: dict[str, tuple[str, object]] = {}
    for path, full in [("", root), *((path, Path(entry.path)) for path, entry in walk(root))]:
        status = full.lstat()
        content: object = None
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(full)
        elif stat.S_ISREG(status.st_mode):
            content = full.read_bytes()
        if content is not None or stat.S_ISDIR(status.st_mode):  # no devices, no fifos
            found[path] = (stat.filemode(status.st_mode), content)
    return found


def _compare(deb: Path, tmp_path: Path) -> int:
    """The number of entries that are equal, which are all."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    unpack_deb(deb, index_deb(deb, merged_usr=False), ours)
    subprocess.run(["dpkg-deb", "-x", deb, theirs], check=True)
    found, due = _tree(ours), _tree(theirs)
    assert found.keys() == due.keys()
    assert [path for path in due if found[path] != due[path]] == []
    remove_tree(ours)
    remove_tree(theirs)
    return len(due)


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_made_packages(tmp_path: Path, compression: str, format_: int) -> None:
    long = "usr/share/" + "d" * 60 + "/" + "n" * 60
    items = (
        directory("./", 0o755),
        directory("./usr/", 0o755),
        directory("./usr/bin/", 0o2775),
        Item("./usr/bin/app", os.urandom(1200 << 10), 0o4755),
        hard_link("./usr/bin/same", "./usr/bin/app", 0o4755),
        link("./usr/bin/link", "../../etc/x"),
        directory("./usr/share/"),
        directory("./" + long.rpartition("/")[0] + "/", 0o700),
        Item("./" + long, b"long", 0o600),
        Item("./usr/share/\u00fc \n", b"", 0o444),
        directory("./var/"),
        directory("./var/sticky/", 0o1777),
    )
    deb = tmp_path / "app.deb"
    deb.write_bytes(deb_of(items=items, compression=compression, format_=format_))
    assert _compare(deb, tmp_path) == len(items)


def _names() -> list[str]:
    """Small packages of all that the archive has, as most are, and some large ones."""
    asked = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=False)
    sizes, package = {}, ""
    for key, value in re.findall(r"^(Package|Size): (\S+)$", asked.stdout, re.MULTILINE):
        if key == "Package":
            package = value
        else:
            sizes[package] = int(value)
    rng, names = random.Random(SEED), []
    large = COUNT // 16
    for most_bytes, count in ((SMALL_BYTES, COUNT - large), (LARGE_BYTES, large)):
        fit = sorted(name for name, size in sizes.items() if size <= most_bytes)
        names += rng.sample(fit, min(count, len(fit)))
    return sorted(set(names))


def _download(directory: Path) -> list[Path]:
    """The packages by apt, as many as it can get; none where it has no archive."""
    names = _names() if shutil.which("apt-get") is not None else []
    if names:
        command = ["apt-get", "download", "-q", *names]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=directory, capture_output=True, timeout=SECONDS)
    return sorted(directory.glob("*.deb"))


def test_packages_of_this_machine(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "debs").mkdir()
    debs = _download(tmp_path / "debs")
    if not debs:
        pytest.skip("apt cannot download packages here")
    entries = 0
    for deb in debs:
        entries += _compare(deb, tmp_path)
        deb.unlink()
    record_property("packages unpacked as dpkg-deb does", len(debs))
    record_property("entries of them", entries)
    assert len(debs) >= COUNT - LACKING
