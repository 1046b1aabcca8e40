from __future__ import annotations

import pytest

from occlum_build.packages.scripts import ScriptFacts, read_scripts


def _told(**scripts: str) -> tuple[str, ...]:
    return read_scripts({name: text.encode() for name, text in scripts.items()}, True).told


def test_no_scripts() -> None:
    assert read_scripts({}, True) == ScriptFacts((), (), ())


def test_what_is_not_imitated_is_told() -> None:
    script = "#!/bin/sh\nset -e\nadduser x\nfc-cache\nsystemctl daemon-reload\n/bin/chown x y\n"
    assert _told(postinst=script, preinst="#! /bin/bash -e\nln -s a b\n") == (
        "preinst runs ln: not imitated",
        "postinst runs adduser, chown and fc-cache: not imitated",
    )


def test_scripts_that_are_not_followed() -> None:
    assert _told(postinst="#!/usr/bin/perl\n") == ("postinst is no shell script: not imitated",)
    assert _told(postinst="\x7fELF") == ("postinst is no shell script: not imitated",)
    long = "#!/bin/sh\n" + "for i in 1; do " * 99
    assert _told(preinst=long) == ("preinst is too long to be followed: not imitated",)


def test_alternatives_that_cannot_be_read_are_told() -> None:
    (told,) = _told(postinst="#!/bin/sh\nupdate-alternatives --install /x x $(y) 5\n")
    assert told == (
        "postinst has an alternative that cannot be read: "
        "'update-alternatives --install /x x ... 5'"
    )


@pytest.mark.parametrize(
    ("command", "paths"),
    [
        ("dpkg-divert --package p --divert /bin/x.q --rename --add /bin/x", ("/usr/bin/x",)),
        ("dpkg-divert --add --rename --divert /a.q /a", ("/a",)),
        ("dpkg-divert --divert $(y) --package p --add /a", ("/a",)),
        ("dpkg-divert --divert=/a.q --add /a", ("/a",)),
        ("dpkg-divert --package p --remove /a", ()),
        ("dpkg-divert --list /a", ()),
        ("dpkg-divert --add $(y)", ()),
        ("dpkg-divert --add a/../b", ()),
    ],
)
def test_diversions(command: str, paths: tuple[str, ...]) -> None:
    assert read_scripts({"preinst": f"#!/bin/sh\n{command}\n".encode()}, True).diversions == paths
