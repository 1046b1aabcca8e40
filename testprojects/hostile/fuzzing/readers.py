"""Every reader of what others make, by name: a function of bytes that raises only OcclumError."""

from __future__ import annotations

from typing import Callable

from hostile.fuzzing import (
    binary_readers,
    cache_readers,
    deb_readers,
    package_readers,
    report_readers,
    sbom_readers,
    switch_readers,
    text_readers,
    trace_readers,
    verify_readers,
    wheel_readers,
)

Reader = Callable[[bytes], None]

READERS: dict[str, Reader] = {
    "archive": binary_readers.archive,
    "bom": text_readers.bom,
    "deb": deb_readers.deb,
    "deb_index": deb_readers.deb_index,
    "demo_script": switch_readers.demo_script,
    "dist_index": cache_readers.dist_index,
    "dpkg": text_readers.dpkg,
    "elf": binary_readers.elf,
    "enclave": binary_readers.enclave,
    "enclave_xml": binary_readers.enclave_xml,
    "hash_memo": cache_readers.hash_memo,
    "image_files": text_readers.image_files,
    "image_report": report_readers.image_report,
    "json": text_readers.json_document,
    "keys": binary_readers.keys,
    "loader": text_readers.loader,
    "lock": text_readers.lock,
    "maintainer_script": deb_readers.maintainer_script,
    "manifest": text_readers.manifest,
    "measurement": text_readers.measurement,
    "occlum_json": text_readers.occlum_json,
    "oci_layout": report_readers.oci_layout,
    "oci_settings": text_readers.oci_settings,
    "packages_config": package_readers.packages_config,
    "packages_index": package_readers.packages_index,
    "packages_lock": package_readers.packages_lock,
    "packages_packed": package_readers.packages_packed,
    "packages_release": package_readers.packages_release,
    "packages_signature": package_readers.packages_signature,
    "protected_file": binary_readers.protected_file,
    "sbom": sbom_readers.sbom,
    "sefs": binary_readers.sefs,
    "sigstruct": binary_readers.sigstruct,
    "toolchain": binary_readers.toolchain,
    "trace": trace_readers.trace,
    "unsigned": binary_readers.unsigned,
    "verified": verify_readers.verified,
    "version_header": text_readers.version_header,
    "wheel": wheel_readers.wheel,
    "wheels_lock": wheel_readers.wheels_lock,
}

# Those of JSON: changed as such, and not as bytes alone.
JSON_READERS = frozenset(
    [
        *("deb_index", "dist_index", "hash_memo", "json", "lock", "manifest", "measurement"),
        *("occlum_json", "packages_lock", "unsigned"),
    ]
)
