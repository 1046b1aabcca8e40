"""Readers of packages of a distribution."""

from __future__ import annotations

from hostile.fuzzing.workplace import file_of
from occlum_build.files.json_text import load_json
from occlum_build.packages.index import DebIndex, write_index
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.merge import merge
from occlum_build.packages.scripts import read_scripts
from occlum_build.packages.unpack import unpack_deb


def deb(data: bytes) -> None:
    """A .deb file: its index, and its files."""
    with file_of(data, "app.deb") as path:
        index = index_deb(path)
        unpack_deb(path, index, path.parent / "root")
    value = load_json(write_index(index), "index.json")
    if DebIndex.from_json(value, "index.json") != index:
        raise AssertionError("an index is not what was written")
    merge([index])


def deb_index(data: bytes) -> None:
    """What a process told of a .deb file."""
    index = DebIndex.from_json(load_json(data, "index.json"), "index.json")
    merge([index])


def maintainer_script(data: bytes) -> None:
    """A script of a package, read and not run."""
    script = b"#!/bin/sh\n" + data
    read_scripts({"preinst": script, "postinst": script}, True)
