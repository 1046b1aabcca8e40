from __future__ import annotations

import pytest

from occlum_build.files.compressed import BadArchive
from occlum_build.packages.paths import canonical, is_absolute, is_top, leads_to, of_root


@pytest.mark.parametrize(
    ("name", "merged", "plain"),
    [
        ("./", "/", "/"),
        (".", "/", "/"),
        ("./bin/sh", "/usr/bin/sh", "/bin/sh"),
        ("usr/bin//./sh", "/usr/bin/sh", "/usr/bin/sh"),
        ("./lib64/ld.so", "/usr/lib64/ld.so", "/lib64/ld.so"),
        ("./sbin", "/usr/sbin", "/sbin"),
        ("./library/x", "/library/x", "/library/x"),
        ("./opt/lib/x", "/opt/lib/x", "/opt/lib/x"),
        ("./ü", "/ü", "/ü"),
    ],
)
def test_canonical_path(name: str, merged: str, plain: str) -> None:
    assert (canonical(name, True), canonical(name, False)) == (merged, plain)
    assert of_root(plain, True) == merged


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/etc/passwd", "is absolute"),
        ("./a/../../etc", "has a component `..`"),
        ("..", "has a component `..`"),
        ("./a\udcff", "is not UTF-8"),
        ("./a\0b", "has a NUL"),
        ("./" + "a/" * 2100, "has more than 4095 bytes"),
        ("./" + "ü" * 128, "has a component of more than 255 bytes"),
    ],
)
def test_names_that_no_entry_may_have(name: str, told: str) -> None:
    with pytest.raises(BadArchive, match=told):
        canonical(name, True)


def test_links_that_lead_to_one_place_where_usr_is_merged() -> None:
    assert leads_to("./bin/x", "/usr/bin/x", True) == "/usr/bin/x"
    assert leads_to("./bin/x", "../usr/bin/x", True) == "/usr/bin/x"
    assert leads_to("./usr/bin/x", "/bin/x", True) == "/usr/bin/x"
    assert leads_to("./lib64", "usr/lib64", True) == "/usr/lib64"
    assert leads_to("./bin/x", "y", False) == "/bin/y"
    assert leads_to("./bin/x", "../../../etc", True) == "/etc"


def test_tops() -> None:
    assert [name for name in ("./bin", "lib64", "./bin/", "./usr", "./bin/x") if is_top(name)] == [
        "./bin",
        "lib64",
    ]


@pytest.mark.parametrize(
    "path",
    ["", "x", "./x", "//x", "/x/", "/x//y", "/./x", "/opt/../x", "/x/..", "/\0", "/\udc80", "//",
     "/" + "x" * 256, "/x" * 3000],
)  # fmt: skip
def test_what_is_no_absolute_path(path: str) -> None:
    assert not is_absolute(path, top=True)


def test_absolute_paths() -> None:
    assert is_absolute("/x") and is_absolute("/usr/lib/..x/\u00e4")
    assert is_absolute("/", top=True) and not is_absolute("/")
