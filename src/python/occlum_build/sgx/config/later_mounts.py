"""Mounts that gen-conf takes but the libOS refuses at boot, or that count for nothing: warnings."""

from __future__ import annotations

import re

from occlum_build.sgx.config.fields import nearest
from occlum_build.sgx.config.findings import Findings, Path, shown
from occlum_build.sgx.config.later import warn_of_size
from occlum_build.sgx.config.model import Mount, MountOptions

MOUNT_TYPES = ("devfs", "ext2", "hostfs", "procfs", "ramfs", "sefs", "unionfs")
# Types that need a source, with the hint for one that has none.
_WITH_SOURCE = {
    "hostfs": "name a directory of the host, absolute or relative to the instance",
    "sefs": 'name its directory on the host, relative to the instance, as in "./run/mount/data"',
}
_OWN_MOUNTS = {"/proc": "procfs", "/dev": "devfs"}
_MAC = re.compile(r"\+?0*[0-9a-fA-F]{1,2}(?:-\+?0*[0-9a-fA-F]{1,2}){15}", re.ASCII)


def warn_of_mounts(
    mounts: tuple[Mount, ...], image_layer: tuple[int, int], findings: Findings
) -> None:
    """Check all mounts and their layers; image_layer: the (mount, layer) that gets the MAC."""
    root, layer = image_layer
    image: Path = ("mount", root, "options", "layers", layer)
    for index, mount in enumerate(mounts):
        path: Path = ("mount", index)
        _mount(mount, path, image, findings)
        if mount.target == "/" and index != root:
            message = f'a second root: the mount of "/" is {_name(root)}, only it gets the MAC'
            findings.warn("libos-mount", (*path, "target"), message)
        if mount.target in _OWN_MOUNTS:
            message = f"Occlum mounts {_OWN_MOUNTS[mount.target]} here by itself"
            findings.warn("libos-mount", (*path, "target"), message, "leave this mount out")
    if root < len(mounts):
        _container_layer(mounts[root], ("mount", root, "options", "layers"), findings)


def _name(index: int) -> str:
    return f"$.mount[{index}]"


def _mount(mount: Mount, path: Path, image: Path, findings: Findings) -> None:
    if mount.type not in MOUNT_TYPES:
        message = f"{shown(mount.type)} is no file system of the libOS: it fails at boot"
        findings.warn("libos-mount", (*path, "type"), message, nearest(mount.type, MOUNT_TYPES))
    if not mount.target.startswith("/"):
        message = f"{shown(mount.target)} is not absolute: the libOS fails at boot"
        findings.warn("libos-mount", (*path, "target"), message)
    options_path: Path = (*path, "options")
    _mac(mount.options, options_path, path == image, findings)
    if len(path) > 2:  # a layer: gen-conf itself checks those of a mount only
        for name in ("cache_size", "disk_size"):
            text = getattr(mount.options, name)
            if text is not None:
                warn_of_size(text, (*options_path, name), findings)
    if mount.type in _WITH_SOURCE and mount.source is None:
        message = f"a {mount.type} without a source: the libOS fails at boot"
        findings.warn("libos-mount", (*path, "source"), message, _WITH_SOURCE[mount.type])
    if mount.type == "unionfs" and mount.target != "/":
        _union(mount.options.layers or (), (*options_path, "layers"), findings)
    for index, layer in enumerate(mount.options.layers or ()):
        _mount(layer, (*options_path, "layers", index), image, findings)


def _union(layers: tuple[Mount, ...], path: Path, findings: Findings) -> None:
    """The two layers of a union that is not the root: what is there, and what takes the changes."""
    types = [layer.type for layer in layers]
    if types[:2] != ["sefs", "sefs"]:
        found = ", ".join(map(shown, types)) or "none"
        message = f"the layers of a unionfs must be two of type 'sefs', not {found}: "
        findings.warn("libos-mount", path, message + "the libOS fails at boot")
    elif len(types) > 2:
        message = "only the first two layers count"
        findings.warn("config-ignored", (*path, 2), message, "leave the others out")


def _mac(options: MountOptions, path: Path, is_image: bool, findings: Findings) -> None:
    if options.mac is None:
        return
    mac_path = (*path, "MAC")
    if is_image:
        if options.mac:
            message = "ignored: the MAC of the image replaces it"
            findings.warn("config-ignored", mac_path, message, 'write ""')
    elif not _MAC.fullmatch(options.mac):
        message = f"{shown(options.mac)} is not 16 bytes in hexadecimal: the libOS fails at boot"
        findings.warn("libos-mac", mac_path, message, 'as in "00-11-...-ff"')
    if options.temporary:
        message = "the libOS refuses a temporary file system that has a MAC"
        findings.warn("libos-mount", (*path, "temporary"), message)


def _container_layer(root: Mount, path: Path, findings: Findings) -> None:
    """The root needs a layer to write to: a sefs on "/" without a MAC."""
    layers = root.options.layers
    if layers is not None and not any(
        (layer.type, layer.target, layer.options.mac) == ("sefs", "/", None) for layer in layers
    ):
        message = (
            'no layer takes what is written: of type "sefs", with the target "/" and no MAC: '
            "the libOS fails at boot"
        )
        hint = 'add {"target": "/", "type": "sefs", "source": "./run/mount/__ROOT"}'
        findings.warn("libos-mount", path, message, hint)
