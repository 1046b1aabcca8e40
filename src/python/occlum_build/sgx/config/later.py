"""What gen-conf takes, but the signing tool or the libOS refuses or ignores: warnings, and notes.

sgx_sign's limits on Enclave.xml, and what the libOS wants of the system config at boot
(docs/occlum-json.md, "What later stages require"). For mounts see later_mounts.
"""

from __future__ import annotations

from occlum_build.sgx.config.fields import kind, nearest
from occlum_build.sgx.config.findings import Findings, Path, shown
from occlum_build.sgx.config.jsontext import Array, Node, Object, Scalar
from occlum_build.sgx.config.limits import (
    EDMM_MIN_MAX_HEAP,
    EDMM_MIN_MAX_USER_SPACE,
    EDMM_PATH,
    limit_path,
)
from occlum_build.sgx.config.model import (
    EnclaveSettings,
    OcclumConfig,
    ProcessDefaults,
    ResourceLimits,
)
from occlum_build.sgx.config.sizes import PAGE, parse_size, size_hint

MAX_ID = 0xFFFF
MAX_CPU_FEATURE = 2
MIN_STACK_SIZE = 0x2000
MAX_MEMORY_SIZE = (2**64 - 1) // 2
_HEAP = "kernel_space_heap_size"
_ENV_KEYS = ("default", "untrusted")
_SIZES = tuple(name for name in ResourceLimits.__dataclass_fields__ if name.endswith("_size"))


def warn_of_later(config: OcclumConfig, settings: EnclaveSettings, findings: Findings) -> None:
    """Everything outside `mount` that fails, or counts for nothing, after gen-conf."""
    _signed_numbers(config, findings)
    _signed_sizes(config.resource_limits, settings, findings)
    if findings.usable(EDMM_PATH):
        if settings.edmm:
            _raised(config.resource_limits, findings)
        else:
            _ignored(config.resource_limits, findings)
    _process(config, settings, findings)
    _entry_points(config.entry_points, findings)
    _env(config.env, findings)


def _signed_numbers(config: OcclumConfig, findings: Findings) -> None:
    metadata, feature = config.metadata, config.feature
    for name, number in (
        ("product_id", metadata.product_id),
        ("version_number", metadata.version_number),
    ):
        if number > MAX_ID:
            message = f"{number} does not fit 16 bits: sgx_sign takes 0 to {MAX_ID}"
            findings.warn("sign-id", ("metadata", name), message)
    for name, number in (("amx", feature.amx), ("pkru", feature.pkru)):
        if number > MAX_CPU_FEATURE:
            message = f"{number} is not 0, 1 or 2: sgx_sign refuses it"
            findings.warn("sign-feature", ("feature", name), message)


def _signed_sizes(limits: ResourceLimits, settings: EnclaveSettings, findings: Findings) -> None:
    for name in _SIZES:
        size = getattr(limits, name)
        if size is None:
            continue
        if size % PAGE:
            message = f"{size} bytes are not a multiple of {PAGE}, as sgx_sign wants"
            findings.warn("sign-page", limit_path(name), message)
        if size > MAX_MEMORY_SIZE:
            message = f"{size} bytes are more than sgx_sign takes, {MAX_MEMORY_SIZE}"
            findings.warn("sign-size", limit_path(name), message)
    if limits.kernel_space_stack_size < MIN_STACK_SIZE:
        stack = limits.kernel_space_stack_size
        message = f"{stack} bytes are less than sgx_sign's minimum, {MIN_STACK_SIZE} (8KB)"
        findings.warn("sign-stack", limit_path("kernel_space_stack_size"), message)
    if settings.user_space.reserved == 0:
        message = "without user space no process can run"
        findings.warn("libos-user-space", limit_path("user_space_size"), message)
    if settings.threads.init == 0:
        chosen = settings.edmm and limits.init_num_of_threads is not None
        name = "init_num_of_threads" if chosen else "max_num_of_threads"
        message = "the enclave would have no thread; sgx_sign wants at least 1"
        findings.warn("sign-threads", limit_path(name), message)


def _raised(limits: ResourceLimits, findings: Findings) -> None:
    """Maxima below EDMM's own: what one file for machines with and without EDMM has."""
    for name, size, minimum in (
        ("kernel_space_heap_max_size", limits.kernel_space_heap_max_size, EDMM_MIN_MAX_HEAP),
        ("user_space_max_size", limits.user_space_max_size, EDMM_MIN_MAX_USER_SPACE),
    ):
        if size is not None and size < minimum:
            message = f"{size} bytes count without EDMM only: with EDMM it is at least {minimum}"
            findings.note("config-edmm", limit_path(name), message)


