"""OcclumConfig -> the system config (.Occlum_sys.json) that the libOS reads at boot, Occlum 0.31.

Its bytes are measured: the MAC of the protected file goes into the libOS, and so into MRENCLAVE.
The outer keys stand in the order below, those of `env` and `app` are sorted.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from occlum_build.sgx.config.jsonbytes import pretty, sort_keys
from occlum_build.sgx.config.jsontext import plain
from occlum_build.sgx.config.model import CheckedConfig, Mount, MountOptions

_PROC_AND_DEV = (Mount("procfs", "/proc"), Mount("devfs", "/dev"))


def sys_json(checked: CheckedConfig, image_mac: str, initfs_mac: str) -> bytes:
    """The file's bytes; the MACs (47 characters) bind the root file systems to the enclave."""
    config, user_space = checked.config, checked.settings.user_space
    mounts = _with_image_mac(config.mount, checked.image_layer, image_mac)
    app = [
        _app("init", ["/bin"], (_initfs_root(initfs_mac), *_PROC_AND_DEV)),
        _app("app", plain(config.entry_points), (*_PROC_AND_DEV, *mounts)),
    ]
    document = {
        "resource_limits": {
            "user_space_init_size": f"{user_space.init}B",
            "user_space_max_size": f"{user_space.maximum}B",
        },
        "process": asdict(config.process),
        "env": sort_keys(plain(config.env)),
        "disable_log": config.metadata.disable_log,
        "app": sort_keys(app),
        "feature": asdict(config.feature),
    }
    return pretty(document)


def _app(stage: str, entry_points: Any, mounts: tuple[Mount, ...]) -> dict[str, Any]:
    return {
        "stage": stage,
        "entry_points": entry_points,
        "mount": [_mount(mount) for mount in mounts],
    }


def _initfs_root(mac: str) -> Mount:
    image = Mount("sefs", "/", "./build/initfs/__ROOT", MountOptions(mac=mac))
    container = Mount("sefs", "/", "./run/initfs/__ROOT")
    return Mount("unionfs", "/", options=MountOptions(layers=(image, container)))


def _with_image_mac(
    mounts: tuple[Mount, ...], image_layer: tuple[int, int], mac: str
) -> tuple[Mount, ...]:
    root, image = image_layer
    options = mounts[root].options
    layers = list(options.layers or ())
    layers[image] = replace(layers[image], options=replace(layers[image].options, mac=mac))
    with_mac = replace(mounts[root], options=replace(options, layers=tuple(layers)))
    return (*mounts[:root], with_mac, *mounts[root + 1 :])


def _mount(mount: Mount) -> dict[str, Any]:
    """Only what is given: neither a null source nor empty options."""
    members: dict[str, Any] = {"type": mount.type, "target": mount.target}
    if mount.source is not None:
        members["source"] = mount.source
    if mount.options != MountOptions():
        members["options"] = _options(mount.options)
    return members


def _options(options: MountOptions) -> dict[str, Any]:
    layers = options.layers
    members = {
        "MAC": options.mac,
        "cache_size": options.cache_size,
        "disk_size": options.disk_size,
        "layers": None if layers is None else [_mount(layer) for layer in layers],
        "temporary": options.temporary or None,
    }
    return {name: value for name, value in members.items() if value is not None}
