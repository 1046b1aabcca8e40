from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileEntry
from pants.engine.internals.session import RunId
from pants.engine.rules import QueryRule
from pants.testutil.rule_runner import RuleRunner, engine_error

from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR, FIFO, FILE, OTHER, SYMLINK, SourceStat
from pants_occlum.compat.by_name import collect_rules, rule
from pants_occlum.compat.pants_rules import create_digest
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.sysroot import hash_memo, looks, own_keys
from pants_occlum.sysroot import host as sysroot
from pants_occlum.sysroot import walk as sysroot_walk
from pants_occlum.sysroot.host import (
    SysrootBlob,
    SysrootIngest,
    ingest,
)
from pants_occlum.sysroot.looks import SysrootRequest, SysrootSnapshot

NO_KEYS = own_keys.OwnKeys()


class SysrootFile(NamedTuple):
    """A file of a digest whose content is a host file's."""

    name: str
    blob: SysrootBlob
    is_executable: bool = False


@dataclass(frozen=True)
class SysrootFiles:
    root: str
    files: tuple[SysrootFile, ...]


@rule
async def digest_of_files(request: SysrootFiles) -> Digest:
    blobs = tuple(file.blob for file in request.files)
    ingested = await ingest(SysrootIngest(request.root, blobs))
    entries = [
        FileEntry(file.name, ingested.digests[file.blob.sha256], file.is_executable)
        for file in request.files
    ]
    return await create_digest(CreateDigest(entries))


def new_runner(tmp_path: Path) -> RuleRunner:
    hash_memo._memos.clear()
    looks._looks.clear()
    return RuleRunner(
        rules=[
            *own_keys.rules(),
            *OcclumSubsystem.rules(),
            *sysroot.rules(),
            *collect_rules(),
            QueryRule(SysrootSnapshot, [SysrootRequest]),
            QueryRule(Digest, [SysrootFiles]),
            QueryRule(DigestContents, [Digest]),
        ],
        isolated_local_store=True,
        bootstrap_args=[f"--named-caches-dir={tmp_path}/caches"],
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "usr/lib").mkdir(parents=True)
    return folder


