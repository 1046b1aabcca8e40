"""Writes several output files so that either all are new and whole, or none is touched."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from occlum_build.errors import OcclumError, Place


def write_all(outputs: Mapping[Path, bytes]) -> None:
    """Write each file next to its place, then rename all; a failed rename is undone for all.

    Modes are 0666 less the umask. Raises OcclumError output-write; then no file has changed.
    """
    suffix = f".{secrets.token_hex(8)}"
    fresh = {path: path.with_name(f".{path.name}{suffix}.new") for path in outputs}
    kept = {path: path.with_name(f".{path.name}{suffix}.old") for path in outputs}
    try:
        for path, data in outputs.items():
            _write_new(path, fresh[path], data)
        _rename_all(fresh, kept)
    finally:
        for leftover in (*fresh.values(), *kept.values()):
            leftover.unlink(missing_ok=True)


def _write_new(path: Path, temporary: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():
        raise OcclumError("output-write", "not a regular file", place=Place(str(path)))
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _failed(path, error) from error


def _rename_all(fresh: Mapping[Path, Path], kept: Mapping[Path, Path]) -> None:
    renamed: list[Path] = []
    try:
        for path, temporary in fresh.items():
            if path.exists():
                os.link(path, kept[path])
            os.replace(temporary, path)
            renamed.append(path)
    except OSError as error:
        for done in renamed:
            if kept[done].exists():
                os.replace(kept[done], done)
            else:
                done.unlink()
        raise _failed(path, error) from error


def _failed(path: Path, error: OSError) -> OcclumError:
    return OcclumError("output-write", error.strerror or "cannot write", place=Place(str(path)))
