"""Links and made files of packages, of indexes alone and of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.config import PackagesRequest
from occlum_build.packages.deriving import begin, check_package, derive, finish
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.lock import LockedLink, LockedMade, LockedPackage
from occlum_build.packages.locking import FetchedDeb
from occlum_build.packages.testing_debs import Item, directory, write_deb

ALTERNATIVE = "#!/bin/sh\nupdate-alternatives --install /usr/bin/x x /usr/bin/a 1\nadduser a\n"
MASTER = "/usr/share/base-passwd/passwd.master"
PASSWD = b"root:x:0:0::/:/bin/sh\n"


def debs(place: Path) -> list[FetchedDeb]:
    """A package with an alternative, and one that a file is made of."""
    files = [
        write_deb(place, "a", items=[Item("./usr/bin/a")], scripts={"postinst": ALTERNATIVE}),
        write_deb(
            place,
            "base-passwd",
            items=[directory("./bin/"), Item(f".{MASTER}", PASSWD.replace(b":x:", b":*:"))],
        ),
    ]
    found = []
    for name, file in zip(("a", "base-passwd"), files):
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        found.append(
            FetchedDeb(
                LockedPackage(name, "1.0", "amd64", "debian", f"pool/{name}", digest, len(data)),
                file,
            )
        )
    return found


def request(**more: object) -> PackagesRequest:
    return PackagesRequest("test", (), ("a",), **more)  # type: ignore[arg-type]


def test_what_a_lock_has_besides_packages(tmp_path: Path) -> None:
    derived = derive(request(), debs(tmp_path))
    by = "alternatives of a"
    assert derived.links == (
        LockedLink("/bin", "usr/bin", "usrmerge"),
        LockedLink("/etc/alternatives/x", "/usr/bin/a", by),
        LockedLink("/usr/bin/x", "/etc/alternatives/x", by),
    )
    digest = hashlib.sha256(PASSWD).hexdigest()
    assert derived.made == (LockedMade("/etc/passwd", "0644", digest, len(PASSWD), "base-passwd"),)
    assert [str(one) for one in derived.told] == ["a 1.0: postinst runs adduser: not imitated"]


def test_of_indexes_and_the_contents_that_these_ask_for(tmp_path: Path) -> None:
    found = debs(tmp_path)
    begun = begin(request(), [index_deb(one.file) for one in found])
    assert begun.sources == {"base-passwd": (MASTER,)}
    contents = {MASTER: PASSWD.replace(b":x:", b":*:")}
    assert finish(begun, contents) == derive(request(), found)


def test_what_a_request_leaves_out_or_says_itself(tmp_path: Path) -> None:
    links = (("/etc/alternatives/x", "/usr/bin/mine"), ("/usr/bin/x", ""))
    derived = derive(request(made=(), links=links, merged_usr=False), debs(tmp_path))
    assert (derived.links, derived.made) == ((), ())


@pytest.mark.parametrize("path", ["/usr/share", "/usr"])
def test_a_link_that_cannot_be_in_one_root_with_packages(path: str, tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match=f"would be below {path}, which is a link of links"):
        derive(request(links=((path, "elsewhere"),)), debs(tmp_path))


@pytest.mark.parametrize("changes", [{"package": "b"}, {"version": "2"}])
def test_a_package_that_is_another_one(changes: dict[str, Any], tmp_path: Path) -> None:
    found = debs(tmp_path)
    found[1] = FetchedDeb(found[1].package._replace(**changes), found[1].file)
    with pytest.raises(OcclumError, match=r"says of itself that it is base-passwd 1\.0"):
        derive(request(), found)
    with pytest.raises(OcclumError, match=r"says of itself that it is base-passwd 1\.0"):
        check_package(found[1].package, index_deb(found[1].file))
