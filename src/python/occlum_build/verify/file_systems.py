"""The secure file systems of an instance: every tag, the tree, and the MACs, computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import STATE_BYTES
from occlum_build.files.handles import DirectoryHandles
from occlum_build.occlum.initfs import ENCRYPTED, IMAGE_KEY, INTEGRITY_ONLY
from occlum_build.occlum.measurement import describe_entries
from occlum_build.occlum.seal import ROOT, ROOT_MAC
from occlum_build.sefs.fs_format import METADATA_NAME, FileType
from occlum_build.sefs.keys import KEY_FILE_BYTES, UserKey, key_of_text
from occlum_build.sefs.pf_format import (
    ENCRYPTED_PART_END,
    NODE_SIZE,
    PLAIN_PART,
    format_mac,
    parse_mac,
)
from occlum_build.sefs.reader import ImageEntry, ImageReader
from occlum_build.sefs.verify import verify_image
from occlum_build.sources.model import FILE
from occlum_build.verify.files import Files, read_start
from occlum_build.verify.rows import DIFFERS, Row, Table

IMAGE, INITFS = "build/mount", "build/initfs"
_NO_TAG = "bytes that no tag covers"
_NAMES = ("minor_version", "cpu_svn", "isv_svn", "attribute_mask")


@dataclass(frozen=True)
class Sealed:
    """What is known of a secure file system: `mac` is "" where it cannot be read at all.

    `entries` are those of a manifest (docs/manifest.md), None where they are not known.
    """

    mac: str = ""
    type: str = ""
    entries: tuple[Mapping[str, Any], ...] | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        return {"schema": 1, "entries": list(self.entries or ())}

    @property
    def described(self) -> dict[str, str]:
        """Path -> type, mode, and content or target."""
        return describe_entries(self.manifest)


@dataclass
class _Entries:
    """Collects the entries that `verify_image` tells of."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def take(self, entry: ImageEntry, content: str) -> None:
        described: dict[str, Any] = {
            "path": "/" + entry.path.decode("utf-8", "backslashreplace"),
            "type": FileType(entry.inode.type).name.lower(),
            "mode": f"{entry.inode.mode & 0o777:04o}",
        }
        if entry.inode.type == FileType.FILE:
            described["size"], described["sha256"] = entry.inode.size, content
        elif entry.inode.type == FileType.SYMLINK:
            described["target"] = content
        self.found.append(described)


def check_file_system(files: Files, folder: str, key: UserKey | None, table: Table) -> Sealed:
    """Rows of the secure file system in a folder of the instance, and what is in it.

    `key` counts for an encrypted one; without it its content cannot be known.
    """
    root = f"{folder}/{ROOT}"
    names = list(files.below(root))
    strange = [name for name in names if files.kind(f"{root}/{name}") != FILE]
    for name in strange[:10]:
        kind = files.kind(f"{root}/{name}")
        table.differs(f"{root}/{name}", "kind", "it has regular files alone", stated=kind)
    if strange or METADATA_NAME not in names:
        if not strange:
            table.differs(f"{root}/{METADATA_NAME}", "kind", "there is no secure file system")
        return Sealed()
    mac, kind = _check_headers(files, root, names, table)
    _check_stated_mac(files, folder, mac, table)
    if kind == ENCRYPTED and key is None:
        table.unknown(root, "content", "it is encrypted: give its key with --image-key")
        return Sealed(mac, kind)
    return _check_content(files, root, key if kind == ENCRYPTED else None, kind, table)


def _check_content(files: Files, root: str, key: UserKey | None, kind: str, table: Table) -> Sealed:
    entries = _Entries()
    try:
        result = verify_image(files.path(root), key, tell=entries.take)
    except OcclumError as error:
        if key is None:
            table.failed(root, "content", error)
        else:
            note = f"it is damaged, or the key is not its own ({error.problems[0].code})"
            table.differs(root, "content", note)
        return Sealed("", kind)
    if result.report.errors:
        table.problems(root, "content", result.report.errors)
    else:
        sizes = f"{result.inodes:,} entries, {result.content_bytes:,} bytes"
        table.agrees(root, "content", note=f"{sizes}: every tag, the tree and its tables")
    found = sorted(entries.found, key=lambda one: str(one["path"]))
    whole = not result.report.errors
    return Sealed(format_mac(result.mac), kind, tuple(found) if whole else None)


