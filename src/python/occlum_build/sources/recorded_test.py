from __future__ import annotations

import pytest

from occlum_build.elf.facts import Malformed, Script
from occlum_build.errors import OcclumError
from occlum_build.image.testing import SHARED_OBJECT
from occlum_build.sources.model import DIR, FILE, SYMLINK, SourceStat, resolve
from occlum_build.sources.recorded import RecordedSources

TEXT, ELF, JUNK, NEW = "1" * 64, "2" * 64, "3" * 64, "4" * 64


def _sources() -> RecordedSources:
    return RecordedSources(
        stats={
            "ws": SourceStat(DIR),
            "ws/f": SourceStat(FILE, 0o644, 100, "", TEXT, False),
            "ws/l": SourceStat(SYMLINK, target="/lib/x"),
            "ws/tiny": SourceStat(FILE, 0o644, 63, "", TEXT),
            "/": SourceStat(DIR),
            "/lib": SourceStat(DIR),
            "/lib/elf": SourceStat(FILE, 0o755, 100, "", ELF),
            "/lib/junk": SourceStat(FILE, 0o755, 100, "", JUNK, True),
            "/lib/new": SourceStat(FILE, 0o755, 100, "", NEW),
            "/lib/secret": SourceStat(FILE, 0o600, 100),
            "/gone": None,
        },
        names_in={"ws": ["f", "l"], "/lib": ["elf", "junk", "new", "secret"]},
        facts_of={ELF: SHARED_OBJECT, JUNK: Malformed("bad class")},
        texts={TEXT: b"text"},
        trees={"/lib": None},
        errors={"/lib/secret": "Permission denied"},
    )


def test_what_is_recorded_is_answered() -> None:
    sources = _sources()
    assert sources.lstat("ws/f") == SourceStat(FILE, 0o644, 100, "", TEXT, False)
    assert sources.names("ws") == ["f", "l"]
    assert sources.sha256("ws/f") == TEXT
    assert sources.read("ws/f") == b"text"
    assert sources.facts("/lib/elf") == SHARED_OBJECT
    assert sources.malformed("/lib/elf") == ""
    assert sources.facts("/lib/junk") is None
    assert sources.malformed("/lib/junk") == "bad class"
    assert sources.lstat("/gone") is None
    sources.expect("/lib", tree=True)
    sources.expect("/gone")
    assert not sources.unknown


def test_what_is_expected_tells_whether_that_is_still_to_be_learnt() -> None:
    sources = _sources()
    assert [sources.expect(one) for one in ("/lib", "/gone", "ws/other")] == [False] * 3
    assert not sources.unknown
    assert sources.expect("/new")
    assert sources.expect("/new", tree=True)


def test_project_paths_are_all_known() -> None:
    sources = _sources()
    sources.expect("ws/other", tree=True)
    assert sources.lstat("ws/other") is None
    assert sources.names("ws/other") == ()
    assert sources.read("ws/other") is None
    assert sources.sha256("ws/other") == ""
    assert not sources.unknown


def test_what_is_not_known_is_collected() -> None:
    sources = _sources()
    assert resolve(sources, "ws/l") is None
    assert sources.unknown.paths == {"/lib/x"}
    sources.expect("/usr", tree=True)
    assert sources.unknown.trees == {"/usr"}
    assert sources.names("/opt") == ()
    assert sources.unknown.directories == {"/opt"}
    assert sources.facts("/lib/new") is None
    assert sources.unknown.facts == {NEW: "/lib/new"}
    assert sources.read("/lib/new") is None
    assert sources.unknown.texts == {NEW: "/lib/new"}
    assert sources.unknown


def test_files_that_cannot_be_elf_are_not_asked_for() -> None:
    sources = _sources()
    assert sources.facts("ws/f") is None
    assert sources.facts("ws/tiny") is None
    assert sources.facts("/gone") is None
    assert not sources.unknown


def test_what_cannot_be_read() -> None:
    sources = _sources()
    for method in (sources.sha256, sources.names):
        with pytest.raises(OcclumError, match="/lib/secret cannot be read: Permission denied"):
            method("/lib/secret")


def test_scripts_are_asked_for_whatever_their_stats_say() -> None:
    sources = _sources()
    assert sources.script("ws/f") is None
    assert sources.script("ws") is None
    assert sources.script("/gone") is None
    assert sources.script("/lib/elf") is None
    assert sources.unknown.facts == {TEXT: "ws/f"}
    known = RecordedSources(sources.stats, {}, {TEXT: Script("/bin/sh")}, {})
    assert known.script("ws/f") == known.script("ws/tiny") == Script("/bin/sh")
    assert not known.unknown
