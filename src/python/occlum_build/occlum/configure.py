"""The step between the secure file systems and the signature; pure, and it needs no key.

Process: `python -m occlum_build.occlum.configure REQUEST.json OUT` (see `_step`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.errors import WARNING, OcclumError, Problem
from occlum_build.files.bounds import (
    CONFIG_BYTES,
    ENCLAVE_BYTES,
    MEASUREMENT_BYTES,
    STATE_BYTES,
    shown_bytes,
)
from occlum_build.files.reading import read_file
from occlum_build.occlum.runtime_boot import check_hostfs
from occlum_build.occlum.toolchain import check_mode
from occlum_build.process.step import run_step
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.protect import protect_bytes
from occlum_build.sgx.builtin_config import patch_builtin_config
from occlum_build.sgx.config import Node, default_config, generate, merge, parse_json
from occlum_build.sgx.config.jsontext import plain
from occlum_build.sgx.sign import DEFAULT_DATE, Unsigned, prepare

SYS_JSON, PROTECTED, ENCLAVE_XML = ".Occlum_sys.json", ".Occlum_sys.json.protected", "Enclave.xml"
LIBOS, UNSIGNED, SIGNING_DATA = "libos.so", "unsigned.json", "signing-data"
OCCLUM_JSON, CONFIG_KEYS, WARNINGS = "Occlum.json", "config-keys.json", "warnings.json"


@dataclass(frozen=True)
class Settings:
    """What a build is told besides its files.

    `edmm` counts in mode HW only. `with_newline`: docs/sgx-signing.md, section "The MAC".
    `date`: YYYYMMDD, of SIGSTRUCT.
    """

    sgx_mode: str = "HW"
    edmm: bool = False
    date: str = DEFAULT_DATE
    with_newline: bool = True
    strict: bool = False

    @property
    def is_for_edmm(self) -> bool:
        return self.edmm and self.sgx_mode == "HW"


@dataclass(frozen=True)
class Configured:
    """What the step makes; `libos` is the patched, unsigned enclave file."""

    libos: bytes
    enclave_xml: bytes
    sys_json: bytes
    protected: bytes
    unsigned: Unsigned
    warnings: tuple[Problem, ...]

    def files(self) -> dict[str, bytes]:
        """All outputs by the names that the process gives them."""
        return {
            LIBOS: self.libos,
            ENCLAVE_XML: self.enclave_xml,
            SYS_JSON: self.sys_json,
            PROTECTED: self.protected,
            UNSIGNED: _json(self.unsigned.to_json()),
            SIGNING_DATA: self.unsigned.signing_data,
        }


def configure(
    config: Node, libos: bytes, image_mac: str, initfs_mac: str, settings: Settings
) -> Configured:
    """Generate both configurations, burn the MAC of one into the libOS and measure it.

    Raises what gen-conf, `patch_builtin_config` and `prepare` raise.
    """
    check_mode(settings.sgx_mode)
    generated = generate(
        config, image_mac, initfs_mac, settings.is_for_edmm, strict=settings.strict
    )
    protected, mac = _protect(generated.sys_json)
    patched = patch_builtin_config(libos, mac, with_newline=settings.with_newline)
    warnings = list(generated.warnings)
    if settings.sgx_mode == "HYPER":
        warnings.append(_HYPER)
    return Configured(
        libos=patched,
        enclave_xml=generated.enclave_xml,
        sys_json=generated.sys_json,
        protected=protected,
        unsigned=prepare(patched, generated.enclave_xml, settings.date),
        warnings=tuple(warnings),
    )


_HYPER = Problem(
    "sgx-mode",
    "HYPER: the enclave is laid out without a marshal buffer and measured as for SGX hardware",
    hint="for HyperEnclave sign build/lib/libocclum-libos.so with its own sgx_sign_hyper",
    severity=WARNING,
)


def mounts_ext2(config: Node) -> bool:
    """Is an ext2 file system mounted? As Occlum looks: top-level mounts, of any configuration."""
    document = plain(config)
    mounts = document.get("mount") if isinstance(document, dict) else None
    found = mounts if isinstance(mounts, list) else []
    return any(isinstance(mount, dict) and mount.get("type") == "ext2" for mount in found)


def config_keys(config: Node) -> dict[str, Any]:
    """The configuration flat: JSON path (`$.mount[0].type`) -> value of each leaf.

    Raises OcclumError `json-size` where the paths have more than a measurement.json may have.
    """
    found: dict[str, Any] = {}
    pending, size = [("$", plain(config))], 0
    while pending:
        path, value = pending.pop()
        size += len(path)
        if size > MEASUREMENT_BYTES:  # a long key above many others is in the path of each
            most = shown_bytes(MEASUREMENT_BYTES)
            raise OcclumError("json-size", f"the paths of its keys have more than {most}")
        if isinstance(value, dict) and value:
            pending += [(f"{path}.{name}", child) for name, child in value.items()]
        elif isinstance(value, list) and value:
            pending += [(f"{path}[{index}]", child) for index, child in enumerate(value)]
        else:
            found[path] = value
    return dict(sorted(found.items()))


def read_config(files: Sequence[Path]) -> Node:
    """The first file, or Occlum's default when there is none, with the others merged over it."""
    documents = [
        parse_json(read_file(path, CONFIG_BYTES, large="json-size"), str(path)) for path in files
    ]
    config = documents[0] if documents else default_config()
    for patch in documents[1:]:
        config = merge(config, patch)
    return config


def _protect(sys_json: bytes) -> tuple[bytes, str]:
    """The protected file of the system config, which holds its own name, and its MAC as text."""
    protected, mac = protect_bytes(sys_json, SYS_JSON)
    return protected, format_mac(mac)


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _step(request_file: str, out: str) -> None:
    """Write the files of `Configured.files` and three more into OUT, which must not exist.

    REQUEST: {"configs": files, the first whole (Occlum's default without any) and patches of it,
    "libos": file, "image_mac": file, "initfs_mac": file, "sgx_mode", "edmm", "date",
    "with_newline", "strict", "needs_hostfs": whether a mount must be a hostfs}. The others:
    `Occlum.json` as merged, `config-keys.json`, and `warnings.json`, a list of problems.
    """
    request = json.loads(Path(request_file).read_bytes())
    config = read_config([Path(path) for path in request["configs"]])
    image_mac, initfs_mac = (
        read_file(Path(request[name]), STATE_BYTES).decode("ascii", "replace")
        for name in ("image_mac", "initfs_mac")
    )
    names = ("sgx_mode", "edmm", "date", "with_newline", "strict")
    settings = Settings(**{name: request[name] for name in names if name in request})
    libos = read_file(Path(request["libos"]), ENCLAVE_BYTES)
    configured = configure(config, libos, image_mac, initfs_mac, settings)
    if request.get("needs_hostfs"):
        check_hostfs(config)
    files = configured.files()
    files[OCCLUM_JSON] = _json(plain(config))
    files[CONFIG_KEYS] = _json(config_keys(config))
    files[WARNINGS] = _json([warning.to_json() for warning in configured.warnings])
    folder = Path(out)
    folder.mkdir()
    for name, content in sorted(files.items()):
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.occlum.configure REQUEST.json OUT"))
