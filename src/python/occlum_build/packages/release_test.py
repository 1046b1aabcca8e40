from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.config import ArchiveConfig
from occlum_build.packages.release import (
    IndexFile,
    Release,
    check_release,
    date_text,
    parse_release,
    snapshot_text,
)
from occlum_build.packages.signature import Signed
from occlum_build.packages.testing_apt import releases_of_apt

D1, D2, D3 = ("1" * 64, "2" * 64, "3" * 64)
TEXT = f"""\
Origin: Debian
Suite: oldstable-security
Codename: bookworm-security
Date: Wed, 25 Nov 2026 02:22:30 UTC
Valid-Until: Wed, 02 Dec 2026 02:22:30 UTC
Acquire-By-Hash: yes
Architectures: amd64 arm64
Components: updates/main updates/contrib
SHA256:
 {D1}     3009 main/binary-amd64/Packages
 {D2}      900 main/binary-amd64/Packages.gz
 {D3}      700 main/binary-amd64/Packages.xz
 {D1}       20 main/binary-all/Packages
 {D2}       20 contrib/binary-amd64/Packages.bz2
"""
ARCHIVE = ArchiveConfig("debian", (), ("bookworm-security",))
NOW = datetime(2026, 11, 27, tzinfo=timezone.utc)


def parsed(text: str) -> Release:
    return parse_release(Signed(text.encode(), ("AB",)), "bookworm-security of debian")


def refused(function: Callable[[], object], code: str = "archive-index") -> str:
    with pytest.raises(OcclumError) as raised:
        function()
    assert raised.value.code == code
    return str(raised.value.problems[0])


def test_what_a_release_says() -> None:
    release = parsed(TEXT)
    assert release.names == ("oldstable-security", "bookworm-security")
    assert date_text(release.date) == "2026-11-25T02:22:30Z"
    assert release.valid_until is not None
    assert date_text(release.valid_until) == "2026-12-02T02:22:30Z"
    assert (release.by_hash, release.automatic, release.signers) == (True, True, ("AB",))
    assert not parsed(f"NotAutomatic: yes\n{TEXT}").automatic
    assert not parsed(TEXT.replace("Acquire-By-Hash: yes", "Acquire-By-Hash: no")).by_hash


def test_security_has_its_files_elsewhere_than_components_say() -> None:
    ((xz, gz, plain),) = parsed(TEXT).indexes("main", "amd64")
    assert xz == IndexFile("main/binary-amd64/Packages.xz", D3, 700)
    assert (gz.size, plain.size) == (900, 3009)


@pytest.mark.parametrize(("gone", "found"), [(".xz", ".gz"), (".xz .gz", "")])
def test_the_smallest_index_that_there_is(gone: str, found: str) -> None:
    lines = [one for one in TEXT.splitlines() if not one.endswith(tuple(gone.split()))]
    ((index, *_),) = parsed("\n".join(lines)).indexes("main", "amd64")
    assert index.path == f"main/binary-amd64/Packages{found}"


def test_packages_for_all_architectures_that_have_an_index_of_their_own() -> None:
    both = TEXT.replace("Architectures: ", "Architectures: all ")
    paths = [forms[0].path for forms in parsed(both).indexes("main", "amd64")]
    assert paths == ["main/binary-amd64/Packages.xz", "main/binary-all/Packages"]
    without = parsed(f"No-Support-for-Architecture-all: Packages\n{both}")
    assert len(without.indexes("main", "amd64")) == 1


def test_a_flat_repository() -> None:
    text = TEXT.replace("main/binary-amd64/", "./")
    assert parsed(text).indexes("", "amd64")[0][0] == IndexFile("Packages.xz", D3, 700)


