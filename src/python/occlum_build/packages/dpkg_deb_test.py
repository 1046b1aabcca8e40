"""The unpacker against `dpkg-deb -x`: types, modes, targets of links, contents."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
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

# How many packages of the machine's own archive are compared; OCCLUM_DEBS=160 is for now and then.
COUNT = 6
SECONDS = 120  # for one download

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


def _names(count: int) -> list[str]:
    """Half of them installed here, half of what the archive has."""
    rng = random.Random(13)
    ask = [["dpkg-query", "-W", "-f", "${Package}\n"], ["apt-cache", "pkgnames"]]
    names: list[str] = []
    for command in ask:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        found = sorted(set(asked.stdout.split()) - set(names))
        names += rng.sample(found, min(len(found), count))
    return names[: count // 2] + names[count : count + (count + 1) // 2]


def _download(name: str, directory: Path) -> Path | None:
    """One package by apt; None where it has none, or the machine no archive."""
    command = ["apt-get", "download", "-q", name]
    try:
        subprocess.run(command, cwd=directory, capture_output=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(directory.glob("*.deb"), None)


def test_packages_of_this_machine(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    packages = entries = 0
    for name in _names(int(os.environ.get("OCCLUM_DEBS", COUNT))):
        deb = _download(name, tmp_path)
        if deb is not None:
            entries += _compare(deb, tmp_path)
            packages += 1
            deb.unlink()
    if not packages:
        pytest.skip("apt cannot download packages here")
    record_property("packages unpacked as dpkg-deb does", packages)
    record_property("entries of them", entries)
