"""What lies where in an instance: status, links, and the trees beside the secure file systems."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import STATE_BYTES
from occlum_build.files.reading import chunks_of
from occlum_build.occlum.initfs import IMAGE_CONFIG, IMAGE_KEY, INIT_RA_CONF, image_config_json
from occlum_build.occlum.instance import (
    BUILT,
    RUN_DIRECTORIES,
    SGX_MODE,
    SIGNED_LIBOS,
    STATUS,
    TREE,
    plan_build,
)
from occlum_build.occlum.runtime_boot import BOOT_CONF
from occlum_build.occlum.seal import ROOT
from occlum_build.occlum.toolchain import SUPPORTED
from occlum_build.sources.model import DIR, FILE, SYMLINK
from occlum_build.verify.file_systems import IMAGE, INITFS, Sealed
from occlum_build.verify.files import BUILD_ONLY, CODE, Files, Found
from occlum_build.verify.rows import DIFFERS, MISSING, Row, Table

_PAL = re.compile(r"build/lib/libocclum-pal(_sim|_hyper)?\.so\.([0-9]+\.[0-9]+\.[0-9]+)")
_MODE_OF = {"": "HW", "_sim": "SIM", "_hyper": "HYPER"}
# What a build adds to the initfs, and does not leave in the plain tree beside it.
_ADDED = frozenset(f"/{path}" for path in (IMAGE_CONFIG, IMAGE_KEY, INIT_RA_CONF, BOOT_CONF))


@dataclass(frozen=True)
class Kind:
    """By the name of its PAL: Occlum's version and the SGX mode; `pal` is its path."""

    version: str
    sgx_mode: str
    pal: str


def kind_of(files: Files) -> Kind:
    """Of the one PAL of an instance. OcclumError `verify` where it has none, or of another Occlum.

    The configuration of each version is another one, so that nothing could be recomputed.
    """
    found = [
        Kind(match[2], _MODE_OF[match[1] or ""], path)
        for path, one in files.listed.items()
        if (match := _PAL.fullmatch(path)) and one.kind == FILE
    ]
    if len(found) != 1:
        have = "no" if not found else "more than one"
        hint = "give a built instance, or the archive that `package` makes of one"
        raise OcclumError(CODE, f"it has {have} build/lib/libocclum-pal.so.VERSION", hint=hint)
    if not SUPPORTED.fullmatch(found[0].version):
        hint = "what this command recomputes is the configuration of Occlum 0.31"
        raise OcclumError(CODE, f"it is an instance of Occlum {found[0].version}", hint=hint)
    return found[0]


def check_layout(files: Files, kind: Kind, image_type: str, table: Table) -> None:
    """Rows of the two status files and of all that stands in `build/`."""
    for path, due in ((STATUS, BUILT), (SGX_MODE, kind.sgx_mode)):
        try:
            stated = files.read(path, STATE_BYTES).decode("ascii", "replace").rstrip("\n")
        except OcclumError as error:
            table.failed(path, "content", error)
            continue
        table.compare(path, "content", stated, due)
    _check_build(files, kind, image_type, table)
    if image_type and files.is_whole:
        _check_image_config(files, image_type, table)


def _check_image_config(files: Files, image_type: str, table: Table) -> None:
    path = "build/image_config.json"
    try:
        stated = files.read(path, STATE_BYTES)
    except OcclumError as error:
        table.failed(path, "content", error)
        return
    due = image_config_json(image_type)
    texts = (" ".join(one.decode("ascii", "replace").split()) for one in (stated, due))
    note = "other blanks" if stated.split() == due.split() else ""
    if stated == due:
        table.agrees(path, "content", next(texts))
    else:
        table.differs(path, "content", note, stated=next(texts), recomputed=next(texts))


def _check_build(files: Files, kind: Kind, image_type: str, table: Table) -> None:
    """Links lead where a build has them lead, and nothing else is there."""
    planned = {
        f"build/{entry.path}": entry
        for entry in plan_build(kind.version, kind.sgx_mode, image_type, signed=True)
    }
    rows, links = [], 0
    for path, entry in sorted(planned.items()):
        found = files.listed.get(path)
        kind_due = DIR if entry.kind == TREE else entry.kind
        if entry.kind != SYMLINK and found is not None and found.kind != kind_due:
            rows.append(Row(path, "kind", DIFFERS, _kind_told(found), kind_due))
        elif entry.kind == SYMLINK and found is not None:
            links += 1
            if (found.kind, found.target) != (SYMLINK, entry.target):
                stated = found.target if found.kind == SYMLINK else f"({found.kind})"
                rows.append(Row(path, "link", DIFFERS, stated, entry.target))
        elif found is None and _is_needed(path, files):
            rows.append(Row(path, "link" if entry.target else "file", DIFFERS, MISSING))
    table.some(rows)
    if not rows:
        table.agrees("build", "links", note=f"{links} lead where a build has them lead")
    for path in _strange(files, planned):
        note = "no build puts it there, and nothing here says what it is"
        table.unknown(path, files.kind(path), note)


