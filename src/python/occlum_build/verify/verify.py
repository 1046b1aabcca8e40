"""Verifies what somebody else built: everything is computed again, and nothing believed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import ENCLAVE_BYTES, MANIFEST_BYTES, MEASUREMENT_BYTES
from occlum_build.files.reading import read_file
from occlum_build.occlum.earlier import from_bytes, manifest_from_bytes
from occlum_build.occlum.initfs import ENCRYPTED, IMAGE_CONFIG, INTEGRITY_ONLY, image_config_json
from occlum_build.sefs.keys import UserKey
from occlum_build.verify.configuration import check_configuration
from occlum_build.verify.enclave import (
    SIGNED,
    Libos,
    check_libos,
    check_signer,
    check_unsigned,
    read_libos,
)
from occlum_build.verify.file_systems import (
    IMAGE,
    INITFS,
    Sealed,
    built_in_key,
    check_file_system,
)
from occlum_build.verify.files import CODE, Files
from occlum_build.verify.layers import check_labels
from occlum_build.verify.layout import (
    Kind,
    check_layout,
    check_plain_tree,
    check_run,
    kind_of,
)
from occlum_build.verify.recorded import MANIFEST, MEASUREMENT, Known, check_digest, check_record
from occlum_build.verify.rows import Table, Verified
from occlum_build.verify.targets import Target, open_target

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_Parse = Callable[[bytes, str], "dict[str, Any]"]


@dataclass(frozen=True)
class Wanted:
    """What the verifier knows: MRENCLAVE and MRSIGNER in hex, a measurement.json, the image key.

    `ref` names one of several images of an OCI layout.
    """

    mrenclave: str | None = None
    mrsigner: str | None = None
    measurement: Path | None = None
    image_key: UserKey | None = None
    ref: str | None = None


def verify(path: Path, wanted: Wanted) -> Verified:
    """Recompute everything of what is at a path, and compare.

    Raises OcclumError for what is no instance at all, and for what `wanted` names and cannot be
    read; all else that is wrong is a row.
    """
    for name, value in (("--expect", wanted.mrenclave), ("--expect-mrsigner", wanted.mrsigner)):
        if value is not None and not _HEX.fullmatch(value):
            raise OcclumError("usage", f"{name} wants 64 hexadecimal digits")
    given = None
    if wanted.measurement is not None:
        data = read_file(wanted.measurement, MANIFEST_BYTES, code=CODE)  # it may have entries
        given = from_bytes(data, str(wanted.measurement))
    table = Table()
    with open_target(path, wanted.ref, table) as target:
        if target.files is None:
            return Verified(target.kind, "", "", "", tuple(table.rows))
        return _Verification(target, target.files, wanted, given, table).run()


class _Verification:
    """The steps, in the order in which one needs what another has found."""

    def __init__(
        self,
        target: Target,
        files: Files,
        wanted: Wanted,
        given: Mapping[str, Any] | None,
        table: Table,
    ) -> None:
        self._target = target
        self._files = files
        self._wanted = wanted
        self._given = given
        self._table = table

    def run(self) -> Verified:
        files, table, kind = self._files, self._table, kind_of(self._files)
        initfs = check_file_system(files, INITFS, None, table)
        built_in = built_in_key(files, initfs)
        try:
            key = self._wanted.image_key or built_in
            image = check_file_system(files, IMAGE, key, table)
            self._check_types(image, initfs, built_in is not None)
            known = self._check_enclave(kind, image, initfs, key)
            check_layout(files, kind, image.type, table)
            check_plain_tree(files, "initfs", initfs, table)
            check_plain_tree(files, "image", image, table)
            check_run(files, table)
            self._check_records(known)
        finally:
            if built_in is not None:
                built_in.wipe()
        check_labels(self._target.labels, known.mrenclave, table)
        self._check_program(image)
        self._tell_limits(known)
        return Verified(
            self._target.kind, kind.version, kind.sgx_mode, known.mrenclave, tuple(table.rows)
        )

    def _check_types(self, image: Sealed, initfs: Sealed, has_key: bool) -> None:
        """What the init is told of the image is what it is."""
        self._table.compare(INITFS, "type", initfs.type, INTEGRITY_ONLY)
        if initfs.entries is not None and image.type:
            path = f"/{IMAGE_CONFIG}"
            stated = initfs.described.get(path, "").rpartition(" ")[2]
            due = hashlib.sha256(image_config_json(image.type)).hexdigest()
            note = f"{path} does not say {image.type}"
            self._table.compare(INITFS, f"{path}, SHA-256", stated, due, note)
        if has_key:
            note = "it is in the initfs: whoever has this can read the image"
            self._table.agrees(INITFS, "image key", "built in", note)

    def _check_enclave(
        self, kind: Kind, image: Sealed, initfs: Sealed, key: UserKey | None
    ) -> Known:
        files, table, mrenclave = self._files, self._table, ""
        libos = read_libos(files, table)
        # As a build sets it: which of two layouts was signed, nothing else tells in an archive.
        edmm = kind.sgx_mode == "HW" and libos is not None and libos.sigstruct.misc_select != 0
        made = check_configuration(files, image.mac, initfs.mac, edmm, table)
        if libos is not None:
            xml = None if made.generated is None else made.generated.enclave_xml
            mrenclave = check_libos(libos, made.mac, xml, table)
            self._check_wanted(libos, mrenclave)
            check_unsigned(files, libos, kind.sgx_mode, kind.version, table)
        elif self._wanted.mrenclave is not None:
            note = "there is no signed enclave that could have it"
            table.differs("--expect", "MRENCLAVE", note, stated=self._wanted.mrenclave.lower())
        pal = ""
        try:
            pal = hashlib.sha256(files.read(kind.pal, ENCLAVE_BYTES)).hexdigest()
        except OcclumError as error:
            table.failed(kind.pal, "SHA-256", error)
        its_key = key if image.type == ENCRYPTED else None
        return Known(kind, edmm, image, initfs, made.document, libos, mrenclave, pal, its_key)

    def _check_wanted(self, libos: Libos, mrenclave: str) -> None:
        expected = self._wanted.mrenclave
        if expected is not None:
            found = mrenclave or "(not recomputed)"
            self._table.compare("--expect", "MRENCLAVE", expected.lower(), found)
        check_signer(libos.sigstruct, self._wanted.mrsigner, self._table)

    def _check_records(self, known: Known) -> None:
        record, folder = self._given, self._target.records
        if self._wanted.measurement is not None:
            folder = self._wanted.measurement.parent
        elif folder is not None:
            record = self._read(folder / MEASUREMENT, MEASUREMENT_BYTES, from_bytes)
        manifest = None
        if folder is not None:
            manifest = self._read(folder / MANIFEST, MANIFEST_BYTES, manifest_from_bytes)
        if record is not None:
            check_record(record, known, self._table)
        check_digest(record, manifest, known.image, self._table)

    def _read(self, path: Path, limit: int, parse: _Parse) -> dict[str, Any] | None:
        """A file beside the instance: None where there is none, a row where it is of no use."""
        if not os.path.lexists(path):
            return None
        try:
            if path.is_symlink():
                raise OcclumError(CODE, "is a link, which is not followed")
            return parse(read_file(path, limit, code=CODE, name=path.name), path.name)
        except OcclumError as error:
            self._table.failed(path.name, "content", error)
            return None

    def _check_program(self, image: Sealed) -> None:
        program = self._target.program
        if not program:
            return
        if image.entries is None:
            note = "the content of the image cannot be read"
            self._table.unknown("config.json", "program", note, stated=program)
        elif program in image.described:
            self._table.agrees("config.json", "program", program, "it is in the image")
        else:
            note = "it is not in the image"
            self._table.differs("config.json", "program", note, stated=program)

    def _tell_limits(self, known: Known) -> None:
        """What no file can tell, or only somebody who is trusted."""
        table, libos = self._table, known.libos
        if libos is not None and self._wanted.mrenclave is None:
            note = "compare it with the libOS of an Occlum that you trust, or give --expect"
            table.unknown(SIGNED, "libOS without its MAC, SHA-256", note, stated=libos.original)
        note = "it runs outside of the enclave, and is not part of MRENCLAVE"
        table.unknown(known.kind.pal, "PAL, SHA-256", note, stated=known.pal)
        note = "compare MRENCLAVE with an attestation report: no file tells what runs"
        table.unknown("hardware", "whether this enclave runs", note)
