"""Readers of what the plugin itself keeps beside the project, where every line may be wrong."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

import xxhash

from hostile.fuzzing.workplace import file_of


def hash_memo(data: bytes) -> None:
    """The memo of hashes, each line under a right checksum."""
    lines = (xxhash.xxh3_64_hexdigest(one).encode() + b" " + one for one in data.split(b"\n"))
    with file_of(b"\n".join(lines) + b"\n", "sha256.rows") as path:
        memo = _plugin("sysroot.hash_memo").HashMemo(str(path))
        memo.known(os.fsencode(path), os.lstat(path))
        memo.forget(b"/bin/app")
        memo.save()


def dist_index(data: bytes) -> None:
    """The index of a tree in dist."""
    module = _plugin("dist.index")
    with file_of(data, "index") as path:
        index = module.load_index(str(path))
        for directory in ("", "a", "build/mount"):
            index.rows(directory)
        index.forget_all_but(["a"])
        index.text()
    module._loaded.clear()


@functools.cache
def _plugin(name: str) -> Any:
    """A module of the plugin that uses nothing of Pants, as the package's `__init__` does."""
    package = "pants_occlum"
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(package)
        stand_in = ModuleType(package)
        stand_in.__path__ = list(spec.submodule_search_locations or ())
        sys.modules[package] = stand_in
    return importlib.import_module(f"{package}.{name}")