def _ignored(limits: ResourceLimits, findings: Findings) -> None:
    """Initial sizes, for which EDMM is needed; one of the heap above its maximum is a mistake."""
    if limits.init_num_of_threads is not None:
        message = "counts with EDMM only: without it all of max_num_of_threads are there at once"
        findings.note("config-edmm", limit_path("init_num_of_threads"), message)
    init, maximum = limits.kernel_space_heap_size, limits.kernel_space_heap_max_size
    if maximum is None or maximum == init or not findings.usable(limit_path(_HEAP)):
        return
    path = limit_path("kernel_space_heap_max_size")
    message = f"without EDMM the heap has its maximum at once; {_HEAP}, {init}, "
    if init < maximum:
        findings.note("config-edmm", path, f"{message}counts with EDMM only")
    else:
        hint = "give both the same size, or no maximum"
        findings.warn("config-ignored", path, f"{message}is ignored, though it is larger", hint)


def _process(config: OcclumConfig, settings: EnclaveSettings, findings: Findings) -> None:
    for name in ProcessDefaults.__dataclass_fields__:
        warn_of_size(getattr(config.process, name), ("process", name), findings)
    heap, stack = config.process.default_heap_size, config.process.default_stack_size
    sizes = [parse_size(text) or 0 for text in (heap, stack)]
    space = settings.user_space.maximum
    limits = (limit_path("user_space_size"), limit_path("user_space_max_size"), EDMM_PATH)
    # The first process takes both, and room for its program, from the user space.
    if sum(sizes) >= space > 0 and findings.usable(*limits):
        message = (
            f"{shown(heap)} and the default_stack_size, {shown(stack)}, leave no room in the user "
            f"space, {space} bytes: no process can start"
        )
        hint = "make resource_limits.user_space_size larger, or these sizes smaller"
        findings.warn("libos-user-space", ("process", "default_heap_size"), message, hint)


def warn_of_size(text: str, path: Path, findings: Findings) -> None:
    """Warn of a size that only the libOS reads, when it cannot."""
    if parse_size(text) is None:
        message = f"{shown(text)} is not a size: the libOS fails at boot"
        findings.warn("libos-size", path, message, size_hint(text))


def _entry_points(node: Node, findings: Findings) -> None:
    path: Path = ("entry_points",)
    _repeated_keys(node, path, findings)
    for index, text in enumerate(_strings(node, path, findings)):
        if not text.startswith("/"):
            message = f"{shown(text)} is not absolute: the libOS fails at boot"
            findings.warn("libos-entry-point", (*path, index), message)
    if isinstance(node, Array) and not node.items:
        findings.warn("libos-entry-point", path, "without an entry point no program can be run")


def _env(node: Node, findings: Findings) -> None:
    path: Path = ("env",)
    _repeated_keys(node, path, findings)
    if not isinstance(node, Object):
        message = f"the libOS wants an object, found {kind(node)}"
        findings.warn("libos-env", path, message)
        return
    for key, value in node.members:
        where = (*path, key.name)
        if key.name in _ENV_KEYS:
            _strings(value, where, findings)
        else:
            message = "unknown key: the libOS fails at boot"
            hint = nearest(key.name, _ENV_KEYS)
            findings.warn("libos-env", where, message, hint, place=key.place)
    for name in _ENV_KEYS:
        if node.get(name) is None:
            message = "the key is missing: the libOS fails at boot"
            findings.warn("libos-env", (*path, name), message, f'write "{name}": []')


def _strings(node: Node, path: Path, findings: Findings) -> list[str]:
    """The items of a list of strings; for others "/", after a warning."""
    if not isinstance(node, Array):
        findings.warn("libos-type", path, f"the libOS wants a list of strings, found {kind(node)}")
        return []
    texts = []
    for index, item in enumerate(node.items):
        if isinstance(item, Scalar) and isinstance(item.value, str):
            texts.append(item.value)
        else:
            texts.append("/")
            message = f"the libOS wants a string, found {kind(item)}"
            findings.warn("libos-type", (*path, index), message)
    return texts


def _repeated_keys(node: Node, path: Path, findings: Findings) -> None:
    """In free-form JSON the last one of equal keys counts, without a word from Occlum's tool."""
    if isinstance(node, Object):
        for key in node.repeated:
            message = "the key is given more than once: the last one counts"
            where = (*path, key.name)
            findings.warn("config-repeated-key", where, message, place=key.place)
        for key, value in node.members:
            _repeated_keys(value, (*path, key.name), findings)
    elif isinstance(node, Array):
        for index, item in enumerate(node.items):
            _repeated_keys(item, (*path, index), findings)
