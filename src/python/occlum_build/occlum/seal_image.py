"""The secure file system of an image as packs (occlum_build.process.packs), whole or in parts.

Process: `python -m occlum_build.occlum.seal_image REQUEST OUT [KEY FINGERPRINT [CACHE ...]]`.
REQUEST has a Request as JSON. KEY is a file, best named by a link, that must hold the key of
FINGERPRINT, and makes the image an encrypted one. It is kept in the directory CACHE under a NAME,
which may have so many BYTES and DAYS (occlum_build.occlum.encrypted_cache). A file's content is an
input below CONTENTS, or read from a sysroot (occlum_build.process.complete) and compared.

A part has some regular files, and leaves their MACs for the process that makes all else.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.secret import no_core_dumps
from occlum_build.files.source import open_source
from occlum_build.occlum.compared import Compared, OtherContentError
from occlum_build.occlum.encrypted_cache import Limits, open_cache
from occlum_build.occlum.seal import ROOT_MAC
from occlum_build.process.complete import content_missing, sysroot_links
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
from occlum_build.sefs.pf_writer import BytesSource, PfWriter, Source
from occlum_build.sefs.planned import planned_tree
from occlum_build.sefs.tree import TreeEntry
from occlum_build.sefs.writer import directory_content, inode_of

CONTENTS, MACS = "contents", "macs.json"
# Said on standard output where nothing had to be encrypted.
TAKEN = "taken from the cache of what was encrypted"
# What one process seals: it takes a second or two, beside which its start is little.
PART_BYTES = 128 << 20


class ImageFile(NamedTuple):
    """A regular file: inode number, size, SHA-256 in hex, and its path below a sysroot or ""."""

    inode: int
    size: int
    sha256: str
    source: str


@dataclass(frozen=True)
class Request:
    """What to seal: some files, and where a manifest is named all that is no file.

    `salt`: the digest of the manifest in hex. `macs`: files with the MACs of files that are sealed.
    """

    files: tuple[ImageFile, ...]
    salt: str
    manifest: str = ""
    macs: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        asked = {
            "files": self.files,
            "salt": self.salt,
            "manifest": self.manifest,
            "macs": self.macs,
        }
        return json.dumps(asked, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Request:
        """The inverse of `to_json`."""
        found = json.loads(text)
        files = tuple(ImageFile(*one) for one in found["files"])
        return cls(files, found["salt"], found["manifest"], tuple(found["macs"]))


def parts_of(files: Sequence[ImageFile]) -> list[tuple[ImageFile, ...]]:
    """The files, ascending by inode number, in parts for one process each.

    A content that changes changes one part, as a rule, and a file that comes those from there on.
    """
    found = spans([_numbered(file) for file in files], PART_BYTES)
    return [tuple(files[part.start : part.end]) for part in found]


def _numbered(file: ImageFile) -> Numbered:
    return Numbered(file.inode, Layout(file.size).host_length)


class _Sealing:
    """Seals what is asked for, in packs below a directory."""

    def __init__(self, out: Path, user_key: UserKey | None, salt: bytes) -> None:
        self._out = out
        self._writer = PfWriter()
        self._user_key = user_key
        self._keys = None if user_key is None else DerivedKeys(user_key, salt)
        self.packed: list[PackedFile] = []
        (out / PACKS).mkdir()

    def files(self, files: Sequence[ImageFile]) -> dict[int, bytes]:
        """Write regular files; their MACs by inode number."""
        sysroots = sysroot_links() if any(file.source for file in files) else []
        macs = {}
        for span in spans([_numbered(file) for file in files], PACK_BYTES):
            # Not by `lowest`, which is of this process: packs of all parts go together.
            pack = f"{files[span.start].inode:08x}"
            with opened(self._out / PACKS / pack, CREATE_AND_READ_FLAGS) as descriptor:
                start = 0
                for file in files[span.start : span.end]:
                    macs[file.inode] = self._file(descriptor, pack, start, file, sysroots)
                    start += self.packed[-1].size
        return macs

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
                    macs[inode] = self._node(descriptor, pack, start, name, BytesSource(content))
                    start += self.packed[-1].size
        return macs

    def metadata(self, content: bytes) -> bytes:
        """Write the inode table; its MAC."""
        with opened(self._out / PACKS / METADATA_NAME, CREATE_AND_READ_FLAGS) as descriptor:
            source = BytesSource(content)
            return self._node(descriptor, METADATA_NAME, 0, METADATA_NAME, source)

    def _file(
        self, descriptor: int, pack: str, start: int, file: ImageFile, sysroots: list[str]
    ) -> bytes:
        if not file.source:
            mac = self._compared(f"{CONTENTS}/{file.sha256}", descriptor, pack, start, file)
            if mac is None:
                raise content_missing(f"{CONTENTS}/{file.sha256}")
            return mac
        for number, sysroot in enumerate(sysroots):
            mac = self._compared(f"{sysroot}{file.source}", descriptor, pack, start, file)
            if mac is not None:
                sysroots.insert(0, sysroots.pop(number))  # it has the next file, too
                return mac
        raise content_missing(file.source)

    def _compared(
        self, path: str, descriptor: int, pack: str, start: int, file: ImageFile
    ) -> bytes | None:
        """Write a file; its MAC, or None where it has another content."""
        try:
            original = open_source(path)
        except (OSError, OcclumError):
            return None
        with original:
            source = Compared(original.descriptor, file.size)
            before = len(self.packed)
            try:
                source.check_size(original.size)
                mac = self._node(descriptor, pack, start, disk_filename(file.inode).hex(), source)
            except OtherContentError:
                return None
        if source.hasher.hexdigest() == file.sha256:
            return mac
        del self.packed[before:]
        return None

    def _node(self, descriptor: int, pack: str, start: int, name: str, source: Source) -> bytes:
        clean, hasher = name.encode("ascii"), hashlib.sha256()
        mac = self._writer.write_to(
            descriptor, clean, source, self._sealer(clean), start=start, hasher=hasher
        )
        size = Layout(source.size).host_length
        self.packed.append(PackedFile(name, hasher.hexdigest(), size, pack, start))
        return mac

    def _sealer(self, name: bytes) -> Sealer:
        if self._user_key is None or self._keys is None:
            return IntegrityOnly()
        return EncryptingSealer(self._user_key, self._keys.for_file(name))


def seal_image(request: Request, out: Path, user_key: UserKey | None = None) -> None:
    """Write what is asked for into `out`, which exists: packs, their index, and MACs.

    Raises OcclumError: CONTENT_MISSING for a content that no sysroot has, and what
    `manifest_entries` and `planned_tree` raise.
    """
    sealing = _Sealing(out, user_key, bytes.fromhex(request.salt))
    macs = sealing.files(request.files)
    if request.manifest:
        (out / ROOT_MAC).write_text(_seal_tree(request, sealing, macs), encoding="ascii")
    else:
        rows = [(inode, mac.hex()) for inode, mac in macs.items()]
        (out / MACS).write_text(json.dumps(rows, separators=(",", ":")), encoding="ascii")
    write_index(out, sealing.packed)


def _seal_tree(request: Request, sealing: _Sealing, macs: dict[int, bytes]) -> str:
    """Write all that is no regular file; the MAC of the image as text."""
    for path in request.macs:
        found = json.loads(Path(path).read_bytes())
        macs.update((inode, bytes.fromhex(mac)) for inode, mac in found)
    entries = manifest_entries(Path(request.manifest))
    tree = planned_tree(entries)
    by_path = {entry["path"].strip("/"): entry for entry in entries}

    def content(entry: TreeEntry) -> bytes:
        if entry.type is FileType.DIR:
            return directory_content(tree, entry)
        target: str = by_path[entry.path.decode()]["target"]
        return target.encode("utf-8", "surrogateescape")

    contents = {one.inode: content(one) for one in tree.entries if one.type is not FileType.FILE}
    macs.update(sealing.contents(list(contents.items())))

    def size(entry: TreeEntry) -> int:
        if entry.type is FileType.FILE:
            return int(by_path[entry.path.decode()]["size"])
        return len(contents[entry.inode])

    inodes = [(one.inode, inode_of(tree, one, size(one), macs[one.inode])) for one in tree.entries]
    return format_mac(sealing.metadata(pack_metadata(inodes)))


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
