"""What measurement.json and manifest.json say of an instance, against what was recomputed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.image.manifest import image_digest
from occlum_build.occlum.configure import Settings, config_keys
from occlum_build.occlum.expected import ENTRIES
from occlum_build.occlum.measurement import describe_entries, record
from occlum_build.sefs.keys import UserKey
from occlum_build.sgx.config import Node
from occlum_build.verify.enclave import SIGNED, Libos
from occlum_build.verify.file_systems import Sealed
from occlum_build.verify.layout import Kind
from occlum_build.verify.rows import AGREES, DIFFERS, MISSING, Row, Table

MEASUREMENT, MANIFEST = "measurement.json", "manifest.json"
_DESCRIBED = re.compile(r"([a-z]+) ([0-7]{3,5})( .*)?", re.DOTALL)
_LOST = "it covers the mode bits beyond 0777, which a secure file system does not keep"


@dataclass(frozen=True)
class Known:
    """All that was recomputed of an instance; `mrenclave` is "" where it could not be."""

    kind: Kind
    edmm: bool
    image: Sealed
    initfs: Sealed
    document: Node | None
    libos: Libos | None
    mrenclave: str
    pal: str
    key: UserKey | None


def check_record(stated: Mapping[str, Any], known: Known, table: Table) -> None:
    """Rows of all that a measurement.json states."""
    libos = known.libos
    if libos is not None:
        due = record({}, libos.sigstruct, known.image.mac, known.initfs.mac)
        del due["schema"], due["inputs"]
        if known.mrenclave:
            due["mrenclave"] = known.mrenclave
        if ENTRIES in stated and stated["mrsigner"] is None:  # it stands for any signer there
            del due["mrsigner"]
        _compare(stated, due, "", table)
    inputs = stated["inputs"]
    _check_image(inputs["image"], known, table)
    _check_initfs(inputs["initfs"], known.initfs, table)
    if ENTRIES in stated:
        _check_described(MEASUREMENT, stated[ENTRIES], known.image, table, "image ")
    if known.document is not None:
        try:
            due = config_keys(known.document)
        except OcclumError as error:
            table.failed("Occlum.json", "keys", error)
        else:
            _compare(inputs.get("config", {}), due, "config ", table, is_one=True)
    _check_settings(inputs.get("settings", {}), known, table)
    _check_toolchain(inputs.get("toolchain", {}), known, table)


def _check_image(stated: Mapping[str, Any], known: Known, table: Table) -> None:
    image = known.image
    table.compare(MEASUREMENT, "image type", stated["type"], image.type)
    if "mac" in stated:
        table.compare(MEASUREMENT, "image mac", stated["mac"], image.mac)
    if "key_fingerprint" in stated:
        if known.key is None:
            note = "without the key it cannot be computed"
            table.unknown(MEASUREMENT, "image key_fingerprint", note)
        else:
            found = known.key.fingerprint()
            table.compare(MEASUREMENT, "image key_fingerprint", stated["key_fingerprint"], found)


def check_digest(
    record_: Mapping[str, Any] | None,
    manifest: Mapping[str, Any] | None,
    image: Sealed,
    table: Table,
) -> None:
    """Rows of the image digest of a measurement.json, and of the entries of a manifest.json."""
    stated = None if record_ is None else record_["inputs"]["image"].get("digest")
    if manifest is not None:
        if stated is not None:
            digest = f"sha256:{image_digest(manifest)}"
            note = f"the manifest is not the one of {MEASUREMENT}"
            table.compare(MANIFEST, "image digest", stated, digest, note)
        _check_entries(manifest, image, table)
    elif stated is not None:
        found = f"sha256:{image_digest(image.manifest)}"
        if image.entries is None:
            note = "the content of the image cannot be read"
            table.unknown(MEASUREMENT, "image digest", note, stated=str(stated))
        elif stated == found:
            table.agrees(MEASUREMENT, "image digest", found)
        else:
            note = f"{_LOST}: give the manifest.json beside it"
            table.unknown(MEASUREMENT, "image digest", note, stated=str(stated))


def _check_entries(manifest: Mapping[str, Any], image: Sealed, table: Table) -> None:
    described = describe_entries(manifest)
    if image.entries is not None and len(described) != len(manifest["entries"]):
        table.differs(MANIFEST, "entries", "it has a path twice")
    _check_described(MANIFEST, described, image, table)


def _check_described(
    about: str, stated: Mapping[str, str], image: Sealed, table: Table, prefix: str = ""
) -> None:
    if image.entries is None:
        note = "the content of the image cannot be read"
        table.unknown(about, f"{prefix}entries", note)
    else:
        _compare_entries(about, stated, image.described, table, prefix)


def _check_initfs(stated: Mapping[str, str], initfs: Sealed, table: Table) -> None:
    if initfs.entries is None:
        table.unknown(MEASUREMENT, "initfs", "the initfs cannot be read")
    else:
        _compare_entries(MEASUREMENT, stated, initfs.described, table, "initfs ")


def _compare_entries(
    about: str,
    stated: Mapping[str, str],
    found: Mapping[str, str],
    table: Table,
    prefix: str = "",
) -> None:
    """By what a secure file system keeps: nine bits of a mode, and none of its root."""
    before = {path: _kept(text) for path, text in stated.items() if path != "/"}
    after = {path: text for path, text in found.items() if path != "/"}
    rows = list(_differences(about, before, after, prefix))
    table.some(rows)
    if not rows:
        table.agrees(about, f"{prefix}entries", note=f"{len(found):,}, as in the file system")


def _kept(described: str) -> str:
    match = _DESCRIBED.fullmatch(described)
    if match is None:
        return described
    mode = int(match[2], 8) & 0o777
    return f"{match[1]} {mode:04o}{match[3] or ''}"


def _check_settings(stated: Mapping[str, Any], known: Known, table: Table) -> None:
    if known.libos is None:
        return
    newline = known.libos.builtin.endswith(b"\n")
    settings = Settings(known.kind.sgx_mode, known.edmm, with_newline=newline)
    due = {
        "sgx_mode": settings.sgx_mode,
        "edmm": settings.is_for_edmm,
        "builtin_config_bytes": len(known.libos.builtin),
    }
    _compare(stated, due, "settings ", table)


def _check_toolchain(stated: Mapping[str, Any], known: Known, table: Table) -> None:
    """Version, libOS and PAL; other roles are of programs that an instance does not hold."""
    due = [("version", known.kind.version, known.kind.pal)]
    if known.libos is not None:
        due.append(("libos", f"sha256:{known.libos.original}", SIGNED))
    if known.pal:
        due.append(("pal", f"sha256:{known.pal}", known.kind.pal))
    for name, value, path in due:
        found = _shown(stated, name)
        table.compare(MEASUREMENT, f"toolchain {name}", found, value, f"that of {path}")
    others = sorted(set(stated) - {"version", "libos", "pal"})
    if others:
        note = "of the machine that built it; those in the initfs and image are compared there"
        table.unknown(MEASUREMENT, f"toolchain {', '.join(others)[:200]}", note)


def _compare(
    stated: Mapping[str, Any],
    due: Mapping[str, Any],
    prefix: str,
    table: Table,
    *,
    is_one: bool = False,
) -> None:
    """A row for each key, or one for all where `is_one` and nothing differs."""
    names = sorted({*due, *(stated if prefix else ())})
    rows = []
    for name in names:
        before, after = _shown(stated, name), _shown(due, name)
        is_same = name in stated and name in due and _is_same(stated[name], due[name])
        status = AGREES if is_same else DIFFERS
        rows.append(Row(MEASUREMENT, f"{prefix}{name}", status, before, after))
    if not is_one:
        table.rows += rows
        return
    wrong = [row for row in rows if row.status == DIFFERS]
    table.some(wrong)
    if not wrong:
        table.agrees(MEASUREMENT, f"{prefix}keys", note=f"{len(rows):,}, as in Occlum.json")


def _is_same(one: object, other: object) -> bool:
    """As JSON, in which 1, 1.0, true and "1" are all different."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _shown(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return MISSING
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _differences(
    about: str, stated: Mapping[str, str], found: Mapping[str, str], prefix: str
) -> Iterator[Row]:
    for path in sorted({*stated, *found}):
        before, after = stated.get(path, MISSING), found.get(path, MISSING)
        if before != after:
            yield Row(about, f"{prefix}{path}", DIFFERS, before, after)
