"""A bundle of rune, `config.json` and `rootfs/`: where the instance is in it."""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import read_file
from occlum_build.files.shape import ListOf, MapOf, check_shape
from occlum_build.oci.config import ROOTFS
from occlum_build.oci.settings import ARGS
from occlum_build.verify.files import CODE, Files, files_of_directory

CONFIG = "config.json"
_SHAPE = {"process": {"args": ListOf(str), "cwd": str}, "annotations?": MapOf(str)}


def files_of_bundle(bundle: Path) -> tuple[Files, str]:
    """The files of the instance that a bundle names, and the program that it starts in it.

    Raises OcclumError `verify` where the bundle is none of Occlum's, or a link is on the way.
    """
    path = bundle / CONFIG
    config = load_json(read_file(path, CONFIG_BYTES, code=CODE), str(path), code=CODE)
    check_shape(config, _SHAPE, str(path), code=CODE)
    args = config.get("annotations", {}).get(ARGS, "")
    process = config["process"]
    inside = posixpath.normpath(posixpath.join("/", process["cwd"], args)).strip("/")
    place = bundle / ROOTFS
    for part in inside.split("/"):
        place = place / part
        _check_directory(place, path)
    program = process["args"][0] if process["args"] else ""
    return files_of_directory(place), program


def _check_directory(place: Path, config: Path) -> None:
    try:
        mode = os.lstat(place).st_mode
    except (OSError, ValueError):
        mode = 0
    if not stat.S_ISDIR(mode):
        message = f"names an instance of Occlum, and there is no directory {place}"
        raise OcclumError(CODE, message, place=Place(str(config)))