def write(path: Path, content: bytes) -> Path:
    """Write a file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def look(rule_runner: RuleRunner, root: Path, **asked: tuple[str, ...]) -> SysrootSnapshot:
    rule_runner.set_options([f"--named-caches-dir={root.parent}/caches"])
    snapshot = rule_runner.request(SysrootSnapshot, [SysrootRequest(str(root), **asked)])
    assert isinstance(snapshot, SysrootSnapshot)
    return snapshot


def test_one_look_serves_a_run(tmp_path: Path, root: Path) -> None:
    write(root / "a", b"one")
    memo = hash_memo.HashMemo(str(tmp_path / "memo"))
    request = SysrootRequest(str(root), hash_paths=("/a",))
    scheduler = looks.Scheduler()
    first = looks.look(request, looks.Run(scheduler, RunId(1)), memo, NO_KEYS)
    write(root / "a", b"other")
    assert looks.look(request, looks.Run(scheduler, RunId(1)), memo, NO_KEYS) is first
    second = looks.look(request, looks.Run(scheduler, RunId(2)), memo, NO_KEYS)
    assert second.entries["/a"] == SourceStat(
        FILE, 0o644, 5, sha256=hashlib.sha256(b"other").hexdigest(), is_elf_or_zip=False
    )


def test_run_of_another_scheduler_looks_again(tmp_path: Path, root: Path) -> None:
    # pantsd makes a new one when an option like pythonpath changes, and counts runs from 0 again.
    memo = hash_memo.HashMemo(str(tmp_path / "memo"))
    request = SysrootRequest(str(root), hash_paths=("/a",))
    write(root / "a", b"one")
    first = looks.look(request, looks.Run(looks.Scheduler(), RunId(1)), memo, NO_KEYS)
    write(root / "a", b"other")
    second = looks.look(request, looks.Run(looks.Scheduler(), RunId(1)), memo, NO_KEYS)
    assert first.entries["/a"] != second.entries["/a"]


def test_look_makes_the_interpreters_link_again(tmp_path: Path, root: Path) -> None:
    rule_runner = new_runner(tmp_path)
    link = tmp_path / "caches/occlum_python/python"
    for _ in range(2):
        look(rule_runner, root)
        assert os.readlink(link) == os.path.realpath(sys.executable)
        link.unlink()


def present(snapshot: SysrootSnapshot) -> dict[str, SourceStat]:
    return {path: entry for path, entry in snapshot.entries.items() if entry is not None}


def test_links_are_followed_inside_the_root(tmp_path: Path, root: Path) -> None:
    (root / "lib").symlink_to("/usr/lib")
    (root / "usr/lib/libz.so").symlink_to("../../../../usr/lib/libz.so.1")
    write(root / "usr/lib/libz.so.1", b"\x7fELFz")
    found = present(look(new_runner(tmp_path), root, hash_paths=("/lib/libz.so",)))
    digest = hashlib.sha256(b"\x7fELFz").hexdigest()
    assert found["/lib"].target == "/usr/lib"
    assert found["/lib/libz.so"] == found["/usr/lib/libz.so"]
    assert found["/usr/lib/libz.so"].kind == SYMLINK
    real = found["/usr/lib/libz.so.1"]
    assert (real.kind, real.size, real.sha256, real.is_elf_or_zip) == (FILE, 5, digest, True)
    assert {path: found[path].kind for path in ("/", "/usr", "/usr/lib")} == {
        "/": DIR,
        "/usr": DIR,
        "/usr/lib": DIR,
    }


def test_absent_dangling_looping_and_below_a_file(tmp_path: Path, root: Path) -> None:
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    write(root / "file", b"")
    paths = ("/dangling", "/file/below", "/gone/away", "/loop", "/loop/below", "/" + "n" * 300)
    found = look(new_runner(tmp_path), root, stat_paths=paths).entries
    kinds = [entry.kind if (entry := found[path]) else None for path in paths]
    assert kinds == [SYMLINK, None, None, SYMLINK, None, None]
    assert found["/nowhere"] is None


def test_only_what_was_asked_to_be_hashed_is_read(tmp_path: Path, root: Path) -> None:
    write(root / "stat", b"1")
    write(root / "hash", b"2")
    snapshot = look(new_runner(tmp_path), root, stat_paths=("/stat",), hash_paths=("/hash",))
    found = present(snapshot)
    assert found["/stat"].sha256 == ""
    assert found["/stat"].size == 1
    assert found["/hash"].sha256 == hashlib.sha256(b"2").hexdigest()


def test_tree_has_every_kind_of_entry(tmp_path: Path, root: Path) -> None:
    write(root / "t/d/file", b"x").chmod(0o4751)
    (root / "t/empty").mkdir()
    (root / "t/link").symlink_to("/usr")
    os.mkfifo(root / "t/pipe")
    (root / "to_t").symlink_to("t")
    Path(os.fsdecode(bytes(root / "t") + b"/bad\xff")).write_bytes(b"")
    os.symlink(b"bad\xfe", bytes(root / "t") + b"/badlink")
    snapshot = look(new_runner(tmp_path), root, trees=("/to_t",))
    found = present(snapshot)
    assert dict(snapshot.names) == {
        "/t": ("badlink", "d", "empty", "link", "pipe"),
        "/t/d": ("file",),
        "/t/empty": (),
    }
    assert [found[f"/t/{n}"].kind for n in snapshot.names["/t"]] == [OTHER, DIR, DIR, SYMLINK, FIFO]
    assert found["/t/d/file"].mode == 0o4751
    assert snapshot.errors["/t/badlink"] == "the link's target bad\\xfe is not UTF-8"
    assert snapshot.undecodable == (r"/t/bad\xff", r"bad\xfe")
    assert "/usr" not in found


def test_directory_is_listed_and_neither_entered_nor_read(tmp_path: Path, root: Path) -> None:
    write(root / "usr/lib/deep/file", b"x")
    write(root / "usr/lib/file", b"x")
    write(root / "usr/bin/sh", b"x")
    (root / "lib").symlink_to("usr/lib")
    snapshot = look(
        new_runner(tmp_path), root, directories=("/lib", "/usr", "/gone"), trees=("/usr/bin",)
    )
    assert dict(snapshot.names) == {
        "/usr": ("bin", "lib"),
        "/usr/bin": ("sh",),
        "/usr/lib": ("deep", "file"),
    }
    assert snapshot.entries["/usr/lib/file"] == SourceStat(FILE, 0o644, 1)
    assert present(snapshot)["/usr/bin/sh"].sha256 != ""
    assert "/usr/lib/deep/file" not in snapshot.entries


def test_tree_in_a_listed_directory_is_walked(tmp_path: Path, root: Path) -> None:
    write(root / "usr/lib/deep/file", b"x")
    asked = ("/usr", "/usr/lib")
    snapshot = look(new_runner(tmp_path), root, directories=asked, trees=("/usr/lib/deep", "/usr"))
    assert snapshot.names["/usr/lib/deep"] == ("file",)
    assert snapshot.names["/usr"] == ("lib",)
    assert present(snapshot)["/usr/lib/deep/file"].sha256 != ""


def test_unreadable_file_is_told_and_not_raised(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "secret", b"x")

    def refuse(path: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hash_memo, "_read_once", refuse)
    snapshot = look(new_runner(tmp_path), root, hash_paths=("/secret",))
    assert snapshot.entries["/secret"] == SourceStat(FILE, 0o644, 1)
    assert snapshot.errors == {"/secret": "Permission denied"}


def test_file_that_never_holds_still(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "log", b"x")
    monkeypatch.setattr(hash_memo, "_read_once", lambda path: None)
    snapshot = look(new_runner(tmp_path), root, hash_paths=("/log",))
    assert snapshot.errors == {"/log": "was written to while it was read, twice"}


def test_root_that_is_missing(tmp_path: Path) -> None:
    with engine_error(OcclumError, contains="is not a directory"):
        look(new_runner(tmp_path), tmp_path / "nothing")


def test_each_session_sees_the_host_afresh(tmp_path: Path, root: Path) -> None:
    rule_runner = new_runner(tmp_path)
    file = write(root / "f", b"one")
    first = look(rule_runner, root, hash_paths=("/f",))
    same = look(rule_runner, root, hash_paths=("/f",))
    times = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = look(rule_runner, root, hash_paths=("/f",))
    assert same == first
    assert present(changed)["/f"].sha256 == hashlib.sha256(b"two").hexdigest()


def test_files_under_names_of_the_callers(tmp_path: Path, root: Path) -> None:
    names = [
        "plain",
        "a b#c%20?d",
        "grün",
        'q"uote\\',
        "line\nbreak",
        "semi;colon&x=+",
        "~x:@=+,-.",
        "[x]",
        "a..b",
        "%2e",
    ]
    files = []
    for number, name in enumerate([*names, "empty"]):
        content = b"" if name == "empty" else name.encode()
        write(root / name, content)
        blob = SysrootBlob(f"/{name}", hashlib.sha256(content).hexdigest(), len(content))
        files.append(SysrootFile(f"out/{number:02}", blob, number % 2 == 0))
    rule_runner = new_runner(tmp_path)
    digest = rule_runner.request(Digest, [SysrootFiles(str(root), tuple(files))])
    got = [
        (f.path, f.content, f.is_executable) for f in rule_runner.request(DigestContents, [digest])
    ]
    assert got == [
        (f"out/{n:02}", b"" if name == "empty" else name.encode(), n % 2 == 0)
        for n, name in enumerate([*names, "empty"])
    ]


def test_file_that_changed_since_it_was_hashed(tmp_path: Path, root: Path) -> None:
    write(root / "f", b"new")
    blob = SysrootBlob("/f", hashlib.sha256(b"was").hexdigest(), 3)
    with engine_error(OcclumError, contains="is not what it was when the run began"):
        new_runner(tmp_path).request(Digest, [SysrootFiles(str(root), (SysrootFile("f", blob),))])


MANY_FILES = """
import resource, sys, hashlib, pathlib
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from pants.engine.fs import Digest, DigestEntries
from pants_occlum.sysroot.host_test import *
root = pathlib.Path(sys.argv[1])
blobs = []
for number in range(3000):
    content = b"%d" % number
    (root / str(number)).write_bytes(content)
    blobs.append(SysrootBlob(f"/{number}", hashlib.sha256(content).hexdigest(), len(content)))
