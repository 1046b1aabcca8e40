from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent, FileDigest, FileEntry
from pants.engine.rules import QueryRule, collect_rules
from pants.testutil.rule_runner import RuleRunner

from pants_occlum.compat.by_name import rule
from pants_occlum.process import digest_of as digests
from pants_occlum.process.digest_of import MUCH_BYTES, digest_of
from pants_occlum.process.tool_process import LARGE_BYTES

SMALL = FileContent("small", b"small")
LARGE = [
    FileContent("a/large", os.urandom(MUCH_BYTES), is_executable=True),
    FileContent("b/as large", os.urandom(MUCH_BYTES + 1)),
    FileContent("b/the same", bytes(MUCH_BYTES)),
    FileContent("c/the same", bytes(MUCH_BYTES)),
    FileContent("d/" + "long" * 60 + "/" + "name" * 60, os.urandom(MUCH_BYTES)),
]


@dataclass(frozen=True)
class Wanted:
    files: tuple[FileContent | FileEntry, ...]


@dataclass(frozen=True)
class Made:
    digest: Digest


@rule
async def make(wanted: Wanted) -> Made:
    return Made(await digest_of(wanted.files))


@pytest.fixture
def rule_runner() -> RuleRunner:
    return runner()


def runner(**options: Any) -> RuleRunner:
    rules = [
        *collect_rules(),
        QueryRule(Made, [Wanted]),
        QueryRule(Digest, [CreateDigest]),
        QueryRule(DigestContents, [Digest]),
    ]
    return RuleRunner(rules=rules, **(options or {"isolated_local_store": True}))


@pytest.mark.parametrize("lacking", ["", "memfd_create"])
def test_digest_is_what_create_digest_makes(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking:  # as in a Python that was built with a C library before 2.27
        monkeypatch.delattr(os, lacking)
    files = [SMALL, *LARGE]
    open_before = len(os.listdir("/proc/self/fd"))
    made = rule_runner.request(Made, [Wanted(tuple(files))]).digest
    assert len(os.listdir("/proc/self/fd")) <= open_before
    contents = rule_runner.request(DigestContents, [made])
    assert [(one.path, one.content, one.is_executable) for one in contents] == sorted(
        (one.path, one.content, one.is_executable) for one in files
    )
    assert made == rule_runner.request(Digest, [CreateDigest(files)])


def test_entries_stand_beside_contents(rule_runner: RuleRunner) -> None:
    entry = FileEntry("entry", FileDigest("0" * 64, 1))
    made = rule_runner.request(Made, [Wanted((SMALL, entry, LARGE[1]))]).digest
    assert made == rule_runner.request(Digest, [CreateDigest([SMALL, entry, LARGE[1]])])


def test_contents_that_cannot_be_written_are_taken_as_they_are(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "memfd_create", full)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    made = rule_runner.request(Made, [Wanted((SMALL, *LARGE))]).digest
    assert made == rule_runner.request(Digest, [CreateDigest([SMALL, *LARGE])])


def test_another_start_of_pants_mends_what_is_damaged_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = FileContent("large", os.urandom(LARGE_BYTES))
    wanted = Wanted((large,))
    stored = [f"--local-store-dir={tmp_path}"]
    runner(bootstrap_args=stored).request(Made, [wanted])
    (file,) = tmp_path.glob("immutable/files/??/*")
    file.chmod(0o600)
    file.write_bytes(bytes(LARGE_BYTES))
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        # The kernel knows this process by the number of each of its threads, too.
        monkeypatch.setattr(digests, "_own_number", lambda: str(other.native_id))
        runner(bootstrap_args=stored).request(Made, [wanted])
    finally:
        ended.set()
        other.join()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
