"""A secure file system of an earlier build in `build/mount`, for an instance without image."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import STATE_BYTES
from occlum_build.files.reading import chunks_of, read_file, read_start
from occlum_build.occlum.initfs import ENCRYPTED, INTEGRITY_ONLY
from occlum_build.occlum.measurement import ImageIdentity
from occlum_build.occlum.seal import ROOT, ROOT_MAC
from occlum_build.sefs.fs_format import METADATA_NAME
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_format import format_mac, parse_mac
from occlum_build.sefs.reader import ImageReader

# Of node 0 of `metadata` (docs/sefs-format.md, 1.1).
_MAC = slice(77, 93)
_INTEGRITY_ONLY_OFFSET = 94


def read_prebuilt(mount: Path, user_key: UserKey | None) -> ImageIdentity:
    """What is in `mount`; OcclumError `image` when there is none, or it is not what it should be.

    With the key, or when it needs none, its table of inodes is verified.
    """
    root = mount / ROOT
    if not (root / METADATA_NAME).is_file() or not (mount / ROOT_MAC).is_file():
        raise OcclumError(
            "image",
            f"there is neither image/ nor a secure file system in build/mount ({ROOT}, {ROOT_MAC})",
            place=Place(str(mount.parent.parent)),
        )
    header = read_start(root / METADATA_NAME, _INTEGRITY_ONLY_OFFSET + 1)
    mac = read_file(mount / ROOT_MAC, STATE_BYTES).decode("ascii", "replace").strip()
    if len(header) <= _INTEGRITY_ONLY_OFFSET or format_mac(header[_MAC]) != mac:
        message = f"the secure file system is not the one of its {ROOT_MAC}"
        raise OcclumError("image", message, place=Place(str(mount)))
    kind = INTEGRITY_ONLY if header[_INTEGRITY_ONLY_OFFSET] else ENCRYPTED
    if user_key is not None and kind == INTEGRITY_ONLY:
        message = "there is an image key, but the secure file system is not encrypted"
        raise OcclumError("image", message, place=Place(str(mount)))
    if user_key is not None or kind == INTEGRITY_ONLY:
        with ImageReader(root, user_key, mac=parse_mac(mac)):
            pass
    fingerprint = None if user_key is None else user_key.fingerprint()
    return ImageIdentity(kind, mac, None, fingerprint)


def copy_prebuilt(mount: Path, out: Path) -> None:
    """Copy it, so that the old build stays whole until the new one is.

    Raises OcclumError `image`, also for what is no regular file: it has no other.
    """
    try:
        (out / ROOT).mkdir()
        for name in sorted(os.listdir(mount / ROOT)):
            _copy(mount / ROOT / name, out / ROOT / name)
        shutil.copymode(mount / ROOT, out / ROOT)
        _copy(mount / ROOT_MAC, out / ROOT_MAC)
    except OSError as error:
        raise OcclumError("image", f"cannot be copied: {error}", place=Place(str(mount))) from error


def _copy(source: Path, target: Path) -> None:
    with open(target, "xb") as copy:
        for chunk in chunks_of(source, code="image"):
            copy.write(chunk)
    shutil.copymode(source, target)
