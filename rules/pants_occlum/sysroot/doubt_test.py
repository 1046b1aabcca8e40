from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

import pytest
from pants.option.global_options import NamedCachesDirOption

from occlum_build.errors import OcclumError
from pants_occlum.sysroot import hash_memo, host, looks
from pants_occlum.sysroot.doubt import HostAsLooked, HostDoubt, look_again
from pants_occlum.sysroot.hash_memo import memo_of
from pants_occlum.sysroot.host import SysrootBlob
from pants_occlum.sysroot.walk import KnownDirectory
from pants_occlum.testing import run_alone


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    (tmp_path / "root").mkdir()
    for name in ("a", "b"):
        (tmp_path / "root" / name).write_bytes(name.encode() * 5000)
    return tmp_path / "caches"


def looked(root: Path, caches: Path) -> tuple[SysrootBlob, ...]:
    """What a look tells of the files of a root."""
    memo = memo_of(str(caches))
    blobs = []
    for path in sorted(root.iterdir()):
        found = memo.known(bytes(path), path.lstat()) or memo.read(bytes(path))
        blobs.append(SysrootBlob(f"/{path.name}", found.sha256, found.size))
    memo.save()
    return tuple(blobs)


def write_unseen(path: Path) -> None:
    """Change a content as a program does that keeps a mapping of the file: its times stay."""
    status = path.stat()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[0:1] = b"!"
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_file_whose_times_stayed_is_told_and_read_by_the_next_look(
    caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = caches.parent / "root"
    blobs = looked(root, caches)
    identity = hash_memo._identity
    # The kernel sets the time of change; here it does not count.
    monkeypatch.setattr(hash_memo, "_identity", lambda found: (*identity(found)[:4], 0))
    memo_of(str(caches))._rows.clear()
    assert looked(root, caches) == blobs
    write_unseen(root / "b")
    assert looked(root, caches) == blobs
    doubt, option = HostDoubt(str(root), blobs), NamedCachesDirOption(caches)
    with pytest.raises(OcclumError) as error:
        run_alone(look_again, doubt, option)
    assert error.value.code == "source-changed"
    assert "/b below" in str(error.value) and "run Pants again" in str(error.value)
    for memos in ({}, dict(hash_memo._memos)):  # in another process, and in this one
        hash_memo._memos.clear()
        hash_memo._memos.update(memos)
        content = (root / "b").read_bytes()
        assert looked(root, caches)[1].sha256 == hashlib.sha256(content).hexdigest()


def test_files_that_are_as_looked_gone_or_changed_for_all_to_see(caches: Path) -> None:
    root = caches.parent / "root"
    blobs = looked(root, caches)
    doubt, option = HostDoubt(str(root), blobs), NamedCachesDirOption(caches)
    assert run_alone(look_again, doubt, option) == HostAsLooked()
    (root / "a").unlink()
    (root / "b").write_bytes(b"of another size")
    assert run_alone(look_again, doubt, option) == HostAsLooked()


def test_what_pantsd_remembers_of_directories_is_forgotten(caches: Path) -> None:
    request = looks.SysrootRequest("/")
    looks._looks[request] = looks._Looks(directories={"/": KnownDirectory(b"", (), {}, ())})
    host.forget(memo_of(str(caches)), "/", ())
    assert looks._looks.pop(request).directories == {}
