"""Secure file systems of the image and the initfs, as a build lays them out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError, Problem
from occlum_build.files.source import Identity, open_source
from occlum_build.image.manifest import canonical_json, image_digest
from occlum_build.sefs.fs_format import FileType
from occlum_build.sefs.hostio import os_errors, place_of
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.manifest import read_manifest
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.pf_writer import SOURCE_CHANGED
from occlum_build.sefs.tree import Tree, TreeEntry, scan_tree
from occlum_build.sefs.writer import zip_image

SECRET_MODE = 0o600
ROOT, ROOT_MAC, MANIFEST = "__ROOT", ".ROOT_MAC", "manifest.json"


@dataclass(frozen=True)
class Sealed:
    """`mac`: 47 characters; `digest`: hex SHA-256 of the manifest; what was left out."""

    mac: str
    digest: str
    warnings: tuple[Problem, ...]


def seal(
    directory: Path,
    out: Path,
    *,
    user_key: UserKey | None = None,
    manifest: Path | None = None,
    is_secret: bool = False,
    planned: Mapping[bytes, Identity] | None = None,
) -> Sealed:
    """Write `out/__ROOT`, `out/.ROOT_MAC`, and without a manifest `out/manifest.json`.

    `out` must exist. The digest of the manifest is the salt of the keys. `is_secret`: the files of
    `out/__ROOT` are for their owner alone. `planned` is what `manifest_of_tree` saw of the files,
    where it made the manifest. Raises what `zip_image` and `read_manifest` raise.
    """
    if manifest is None:
        manifest = out / MANIFEST
        planned = {}
        manifest.write_bytes(canonical_json(manifest_of_tree(directory, planned)))
    read = read_manifest(manifest)
    result = zip_image(
        directory,
        out / ROOT,
        out / ROOT_MAC,
        user_key=user_key,
        modes=read.modes,
        salt=read.digest,
        planned=planned,
    )
    if is_secret:
        hide(out / ROOT)
    return Sealed(format_mac(result.mac), read.digest.hex(), result.warnings)


def hide(root: Path) -> None:
    """Let the owner alone read the files of a secure file system that is not encrypted."""
    for file in root.iterdir():
        file.chmod(SECRET_MODE)


def manifest_of_tree(directory: Path, seen: dict[bytes, Identity] | None = None) -> dict[str, Any]:
    """The manifest (docs/manifest.md) of a directory, without provenance.

    `seen` gets what the files were, by path. Raises OcclumError for one that
    changes while it is read, and what `scan_tree` raises.
    """
    tree = scan_tree(directory)
    entries = [_describe(tree, entry) for entry in tree.entries]
    if seen is not None:
        seen.update(tree.seen)
    return {"schema": 1, "entries": sorted(entries, key=lambda entry: str(entry["path"]))}


def digest_of(manifest: Mapping[str, Any]) -> str:
    """The hex digest that names the tree."""
    return image_digest(manifest)


def _describe(tree: Tree, entry: TreeEntry) -> dict[str, Any]:
    path = tree.host_path(entry)
    described: dict[str, Any] = {
        "path": "/" + entry.path.decode("utf-8"),
        "type": entry.type.name.lower(),
        "mode": f"{entry.mode:04o}",
    }
    if entry.type is FileType.FILE:
        described["size"], described["sha256"] = _content(path, tree.seen[entry.path])
    elif entry.type is FileType.SYMLINK:
        described["target"] = _link_target(path)
    return described


def _link_target(path: bytes) -> str:
    """As a manifest can have it, which is UTF-8; `sefs zip` makes images without one."""
    try:
        return os.readlink(path).decode("utf-8")
    except UnicodeDecodeError:
        raise OcclumError(
            "sefs-name",
            "the target of the link is not UTF-8",
            place=place_of(path),
            hint="make the link anew with a target in UTF-8, or remove it",
        ) from None


def _content(path: bytes, planned: Identity) -> tuple[int, str]:
    """Size and SHA-256 in hex of a regular file that does not change meanwhile."""
    with os_errors(path), open_source(path, code=SOURCE_CHANGED, planned=planned) as file:
        sha256 = file.sha256()
        file.check_unchanged()
    return file.size, sha256