files = tuple(SysrootFile(blob.path[1:], blob) for blob in blobs)
digest = new_runner(root.parent).request(Digest, [SysrootFiles(str(root), files)])
print(digest.serialized_bytes_length > 3000 * 64)
"""


def test_3000_files_with_1024_file_handles(tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", MANY_FILES, str(root)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "True", done.stderr


def test_large_blobs_go_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysroot, "BLOBS_IN_FLIGHT", 2)
    sizes = [1, sysroot.LARGE_BYTES, 2, sysroot.LARGE_BYTES - 1, sysroot.LARGE_BYTES + 1]
    blobs = [SysrootBlob("/f", f"{number:064x}", size) for number, size in enumerate(sizes)]
    batches = sysroot.batches({blob.sha256: blob for blob in blobs})
    assert [[blobs.index(blob) for blob in batch] for batch in batches] == [
        [0, 2],
        [3],
        [1],
        [4],
    ]


def test_what_nobody_touched_is_not_looked_at_again(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysroot_walk, "SETTLED_NS", -1)
    for name in ("usr/a/one", "usr/a/two", "usr/b/three", "usr/b/c/four"):
        write(root / name, name.encode())
    rule_runner = new_runner(tmp_path)
    first = look(rule_runner, root, trees=("/usr",))
    read: list[str] = []
    entry = sysroot_walk.SysrootWalk._entry

    def noted(self: sysroot_walk.SysrootWalk, path: str, found: os.stat_result) -> SourceStat:
        read.append(path)
        return entry(self, path, found)

    monkeypatch.setattr(sysroot_walk.SysrootWalk, "_entry", noted)
    again = look(rule_runner, root, trees=("/usr",))
    assert again is first
    assert read == ["/", "/usr"]

    read.clear()
    write(root / "usr/b/three", b"changed")
    changed = present(look(rule_runner, root, trees=("/usr",)))
    assert sorted(read) == ["/", "/usr", "/usr/b/c", "/usr/b/three"]
    assert changed.keys() == first.entries.keys()
    assert changed["/usr/b/three"].sha256 == hashlib.sha256(b"changed").hexdigest()
    assert changed["/usr/b/c/four"] == first.entries["/usr/b/c/four"]

    (root / "usr/a/two").unlink()
    assert first.entries.keys() - present(look(rule_runner, root, trees=("/usr",))).keys() == {
        "/usr/a/two"
    }


def test_what_changed_in_the_last_moment_is_looked_at_again(tmp_path: Path, root: Path) -> None:
    write(root / "usr/a/one", b"1")
    walk = sysroot_walk.SysrootWalk(str(root), time.time_ns())
    walk.walk("/usr/a")
    assert walk.directories() == {}
    later = sysroot_walk.SysrootWalk(str(root), time.time_ns() + 2 * hash_memo.SETTLED_NS)
    later.walk("/usr/a")
    assert list(later.directories()) == ["/usr/a"]


def _by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _by_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def _by_twin(path: Path) -> None:
    before = path.stat()
    path.with_name("twin").write_bytes(b"F")
    os.utime(path.with_name("twin"), ns=(before.st_atime_ns, before.st_mtime_ns))
    path.with_name("twin").replace(path)


@pytest.mark.parametrize("change", [_by_fifo, _by_link, _by_twin, Path.unlink])
def test_a_file_that_is_replaced_before_it_is_taken_in_is_named(
    tmp_path: Path, root: Path, change: Callable[[Path], None]
) -> None:
    """And not waited for."""
    files = []
    for name in ("f", "other"):
        content = name.encode()
        write(root / name, content)
        blob = SysrootBlob(f"/{name}", hashlib.sha256(content).hexdigest(), len(content))
        files.append(SysrootFile(name, blob))
    change(root / "f")
    with engine_error(OcclumError, contains="/f is not what it was when the run began"):
        new_runner(tmp_path).request(Digest, [SysrootFiles(str(root), tuple(files))])


def test_a_key_of_the_build_is_not_read(root: Path, tmp_path: Path) -> None:
    key = write(root / "t/key", b"secret")
    os.link(key, root / "t/link")
    found = key.stat()
    keys = frozenset([(found.st_dev, found.st_ino)])
    walk = sysroot_walk.SysrootWalk(str(root), time.time_ns(), keys=keys)
    walk.walk("/t")
    memo = hash_memo.HashMemo(str(tmp_path / "memo"))
    walk.hash(["/t/key", "/t/link"], memo)
    assert walk.errors == dict.fromkeys(["/t/key", "/t/link"], sysroot_walk.IS_KEY)
    assert memo.known(os.fsencode(key), found) is None
