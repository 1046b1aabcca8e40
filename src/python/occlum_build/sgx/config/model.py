"""The typed content of an Occlum.json and what is derived from it. Sizes are in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from occlum_build.errors import Problem
from occlum_build.sgx.config.jsontext import Node


@dataclass(frozen=True)
class ResourceLimits:
    """`resource_limits`: threads, and sizes in bytes; None where the file says nothing."""

    init_num_of_threads: int | None
    max_num_of_threads: int
    kernel_space_heap_size: int
    kernel_space_heap_max_size: int | None
    kernel_space_stack_size: int
    user_space_size: int
    user_space_max_size: int | None


@dataclass(frozen=True)
class ProcessDefaults:
    """`process`: size texts that only the libOS reads."""

    default_stack_size: str
    default_heap_size: str
    default_mmap_size: str


@dataclass(frozen=True)
class KssId:
    """128 bits for key separation and sharing, as two 64-bit halves."""

    high: int
    low: int


@dataclass(frozen=True)
class Metadata:
    """`metadata`; the two ids are 0 when KSS is off."""

    product_id: int
    version_number: int
    debuggable: bool
    enable_kss: bool
    disable_log: bool
    family_id: KssId
    ext_prod_id: KssId


@dataclass(frozen=True)
class Feature:
    """`feature`: CPU features (0, 1 or 2, see docs/occlum-json.md) and switches of the libOS."""

    amx: int
    pkru: int
    io_uring: int
    enable_edmm: bool
    enable_posix_shm: bool


@dataclass(frozen=True)
class MountOptions:
    """`options` of a mount; sizes stay texts, as the libOS reads them again."""

    mac: str | None = None
    layers: tuple[Mount, ...] | None = None
    temporary: bool = False
    cache_size: str | None = None
    disk_size: str | None = None


@dataclass(frozen=True)
class Mount:
    """One file system to mount in the enclave."""

    type: str
    target: str
    source: str | None = None
    options: MountOptions = MountOptions()


@dataclass(frozen=True)
class OcclumConfig:
    """A whole Occlum.json; `entry_points` and `env` are free-form JSON to gen-conf."""

    resource_limits: ResourceLimits
    process: ProcessDefaults
    entry_points: Node
    env: Node
    metadata: Metadata
    feature: Feature
    mount: tuple[Mount, ...]


@dataclass(frozen=True)
class Threads:
    """How many threads the enclave starts with, and at most has."""

    init: int
    maximum: int


@dataclass(frozen=True)
class Heap:
    """The libOS's own heap in bytes."""

    init: int
    maximum: int


@dataclass(frozen=True)
class UserSpace:
    """Memory of the processes in bytes: `reserved` is in the enclave from the start, `region` (EDMM
    only) is the address range for what is added at run time."""

    init: int
    maximum: int
    reserved: int
    region: int | None


@dataclass(frozen=True)
class EnclaveSettings:
    """What Enclave.xml says to the signing tool."""

    product_id: int
    version_number: int
    stack_size: int
    heap: Heap
    threads: Threads
    user_space: UserSpace
    debuggable: bool
    edmm: bool
    enable_kss: bool
    ext_prod_id: KssId
    family_id: KssId
    pkru: int
    amx: int


@dataclass(frozen=True)
class CheckedConfig:
    """A configuration without mistakes; `image_layer`: (mount, layer) that gets the image's MAC."""

    config: OcclumConfig
    settings: EnclaveSettings
    image_layer: tuple[int, int]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class GeneratedConfig:
    """The two files gen-conf makes, and what it warns of."""

    enclave_xml: bytes
    sys_json: bytes
    warnings: tuple[Problem, ...]
