"""JSON nodes -> OcclumConfig: which keys there are, which are required, and what null means.

The rules are serde's for Occlum 0.31 (docs/occlum-json.md): unknown keys are ignored (a warning),
known keys stand once, null is "not given" for optional keys only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from occlum_build.errors import OcclumError
from occlum_build.sgx.config.fields import Fields, kind
from occlum_build.sgx.config.findings import Findings, Path, shown
from occlum_build.sgx.config.jsontext import Node, Object, Scalar
from occlum_build.sgx.config.model import (
    Feature,
    KssId,
    Metadata,
    Mount,
    MountOptions,
    OcclumConfig,
    ProcessDefaults,
    ResourceLimits,
)

_HEX = re.compile(r"\+?([0-9a-fA-F]+)", re.ASCII)
_SECTIONS = ("resource_limits", "process", "entry_points", "env", "metadata", "feature", "mount")
_LIMITS = tuple(ResourceLimits.__dataclass_fields__)
_PROCESS = tuple(ProcessDefaults.__dataclass_fields__)
_METADATA = tuple(Metadata.__dataclass_fields__)
_FEATURE = tuple(Feature.__dataclass_fields__)
_KSS_ID = ("high", "low")
_MOUNT = ("type", "target", "source", "options")
_OPTIONS = ("MAC", "layers", "temporary", "cache_size", "disk_size")
_LIMITS_MOVED = {"marshal_buffer_size": "only Occlum's HYPER build reads it"}
_METADATA_MOVED = {
    "amx": "since Occlum 0.30.1 it is $.feature.amx",
    "pkru": "since Occlum 0.30.1 it is $.feature.pkru",
}


def read_config(document: Node, findings: Findings) -> OcclumConfig:
    """Read the whole file; values that the findings call unusable are placeholders."""
    if not isinstance(document, Object):
        message = f"$: expected an object, found {kind(document)}"
        raise OcclumError("config-type", message, place=document.place)
    top = Fields(findings, (), document, _SECTIONS)
    absent = Scalar(document.place, None, "null")
    return OcclumConfig(
        resource_limits=_resource_limits(top.section("resource_limits", _LIMITS, _LIMITS_MOVED)),
        process=_process(top.section("process", _PROCESS)),
        entry_points=top.node("entry_points") or absent,
        env=top.node("env") or absent,
        metadata=_metadata(top.section("metadata", _METADATA, _METADATA_MOVED)),
        feature=_feature(top.section("feature", _FEATURE)),
        mount=_mounts(findings, top.at("mount"), top.items("mount")),
    )


def _resource_limits(limits: Fields) -> ResourceLimits:
    threads, heap_max = "init_num_of_threads", "kernel_space_heap_max_size"
    return ResourceLimits(
        init_num_of_threads=limits.u32(threads) if limits.has(threads) else None,
        max_num_of_threads=limits.u32("max_num_of_threads"),
        kernel_space_heap_size=limits.size("kernel_space_heap_size"),
        kernel_space_heap_max_size=limits.size(heap_max) if limits.has(heap_max) else None,
        kernel_space_stack_size=limits.size("kernel_space_stack_size"),
        user_space_size=limits.size("user_space_size"),
        user_space_max_size=(
            limits.size("user_space_max_size") if limits.has("user_space_max_size") else None
        ),
    )


def _process(process: Fields) -> ProcessDefaults:
    return ProcessDefaults(
        default_stack_size=process.text("default_stack_size"),
        default_heap_size=process.text("default_heap_size"),
        default_mmap_size=process.text("default_mmap_size"),
    )


def _metadata(metadata: Fields) -> Metadata:
    debuggable = metadata.boolean("debuggable")
    enable_kss = metadata.boolean("enable_kss")
    return Metadata(
        product_id=metadata.u32("product_id"),
        version_number=metadata.u32("version_number"),
        debuggable=debuggable,
        enable_kss=enable_kss,
        disable_log=(
            metadata.boolean("disable_log") if metadata.has("disable_log") else not debuggable
        ),
        family_id=_kss_id(metadata.section("family_id", _KSS_ID), enable_kss),
        ext_prod_id=_kss_id(metadata.section("ext_prod_id", _KSS_ID), enable_kss),
    )


def _kss_id(halves: Fields, enable_kss: bool) -> KssId:
    """Both halves; with KSS off they must be strings, of which nothing but 0 makes sense."""
    values = []
    for name in _KSS_ID:
        text = halves.text(name)
        value = parse_hex64(text)
        if enable_kss and value is None:
            message = f"{shown(text)} is not a 64-bit hexadecimal number"
            halves.findings.error("config-kss-id", halves.at(name), message, 'as in "0x1f"')
        elif not enable_kss and value != 0:
            message = f"{shown(text)} is ignored, as enable_kss is false"
            halves.findings.warn("config-ignored", halves.at(name), message)
        values.append(value if enable_kss and value is not None else 0)
    return KssId(*values)


def parse_hex64(text: str) -> int | None:
    """A 64-bit number in hexadecimal digits after any number of "0x"; None when it is none."""
    while text.startswith("0x"):
        text = text[2:]
    match = _HEX.fullmatch(text)
    digits = match.group(1).lstrip("0") if match else ""
    if match is None or len(digits) > 16:
        return None
    return int(digits or "0", 16)


def _feature(feature: Fields) -> Feature:
    def number(name: str) -> int:
        return feature.u32(name) if feature.given(name) else 0

    def switch(name: str) -> bool:
        return feature.boolean(name) if feature.given(name) else False

    return Feature(
        amx=number("amx"),
        pkru=number("pkru"),
        io_uring=number("io_uring"),
        enable_edmm=switch("enable_edmm"),
        enable_posix_shm=switch("enable_posix_shm"),
    )


def _mounts(findings: Findings, path: Path, nodes: Sequence[Node]) -> tuple[Mount, ...]:
    mounts = []
    for index, node in enumerate(nodes):
        where = (*path, index)
        if isinstance(node, Object):
            mounts.append(_mount(Fields(findings, where, node, _MOUNT)))
        else:
            findings.error("config-type", where, f"expected an object, found {kind(node)}")
            mounts.append(Mount("", ""))
    return tuple(mounts)


def _mount(mount: Fields) -> Mount:
    return Mount(
        type=mount.text("type"),
        target=mount.text("target"),
        source=mount.optional_text("source"),
        options=(
            _options(mount.section("options", _OPTIONS))
            if mount.given("options")
            else MountOptions()
        ),
    )


def _options(options: Fields) -> MountOptions:
    layers = None
    if options.has("layers"):
        layers = _mounts(options.findings, options.at("layers"), options.items("layers"))
    return MountOptions(
        mac=options.optional_text("MAC"),
        layers=layers,
        temporary=options.boolean("temporary") if options.given("temporary") else False,
        cache_size=options.optional_text("cache_size"),
        disk_size=options.optional_text("disk_size"),
    )
