"""The secure file system of an image as packs (occlum_build.process.packs), whole or in parts.

Process: `python -m occlum_build.occlum.seal_image REQUEST OUT [KEY FINGERPRINT [CACHE ...]]`.
REQUEST has a Request as JSON. KEY is a file, best named by a link, that must hold the key of
FINGERPRINT, and makes the image an encrypted one. It is kept in the directory CACHE under a NAME,
which may have so many BYTES and DAYS (occlum_build.occlum.encrypted_cache). A file's content is an
input below CONTENTS, or read from a sysroot (occlum_build.process.complete) and compared.

A part has some regular files, and leaves their MACs for the process that makes all else. It may do
so without packs, for files that are sealed once more where they belong (seal_files.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Callable, NamedTuple

from occlum_build.files.secret import no_core_dumps
from occlum_build.occlum.encrypted_cache import Limits, open_cache
from occlum_build.occlum.file_sealer import FileSealer, ImageFile
from occlum_build.occlum.seal import ROOT_MAC
from occlum_build.process.packs import (
    PACK_BYTES,
    PACKS,
    Numbered,
    PackedFile,
    spans,
    write_index,
)
from occlum_build.process.step import run_step
from occlum_build.sefs.fs_format import METADATA_NAME, FileType, disk_filename, pack_metadata
from occlum_build.sefs.hostio import CREATE_AND_READ_FLAGS, opened
from occlum_build.sefs.keys import DerivedKeys, UserKey, read_key_file
from occlum_build.sefs.manifest import manifest_entries
from occlum_build.sefs.pf_crypto import EncryptingSealer, IntegrityOnly, Sealer
from occlum_build.sefs.pf_format import Layout, format_mac
from occlum_build.sefs.pf_writer import BytesSource
from occlum_build.sefs.planned import planned_tree
from occlum_build.sefs.tree import TreeEntry
from occlum_build.sefs.writer import directory_content, inode_of

MACS, _SCRATCH = "macs.json", "scratch"
# Said on standard output where nothing had to be encrypted.
TAKEN = "taken from the cache of what was encrypted"
# What one process seals: it takes a second or two, beside which its start is little.
PART_BYTES = 128 << 20


@dataclass(frozen=True)
class Request:
    """What to seal: some files, and where a manifest is named all that is no file.

    `salt`: the digest of the manifest in hex. `macs`: files with the MACs of files that are sealed.
    Without packs the MACs are all that comes of it (occlum_build.occlum.seal_files).
    """

    files: tuple[ImageFile, ...]
    salt: str
    manifest: str = ""
    macs: tuple[str, ...] = ()
    has_packs: bool = True

    def to_json(self) -> bytes:
        asked = {
            "files": self.files,
            "salt": self.salt,
            "manifest": self.manifest,
            "macs": self.macs,
            "packs": self.has_packs,
        }
        return json.dumps(asked, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Request:
        """The inverse of `to_json`."""
        found = json.loads(text)
        files = tuple(ImageFile(*one) for one in found["files"])
        macs = tuple(found["macs"])
        return cls(files, found["salt"], found["manifest"], macs, found["packs"])


class FileMac(NamedTuple):
    """A sealed file: inode number, MAC in hex, and the SHA-256 in hex of the protected file."""

    inode: int
    mac: str
    sha256: str


def read_macs(text: bytes) -> tuple[FileMac, ...]:
    """The files of a `macs.json`, in the order in which they were asked for."""
    return tuple(FileMac(*row) for row in json.loads(text))


def parts_of(files: Sequence[ImageFile]) -> list[tuple[ImageFile, ...]]:
    """The files, ascending by inode number, in parts for one process each.

    A content that changes changes one part, as a rule, and a file that comes those from there on.
    """
    found = spans([_numbered(file) for file in files], PART_BYTES)
    return [tuple(files[part.start : part.end]) for part in found]


def _numbered(file: ImageFile) -> Numbered:
    return Numbered(file.inode, file.sealed_size)


class _Packs:
    """Packs below a directory, of what is sealed."""

    def __init__(self, out: Path, sealer: FileSealer) -> None:
        self._out = out
        self._sealer = sealer
        self.packed: list[PackedFile] = []
        (out / PACKS).mkdir()

    def files(self, files: Sequence[ImageFile]) -> Iterator[FileMac]:
        """Write regular files."""
        for span in spans([_numbered(file) for file in files], PACK_BYTES):
            # Not by `lowest`, which is of this process: packs of all parts go together.
            pack = f"{files[span.start].inode:08x}"
            with opened(self._out / PACKS / pack, CREATE_AND_READ_FLAGS) as descriptor:
                start = 0
                for file in files[span.start : span.end]:
                    sealed = self._sealer.seal(file, descriptor, start)
                    size = file.sealed_size
                    self.packed.append(PackedFile(file.name, sealed.sha256, size, pack, start))
                    start += size
                    yield FileMac(file.inode, sealed.mac.hex(), sealed.sha256)

    def contents(self, contents: Sequence[tuple[int, bytes]]) -> dict[int, bytes]:
        """Write directories and links, given by their contents; their MACs by inode number."""
        items = [Numbered(inode, Layout(len(one)).host_length) for inode, one in contents]
        macs = {}
        for span in spans(items, PACK_BYTES):
            pack = f"tree-{span.lowest:08x}"
            with opened(self._out / PACKS / pack, CREATE_AND_READ_FLAGS) as descriptor:
                start = 0
                for inode, content in contents[span.start : span.end]:
                    name = disk_filename(inode).hex()
                    macs[inode] = self._node(descriptor, pack, start, name, content)
                    start += self.packed[-1].size
        return macs

    def metadata(self, content: bytes) -> bytes:
        """Write the inode table; its MAC."""
        with opened(self._out / PACKS / METADATA_NAME, CREATE_AND_READ_FLAGS) as descriptor:
            return self._node(descriptor, METADATA_NAME, 0, METADATA_NAME, content)

    def _node(self, descriptor: int, pack: str, start: int, name: str, content: bytes) -> bytes:
        sealed = self._sealer.node(name, BytesSource(content), descriptor, start)
        size = Layout(len(content)).host_length
        self.packed.append(PackedFile(name, sealed.sha256, size, pack, start))
        return sealed.mac


def _sealer(user_key: UserKey | None, salt: bytes) -> Callable[[bytes], Sealer]:
    """What seals the protected file of a name."""
    if user_key is None:
        return lambda _: IntegrityOnly()
    key, keys = user_key, DerivedKeys(user_key, salt)
    return lambda name: EncryptingSealer(key, keys.for_file(name))


def seal_image(request: Request, out: Path, user_key: UserKey | None = None) -> None:
    """Write what is asked for into `out`, which exists: MACs, and packs with their index.

    Raises OcclumError: CONTENT_MISSING for a content that no sysroot has, and what
    `manifest_entries` and `planned_tree` raise.
    """
    sealer = FileSealer(_sealer(user_key, bytes.fromhex(request.salt)))
    if not request.has_packs:
        _write_macs(out, _macs_alone(request.files, sealer))
        return
    packs = _Packs(out, sealer)
    macs = list(packs.files(request.files))
    if request.manifest:
        (out / ROOT_MAC).write_text(_seal_tree(request, packs, macs), encoding="ascii")
    else:
        _write_macs(out, macs)
    write_index(out, packs.packed)


def _macs_alone(files: Iterable[ImageFile], sealer: FileSealer) -> Iterator[FileMac]:
    """The MACs of files that are sealed one over the other."""
    with opened(_SCRATCH, CREATE_AND_READ_FLAGS) as descriptor:
        os.unlink(_SCRATCH)
        for file in files:
            sealed = sealer.seal(file, descriptor)
            yield FileMac(file.inode, sealed.mac.hex(), sealed.sha256)


def _write_macs(out: Path, macs: Iterable[FileMac]) -> None:
    text = json.dumps(list(macs), separators=(",", ":"))
    (out / MACS).write_text(text, encoding="ascii")


def _seal_tree(request: Request, packs: _Packs, sealed: Iterable[FileMac]) -> str:
    """Write all that is no regular file; the MAC of the image as text."""
    files = chain(sealed, *(read_macs(Path(path).read_bytes()) for path in request.macs))
    macs = {one.inode: bytes.fromhex(one.mac) for one in files}
    entries = manifest_entries(Path(request.manifest))
    tree = planned_tree(entries)
    by_path = {entry["path"].strip("/"): entry for entry in entries}

    def content(entry: TreeEntry) -> bytes:
        if entry.type is FileType.DIR:
            return directory_content(tree, entry)
        target: str = by_path[entry.path.decode()]["target"]
        return target.encode("utf-8", "surrogateescape")

    contents = {one.inode: content(one) for one in tree.entries if one.type is not FileType.FILE}
    macs.update(packs.contents(list(contents.items())))

    def size(entry: TreeEntry) -> int:
        if entry.type is FileType.FILE:
            return int(by_path[entry.path.decode()]["size"])
        return len(contents[entry.inode])

    inodes = [(one.inode, inode_of(tree, one, size(one), macs[one.inode])) for one in tree.entries]
    return format_mac(packs.metadata(pack_metadata(inodes)))


def _step(
    request: str,
    out: str,
    key: str = "",
    fingerprint: str | None = None,
    cache: str = "",
    name: str = "",
    most_bytes: str = "0",
    days: str = "0",
) -> None:
    """Write OUT, which must not exist."""
    asked = Request.from_json(Path(request).read_bytes())
    made = Path(out)
    if not key:
        made.mkdir()
        seal_image(asked, made)
        return
    no_core_dumps()
    user_key = read_key_file(Path(key), fingerprint=fingerprint)
    kept = open_cache(Path(cache), Limits(int(most_bytes), int(days))) if cache else None
    if kept and kept.take(name, made, user_key.cache_key()):
        sys.stdout.write(f"{TAKEN}\n")
        return
    made.mkdir()
    seal_image(asked, made, user_key)
    if kept:
        kept.keep(name, made, user_key.cache_key())


if __name__ == "__main__":
    usage = "occlum_build.occlum.seal_image REQUEST OUT [KEY FINGERPRINT CACHE NAME BYTES DAYS]"
    sys.exit(run_step(_step, sys.argv[1:], usage, optional=6))