def _kind_told(found: Found) -> str:
    return f"{found.kind} {found.target}".rstrip()


def _is_no_directory(files: Files, folder: str, table: Table) -> bool:
    """A row where something else stands in place of a directory."""
    found = files.listed.get(folder)
    if found is None or found.kind == DIR:
        return False
    table.differs(folder, "kind", "", stated=_kind_told(found), recomputed=DIR)
    return True


def _is_needed(path: str, files: Files) -> bool:
    """Is it in all instances, or in those that have all of a build?"""
    if path in BUILD_ONLY:
        return files.is_whole
    is_libos = path.startswith("build/lib/libocclum-libos") and path != f"build/{SIGNED_LIBOS}"
    return files.is_whole if is_libos else "__ROOT" not in path


def _strange(files: Files, planned: Mapping[str, object]) -> Iterator[str]:
    """What is in `build/` beside the plan and outside of the secure file systems."""
    sealed = tuple(f"{folder}/{ROOT}/" for folder in (IMAGE, INITFS))
    for path in files.below("build"):
        whole = f"build/{path}"
        if whole not in planned and not whole.startswith(sealed):
            yield whole


def check_plain_tree(files: Files, folder: str, sealed: Sealed, table: Table) -> None:
    """The tree that a secure file system was made of, where it is there: the same content.

    Modes are not compared, as archives do not keep them.
    """
    if _is_no_directory(files, folder, table) or not files.kind(folder):
        return
    if sealed.entries is None:
        table.unknown(folder, "content", "what it would be compared with cannot be read")
        return
    due = {path: _without_mode(text) for path, text in sealed.described.items() if path != "/"}
    sizes = {str(entry["path"]): int(entry.get("size", -1)) for entry in sealed.entries}
    rows = []
    try:
        found = {
            f"/{path}": _plain(files, f"{folder}/{path}", sizes.get(f"/{path}", -1))
            for path in files.below(folder)
        }
    except OcclumError as error:
        table.failed(folder, "content", error)
        return
    ignored = _ADDED if folder == "initfs" else frozenset()
    for path in sorted({*due, *found}):
        stated, made = found.get(path, MISSING), due.get(path, MISSING)
        if stated != made and not (path in ignored and MISSING in (stated, made)):
            rows.append(Row(f"{folder}{path}", "content", DIFFERS, stated, made))
    table.some(rows)
    if not rows:
        table.agrees(folder, "content", note=f"{len(found):,} entries, as in the file system")


def _without_mode(described: str) -> str:
    kind, _, rest = described.partition(" ")
    content = rest.partition(" ")[2]
    return "file (the image key)" if content == "(the image key)" else f"{kind} {content}".rstrip()


def _plain(files: Files, path: str, size: int) -> str:
    """What stands in the plain tree; a file is only read where it has the size that it ought to."""
    found = files.listed[path]
    if path == f"initfs/{IMAGE_KEY}":
        return "file (the image key)"
    if found.kind != FILE:
        return f"{found.kind} {found.target}".rstrip()
    its_size = files.size(path)
    if its_size != size:
        return f"file of {its_size:,} bytes"
    digest = hashlib.sha256()
    for chunk in chunks_of(files.path(path), code=CODE):
        digest.update(chunk)
    return f"file {digest.hexdigest()}"


def check_run(files: Files, table: Table) -> None:
    """What enclaves have written, or anybody else: nothing tells what it ought to be."""
    if any([_is_no_directory(files, path, table) for path in RUN_DIRECTORIES]):
        return
    written = [path for path in files.below("run") if files.kind(f"run/{path}") != DIR]
    if written:
        note = "written by a run of the enclave, or by somebody else"
        table.unknown("run", f"{len(written):,} files", note)
    else:
        table.agrees("run", "content", note="nothing was written at run time")
