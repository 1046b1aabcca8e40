"""What can be compared: manifests, measurements, what is in dist, OCI layouts, git revisions."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MANIFEST_BYTES, MEASUREMENT_BYTES, STATE_BYTES
from occlum_build.files.reading import read_file, too_large
from occlum_build.occlum import earlier
from occlum_build.occlum.earlier import MANIFEST, MEASUREMENT
from occlum_build.report.model import Item
from occlum_build.shown import output_of

CODE = "diff"
GIT = "git:"
_DIGEST, _SHA256 = "image.digest", re.compile("sha256:[0-9a-f]{64}")
_HINT = (
    "name a manifest.json, a measurement.json, a directory in dist/ that has one of them, an OCI "
    "layout, or git:REVISION:PATH of such a file"
)


@dataclass(frozen=True)
class Side:
    """What is known of one of two images: the text of its manifest, or its items without reasons.

    `record` is that of a measurement.json, `digest` the image digest with `sha256:`, as it was
    written beside the manifest.
    """

    name: str
    manifest: bytes | None = None
    items: Mapping[str, Item] | None = None
    record: Mapping[str, Any] | None = None
    digest: str = ""

    @property
    def has_entries(self) -> bool:
        return self.manifest is not None or self.items is not None


def read_side(operand: str, directory: Path = Path()) -> Side:
    """What an operand names, from a directory; OcclumError for what is nothing to compare with."""
    if operand.startswith(GIT):
        return _of_git(operand, directory)
    path = directory / operand
    for folder in (path, path / "layout"):  # as `package` leaves it in dist/
        if (folder / "oci-layout").exists():
            from occlum_build.report.oci_layout import read_layout

            return read_layout(folder)
    if not path.is_dir():
        data = read_file(path, MANIFEST_BYTES, code=CODE)
        if not data.lstrip().startswith(b"{"):
            raise OcclumError(CODE, f"{operand} is no manifest and no measurement", hint=_HINT)
        return _of_file(operand, data)
    manifest, record = path / MANIFEST, path / MEASUREMENT
    if not any(map(os.path.lexists, (manifest, record))):
        message = f"{path} has no {MANIFEST}, no {MEASUREMENT} and is no OCI layout"
        raise OcclumError(CODE, message, hint=_HINT)
    side = Side(operand, digest=_digest_in(path))
    if os.path.lexists(manifest):
        side = replace(side, manifest=read_file(manifest, MANIFEST_BYTES, code=CODE))
    if os.path.lexists(record):
        data = read_file(record, MEASUREMENT_BYTES, code=CODE)
        side = replace(side, record=earlier.from_bytes(data, str(record)))
    return side


def _digest_in(directory: Path) -> str:
    """What `package` has written of an image; "" where there is none, or something else."""
    if not os.path.lexists(directory / _DIGEST):
        return ""
    text = read_file(directory / _DIGEST, STATE_BYTES, code=CODE).decode("ascii", "replace").strip()
    return text if _SHA256.fullmatch(text) else ""


def _of_file(name: str, data: bytes) -> Side:
    """A manifest, or else a measurement."""
    if b'"entries"' in data[:64] or b'"mrenclave"' not in data:
        return Side(name, data)
    return Side(name, record=earlier.from_bytes(data, name))


def _of_git(operand: str, directory: Path) -> Side:
    """A file, or a directory with some, as a revision has it, from a directory of the project."""
    revision, _, path = operand[len(GIT) :].partition(":")
    if not revision or not path or revision.startswith("-"):
        hint = "for example git:HEAD~1:expected/manifest.json"
        raise OcclumError(CODE, f"{operand} does not name a revision and a path", hint=hint)
    name = f"{revision}:./{path}"
    if _git(directory, "cat-file", "-t", name).strip() != b"tree":
        return _of_file(operand, _git(directory, "cat-file", "blob", name))
    has = _git(directory, "ls-tree", "--full-tree", "--name-only", "-z", name).split(b"\0")
    found = [one for one in (MANIFEST, MEASUREMENT) if one.encode() in has]
    if not found:
        message = f"{operand} has no {MANIFEST} and no {MEASUREMENT}"
        raise OcclumError(CODE, message, hint=_HINT)
    read = {one: _git(directory, "cat-file", "blob", f"{name.rstrip('/')}/{one}") for one in found}
    record = earlier.from_bytes(read[MEASUREMENT], operand) if MEASUREMENT in read else None
    return Side(operand, read.get(MANIFEST), record=record)


def _git(directory: Path, *arguments: str) -> bytes:
    """What git prints, within a bound; its own message when it fails."""
    import subprocess  # slow to import

    command = ["git", "-C", str(directory), *arguments]
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            data = process.stdout.read(MANIFEST_BYTES + 1) if process.stdout else b""
            if len(data) > MANIFEST_BYTES:
                process.kill()
                raise too_large(arguments[-1], MANIFEST_BYTES, CODE)
            told = process.stderr.read(_MOST_TOLD) if process.stderr else b""
    except OSError as error:
        raise OcclumError(CODE, f"git cannot be run: {error.strerror}") from error
    if process.returncode:
        raise OcclumError(CODE, f"git has no {arguments[-1]}: {output_of(told.strip())}")
    return data


_MOST_TOLD = 4 << 10
