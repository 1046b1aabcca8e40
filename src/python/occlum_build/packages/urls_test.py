from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.urls import Wanted, check_mirror, location

DEB = Wanted("pool/main/g/g++/g++_1%3a4~rc+1_amd64.deb", "ab" * 32, 9, "20260712T101637Z", "g++ 1")
QUOTED = "pool/main/g/g%2B%2B/g%2B%2B_1%253a4~rc%2B1_amd64.deb"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("http://m/debian", f"http://m/debian/{QUOTED}"),
        ("https://m:8080/debian/", f"https://m:8080/debian/{QUOTED}"),
        ("http://m/{path}?raw=1", f"http://m/{QUOTED}?raw=1"),
        ("http://m/{name}", f"http://m/{QUOTED.rpartition('/')[2]}"),
        ("http://m/by/{sha256}.deb", f"http://m/by/{'ab' * 32}.deb"),
        ("http://m/{snapshot}", f"http://m/20260712T101637Z/{QUOTED}"),
        ("file:/srv/de%20bian", f"/srv/de bian/{DEB.path}"),
        ("file:///srv/debian/", f"/srv/debian/{DEB.path}"),
        ("/srv/debs/{name}", f"/srv/debs/{DEB.path.rpartition('/')[2]}"),
    ],
)
def test_where_a_file_is(template: str, expected: str) -> None:
    check_mirror(template)
    assert location(template, DEB) == expected


def test_what_is_not_known_cannot_be_asked_for() -> None:
    assert location("http://m/{sha256}", Wanted("dists/stable/InRelease")) == ""
    assert location("http://m/{snapshot}", Wanted("dists/stable/InRelease")) == ""


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("ftp://m/debian", "is no http:, https: or file: URL, and no absolute path"),
        ("debian", "is no http:, https: or file: URL, and no absolute path"),
        ("file:debian", "is no http:, https: or file: URL, and no absolute path"),
        ("", "is no http:, https: or file: URL, and no absolute path"),
        ("http:///debian", "names no host"),
        ("http://m:x/debian", "is no URL: "),
        ("http://[::1/debian", "is no URL: "),
        ("http://me:secret@m/debian", "has a name or a password in it"),
        ("http://m/de bian", "has a character that no URL has"),
        ("http://m/a\r\nHost: b", "has a character that no URL has"),
        ("http://m/debian?a=b", "has a query or a fragment"),
        ("http://m/debian#a", "has a query or a fragment"),
        ("http://m/{version}", "has {version}, which is no field"),
        ("/srv/{path", "has a brace that is part of no field"),
    ],
)
def test_what_is_no_mirror(template: str, message: str) -> None:
    with pytest.raises(OcclumError) as raised:
        check_mirror(template)
    assert raised.value.code == "packages-mirror"
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "template",
    [
        "http://me:secret@m/debian",
        "http://me:x@secret@m/debian",
        "http://me:secret/x@m/debian",
        "http://me:{secret}@m/debian",
        "ftp://me:secret@m/debian",
        "me:secret@m/debian",
        "http://me:secret@",
        "http://me:secret@m:x/",
        "http://me:secret\u2100@m/",
    ],
)
def test_no_password_is_told(template: str) -> None:
    with pytest.raises(OcclumError) as raised:
        check_mirror(template)
    assert "secret" not in str(raised.value)
    assert "@" in str(raised.value)
