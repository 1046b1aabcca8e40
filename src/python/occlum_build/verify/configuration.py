"""The configuration of an instance: what its Occlum.json stands for, and what lies in `build/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.files.reading import content_of
from occlum_build.occlum.configure import PROTECTED, SYS_JSON, config_keys
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.protect import file_mac, protect_bytes, show_file
from occlum_build.sgx.config import GeneratedConfig, Node, generate, parse_json
from occlum_build.sgx.xml_config import PARAMETERS
from occlum_build.sgx.xml_reader import read_parameters
from occlum_build.sources.model import FILE
from occlum_build.verify.file_systems import header_of, unsealed
from occlum_build.verify.files import CODE, Files
from occlum_build.verify.rows import DIFFERS, MISSING, Row, Table

OCCLUM_JSON, ENCLAVE_XML = "Occlum.json", "build/Enclave.xml"
_PLAIN, _PROTECTED = f"build/{SYS_JSON}", f"build/{PROTECTED}"
# The MACs of both images and their texts: the plain text is some KB larger than its Occlum.json.
_MOST_OF_SYS_JSON = 4 * CONFIG_BYTES
_ASKED = f"{OCCLUM_JSON} asks for another"
_Keys = Callable[[bytes], Mapping[str, Any]]


@dataclass(frozen=True)
class Configuration:
    """`document` is the Occlum.json, `generated` what it and the file systems stand for.

    `mac`: that of the protected file with it, as a build burns it into the libOS; "" where unknown.
    """

    document: Node | None
    generated: GeneratedConfig | None
    mac: str


def check_configuration(
    files: Files, image_mac: str, initfs_mac: str, edmm: bool, table: Table
) -> Configuration:
    """Rows of all files of the configuration, by the Occlum.json and the MACs that were found."""
    document, generated = None, None
    try:
        document = parse_json(files.read(OCCLUM_JSON, CONFIG_BYTES), OCCLUM_JSON)
        if image_mac and initfs_mac:
            generated = generate(document, image_mac, initfs_mac, edmm)
    except OcclumError as error:
        table.failed(OCCLUM_JSON, "configuration", error)
    mac, (content, stated_mac) = "", _protected(files, table)
    if generated is None:
        table.differs(_PROTECTED, "content", "it cannot be recomputed")
    else:
        mac = format_mac(protect_bytes(generated.sys_json, SYS_JSON)[1])
    if generated is not None and content is not None:
        table.compare(_PROTECTED, "MAC", stated_mac, mac)
        _compare(_PROTECTED, content, generated.sys_json, _keys_of_json, table)
    for path, keys in ((_PLAIN, _keys_of_json), (ENCLAVE_XML, _keys_of_xml)):
        if generated is not None and files.is_whole:
            made = generated.sys_json if path == _PLAIN else generated.enclave_xml
            try:
                stated = files.read(path, _MOST_OF_SYS_JSON)
            except OcclumError as error:
                table.failed(path, "content", error)
                continue
            _compare(path, stated, made, keys, table)
    return Configuration(document, generated, mac)


def _protected(files: Files, table: Table) -> tuple[bytes | None, str]:
    """The content of the protected file and its MAC, where all its tags are right."""
    if files.kind(_PROTECTED) != FILE:
        table.differs(_PROTECTED, "tags", "there is no such file")
        return None, ""
    path, content = files.path(_PROTECTED), bytearray()
    try:
        for chunk in show_file(path):
            content += chunk
            if len(content) > _MOST_OF_SYS_JSON:
                raise OcclumError(CODE, "has more than any configuration")
        mac = format_mac(file_mac(path))
        with files.folders() as folders:
            table.rows += unsealed(_PROTECTED, header_of(folders, _PROTECTED)[1])
    except OcclumError as error:
        table.failed(_PROTECTED, "tags", error)
        return None, ""
    table.agrees(_PROTECTED, "tags", note=f"{len(content):,} bytes")
    return bytes(content), mac


def _compare(path: str, stated: bytes, made: bytes, keys: _Keys, table: Table) -> None:
    """One row where they are the same, and else one for each key that is not."""
    if stated == made:
        table.agrees(path, "content", note=f"{len(made):,} bytes, as {OCCLUM_JSON} asks for")
        return
    try:
        with content_of(path):
            before, after = keys(stated), keys(made)
    except OcclumError as error:
        table.failed(path, "content", error)
        return
    rows = [
        Row(path, name, DIFFERS, _text(before, name), _text(after, name), _ASKED)
        for name in sorted({*before, *after})
        if _text(before, name) != _text(after, name)
    ]
    table.some(rows or [Row(path, "content", DIFFERS, note="other bytes of the same meaning")])


def _keys_of_json(text: bytes) -> Mapping[str, Any]:
    return config_keys(parse_json(text, SYS_JSON))


def _keys_of_xml(text: bytes) -> Mapping[str, Any]:
    found = read_parameters(text, ENCLAVE_XML, PARAMETERS)
    return {name: element.value for name, element in found.items()}


def _text(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else MISSING
