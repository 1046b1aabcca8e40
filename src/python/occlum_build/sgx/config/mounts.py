"""Checks of mounts that Occlum's own tool makes: cache and disk sizes, the root's image layer."""

from __future__ import annotations

from occlum_build.sgx.config.findings import Findings, Path, shown
from occlum_build.sgx.config.limits import EDMM_PATH, limit_path
from occlum_build.sgx.config.model import Mount
from occlum_build.sgx.config.sizes import PAGE, parse_size, size_hint

MIN_CACHE_SIZE = 48 * PAGE
MIN_DISK_SIZE = 5 << 30


def check_mounts(mounts: tuple[Mount, ...], heap_max_size: int, findings: Findings) -> None:
    """Check the sizes in the options of the mounts (their layers are the libOS's business).

    heap_max_size: of the libOS's heap, in bytes; the caches are allocated there.
    """
    for index, mount in enumerate(mounts):
        path: Path = ("mount", index, "options")
        if mount.options.cache_size is not None:
            _cache_size(mount.options.cache_size, (*path, "cache_size"), heap_max_size, findings)
        disk_size = mount.options.disk_size
        if disk_size is not None:
            _disk_size(disk_size, (*path, "disk_size"), findings)
        elif mount.type == "ext2":
            message = f"an ext2 mount needs a disk_size of at least {MIN_DISK_SIZE} bytes"
            findings.error("config-disk-size", (*path, "disk_size"), message, 'as in "5GB"')


def _cache_size(text: str, path: Path, heap_max_size: int, findings: Findings) -> None:
    size = _size(text, path, findings)
    heap_paths = [
        limit_path(name) for name in ("kernel_space_heap_size", "kernel_space_heap_max_size")
    ]
    if size is None:
        return
    if size < MIN_CACHE_SIZE:
        message = f"{size} bytes are less than the minimum, {MIN_CACHE_SIZE} (48 pages)"
        findings.error("config-cache-size", path, message, spoils=False)
    if size % PAGE:
        message = f"{size} bytes are not a multiple of the page size, {PAGE}"
        findings.error("config-cache-size", path, message, spoils=False)
    if size > heap_max_size and findings.usable(*heap_paths, EDMM_PATH):
        message = f"{size} bytes are more than the libOS's heap, which is at most {heap_max_size}"
        hint = "make kernel_space_heap_size larger"
        findings.error("config-cache-size", path, message, hint, spoils=False)


def _disk_size(text: str, path: Path, findings: Findings) -> None:
    size = _size(text, path, findings)
    if size is not None and size < MIN_DISK_SIZE:
        message = f"{size} bytes are less than the minimum, {MIN_DISK_SIZE} (5GB)"
        findings.error("config-disk-size", path, message)


def _size(text: str, path: Path, findings: Findings) -> int | None:
    size = parse_size(text)
    if size is None:
        message = f"{shown(text)} is not a size"
        findings.error("config-size", path, message, size_hint(text))
    return size


def image_layer(mounts: tuple[Mount, ...], findings: Findings) -> tuple[int, int]:
    """Indices of the root mount and of the layer that is the image; (0, 0) when one is missing.

    The root is the first unionfs mount on "/", its image layer the first sefs on "/" with a MAC
    (any text: the image's MAC replaces it).
    """
    root = next((i for i, m in enumerate(mounts) if (m.type, m.target) == ("unionfs", "/")), None)
    if root is None:
        if _readable(("mount",), len(mounts), findings):
            message = 'there is no mount of type "unionfs" with the target "/"'
            findings.error("config-root", ("mount",), message, "it is the root file system")
        return 0, 0
    path: Path = ("mount", root, "options", "layers")
    layers = mounts[root].options.layers
    if layers is None:
        findings.error("config-root", path, "the root unionfs has no layers")
        return 0, 0
    for index, layer in enumerate(layers):
        if (layer.type, layer.target) == ("sefs", "/") and layer.options.mac is not None:
            return root, index
    if _readable(path, len(layers), findings):
        message = 'no layer is the image: of type "sefs", with the target "/" and a MAC'
        findings.error("config-root", path, message, 'the image\'s has "options": {"MAC": ""}')
    return 0, 0


def _readable(path: Path, count: int, findings: Findings) -> bool:
    """Whether it is known what these mounts are, so that a missing one is really missing."""
    members = ("type", "target", "options")
    return findings.usable(*((*path, i, name) for i in range(count) for name in members))
