"""OcclumConfig -> EnclaveSettings: threads, heap and user space with and without EDMM.

The rules are those of Occlum 0.31 (docs/occlum-json.md, "Derived numbers"). With EDMM the enclave
starts with the initial sizes and grows at run time, up to maxima that have a lower bound.
"""

from __future__ import annotations

from occlum_build.sgx.config.findings import Findings, Path
from occlum_build.sgx.config.jsontext import U64_MAX
from occlum_build.sgx.config.model import (
    EnclaveSettings,
    Heap,
    OcclumConfig,
    ResourceLimits,
    Threads,
    UserSpace,
)

GIB = 1 << 30
EDMM_INIT_THREADS = 16
EDMM_MIN_MAX_THREADS = 4096
EDMM_MIN_MAX_HEAP = GIB
EDMM_MIN_MAX_USER_SPACE = 16 * GIB
EDMM_REGION_EXTRA = GIB  # address space of the region beyond the user space
EDMM_PATH: Path = ("feature", "enable_edmm")


def limit_path(name: str) -> Path:
    return ("resource_limits", name)


def enclave_settings(config: OcclumConfig, edmm: bool, findings: Findings) -> EnclaveSettings:
    """What goes into Enclave.xml; `edmm`: the platform has it (the file can ask for it too)."""
    edmm = edmm or config.feature.enable_edmm
    limits = config.resource_limits
    return EnclaveSettings(
        product_id=config.metadata.product_id,
        version_number=config.metadata.version_number,
        stack_size=limits.kernel_space_stack_size,
        heap=_heap(limits, edmm, findings),
        threads=_threads(limits, edmm, findings),
        user_space=_user_space(limits, edmm, findings),
        debuggable=config.metadata.debuggable,
        edmm=edmm,
        enable_kss=config.metadata.enable_kss,
        ext_prod_id=config.metadata.ext_prod_id,
        family_id=config.metadata.family_id,
        pkru=config.feature.pkru,
        amx=config.feature.amx,
    )


def _threads(limits: ResourceLimits, edmm: bool, findings: Findings) -> Threads:
    if not edmm:
        return Threads(limits.max_num_of_threads, limits.max_num_of_threads)
    init = limits.init_num_of_threads
    if init is None:
        init = min(EDMM_INIT_THREADS, limits.max_num_of_threads)
    threads = Threads(init, max(limits.max_num_of_threads, EDMM_MIN_MAX_THREADS))
    path = limit_path("init_num_of_threads")
    if init > threads.maximum and findings.usable(
        path, limit_path("max_num_of_threads"), EDMM_PATH
    ):
        message = f"{init} is more than the maximum, which is {threads.maximum} with EDMM"
        findings.error("config-limits", path, message, "make max_num_of_threads larger")
    return threads


def _heap(limits: ResourceLimits, edmm: bool, findings: Findings) -> Heap:
    init, maximum = limits.kernel_space_heap_size, limits.kernel_space_heap_max_size
    if not edmm:
        # All of the heap is there from the start: the maximum replaces the initial size.
        return Heap(init, init) if maximum is None else Heap(maximum, maximum)
    heap = Heap(init, max(init if maximum is None else maximum, EDMM_MIN_MAX_HEAP))
    _ordered(init, heap.maximum, "kernel_space_heap_size", "kernel_space_heap_max_size", findings)
    return heap


def _user_space(limits: ResourceLimits, edmm: bool, findings: Findings) -> UserSpace:
    init = limits.user_space_size
    maximum = init if limits.user_space_max_size is None else limits.user_space_max_size
    if edmm:
        maximum = max(maximum, EDMM_MIN_MAX_USER_SPACE)
    _ordered(init, maximum, "user_space_size", "user_space_max_size", findings)
    if not edmm:
        return UserSpace(init, maximum, reserved=maximum, region=None)
    region = maximum if maximum == init else maximum + EDMM_REGION_EXTRA
    if region > U64_MAX:
        message = f"with 1 GiB more for EDMM, {maximum} bytes are more than 2^64-1"
        findings.error("config-size", limit_path("user_space_max_size"), message)
    return UserSpace(init, maximum, reserved=init, region=region)


def _ordered(init: int, maximum: int, init_name: str, max_name: str, findings: Findings) -> None:
    path = limit_path(max_name)
    if init > maximum and findings.usable(path, limit_path(init_name), EDMM_PATH):
        message = f"the maximum, {maximum} bytes, is less than {init_name}, {init} bytes"
        findings.error("config-limits", path, message)