def test_what_a_suite_has_not() -> None:
    message = refused(lambda: parsed(TEXT).indexes("universe", "amd64"))
    assert message == (
        "bookworm-security of debian has no component universe for amd64\n"
        "  hint: it has updates/main and updates/contrib"
    )
    assert "has no component contrib for amd64" in refused(
        lambda: parsed(TEXT).indexes("contrib", "amd64")  # in a form that nobody has any more
    )
    assert "has no Packages file" in refused(lambda: parsed(TEXT).indexes("", "amd64"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SHA256:", "MD5Sum:", "has no SHA256 of its indexes; MD5 and SHA-1 are too weak"),
        ("SHA256:", "SHA1:", "has no SHA256 of its indexes; MD5 and SHA-1 are too weak"),
        ("Codename", "\nCodename", "has no SHA256 of its indexes; MD5 and SHA-1 are too weak"),
        (f" {D1}     3009", " 123     3009", "has a line below SHA256 that is none: 123     3009"),
        ("     3009", "     -1", "has a line below SHA256 that is none: "),
        ("Date: Wed, 25 Nov 2026 02:22:30 UTC\n", "", "has no Date"),
        ("Date: Wed, 25 Nov", "Date: Wed, 55 Nov", "has a Date that is none: Wed, 55 Nov"),
        ("Date: Wed, 25 Nov 2026", "Date: Wed, 25 Nov x", "has a Date that is none"),
        ("Valid-Until: Wed, 02", "Valid-Until: never", "has a Valid-Until that is none: never"),
    ],
)
def test_what_is_no_release(old: str, new: str, message: str) -> None:
    assert old in TEXT
    assert message in refused(lambda: parsed(TEXT.replace(old, new)))


def test_a_release_that_has_expired() -> None:
    check_release(parsed(TEXT), "bookworm-security", ARCHIVE, NOW)
    late = NOW.replace(month=12, day=3)
    message = refused(
        lambda: check_release(parsed(TEXT), "bookworm-security", ARCHIVE, late),
        "archive-signature",
    )
    assert message == (
        "bookworm-security of debian expired on 2026-12-02\n"
        "  hint: the mirror is not updated any more; for a snapshot set allow_expired"
    )
    allowed = replace(ARCHIVE, allow_expired=True)
    check_release(parsed(TEXT), "bookworm-security", allowed, late)


def test_a_release_that_is_older_than_the_lock() -> None:
    check_release(parsed(TEXT), "bookworm-security", ARCHIVE, NOW, "2026-11-25T02:22:30Z")
    message = refused(
        lambda: check_release(
            parsed(TEXT), "bookworm-security", ARCHIVE, NOW, "2026-11-25T02:22:31Z"
        ),
        "archive-signature",
    )
    assert "is of 2026-11-25, older than the lock's (2026-11-25)" in message
    allowed = replace(ARCHIVE, allow_expired=True)
    check_release(parsed(TEXT), "bookworm-security", allowed, NOW, "2027-01-01T00:00:00Z")


@pytest.mark.parametrize("suite", ["oldstable-security", "bookworm-security", "./"])
def test_names_of_a_suite(suite: str) -> None:
    check_release(parsed(TEXT), suite, ARCHIVE, NOW)


def test_the_release_of_another_suite_is_signed_as_well() -> None:
    message = refused(
        lambda: check_release(parsed(TEXT), "trixie", ARCHIVE, NOW), "archive-signature"
    )
    assert "says that it is oldstable-security and bookworm-security" in message
    buster = TEXT.replace("Codename: bookworm-security", "Codename: buster")
    check_release(parsed(buster), "buster/updates", ARCHIVE, NOW)
    nameless = "\n".join(TEXT.splitlines()[3:])
    check_release(parsed(nameless), "whatever", ARCHIVE, NOW)


def test_the_snapshot_that_has_all_of_a_release() -> None:
    assert snapshot_text("2026-07-11T10:16:37Z") == "20260712T101637Z"
    assert snapshot_text("2026-12-31T23:00:00Z") == "20270101T230000Z"
    assert snapshot_text("9999-12-31T23:00:00Z") == snapshot_text("yesterday") == ""


def test_real_releases_are_read() -> None:
    for path in releases_of_apt():
        text = path.read_bytes().partition(b"\n\n")[2]
        release = parse_release(Signed(text, ("AB",)), path.name)
        assert release.indexes("main", "amd64")[0][0].path.startswith("main/binary-amd64/Packages")