def _check_headers(files: Files, root: str, names: list[str], table: Table) -> tuple[str, str]:
    """The MAC that `metadata` states and the type of the image; rows for what has no tag."""
    mac, kind, wrong = "", "", []
    with files.folders() as folders:
        for name in (METADATA_NAME, *(one for one in names if one != METADATA_NAME)):
            try:
                plain, faults = header_of(folders, f"{root}/{name}")
            except OcclumError as error:
                wrong.append(Row(f"{root}/{name}", "header", DIFFERS, note=str(error)))
                continue
            its_kind = INTEGRITY_ONLY if plain["integrity_only"] else ENCRYPTED
            if name == METADATA_NAME:
                mac, kind = format_mac(plain["meta_data_gmac"]), its_kind
            if its_kind != kind:
                note = f"{METADATA_NAME} is {kind}"
                wrong.append(Row(f"{root}/{name}", "type", DIFFERS, its_kind, kind, note))
            wrong += unsealed(f"{root}/{name}", faults)
    table.some(wrong)
    if not wrong:
        table.agrees(root, _NO_TAG, note=f"zeros in {len(names):,} files")
    return mac, kind


def unsealed(path: str, faults: list[str]) -> list[Row]:
    """The row of a protected file with bytes that no tag covers, and that are not zeros."""
    note = f"not as any writer leaves them: {', '.join(faults)}"
    return [Row(path, _NO_TAG, DIFFERS, note=note)] if faults else []


def header_of(folders: DirectoryHandles, path: str) -> tuple[dict[str, Any], list[str]]:
    """The plain part of node 0, and which bytes that no tag covers are not zeros.

    Raises OcclumError for what is no protected file, or cannot be read.
    """
    node = read_start(folders, path, NODE_SIZE)
    if len(node) < NODE_SIZE:
        raise OcclumError("pf-length", f"{len(node)} bytes are no protected file")
    plain = PLAIN_PART.unpack(node[: PLAIN_PART.size])
    names = (*_NAMES, "meta_data_key_id") if plain["integrity_only"] == 1 else _NAMES
    faults = [name for name in names if plain[name] not in (0, bytes(16), bytes(32))]
    if any(node[ENCRYPTED_PART_END:]):
        faults.append("the end of node 0")
    if plain["integrity_only"] > 1:
        faults.append("integrity_only")
    return plain, faults


def _check_stated_mac(files: Files, folder: str, mac: str, table: Table) -> None:
    path = f"{folder}/{ROOT_MAC}"
    try:
        text = files.read(path, STATE_BYTES).decode("ascii", "replace")
        stated = format_mac(parse_mac(text))
    except OcclumError as error:
        table.failed(path, "MAC", error)
        return
    table.compare(path, "MAC", stated, mac)


def built_in_key(files: Files, initfs: Sealed) -> UserKey | None:
    """The image key in an initfs that was found whole; None where it has none, or no key."""
    if f"/{IMAGE_KEY}" not in initfs.described:
        return None
    with suppress(OcclumError), ImageReader(files.path(f"{INITFS}/{ROOT}")) as reader:
        for text in _texts_of_key(reader):
            return key_of_text(text, IMAGE_KEY)
    return None


def _texts_of_key(reader: ImageReader) -> Iterator[bytes]:
    for entry in reader.walk():
        if entry.path == IMAGE_KEY.encode() and entry.inode.type == FileType.FILE:
            with reader.open(entry.number, entry.inode) as file:
                if file.size <= KEY_FILE_BYTES:
                    yield file.read_all()
