"""The initfs: the small tree that `/bin/init` runs from before the image is mounted.

Process: `python -m occlum_build.occlum.initfs REQUEST.json TOOLCHAIN OUT` (see `_step`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.files.reading import read_file
from occlum_build.files.secret import no_core_dumps
from occlum_build.occlum import entries as tree
from occlum_build.occlum.adding import with_added
from occlum_build.occlum.entries import TreeEntry
from occlum_build.occlum.runtime_boot import BOOT_CONF, BootSettings, boot_conf, check_initfs
from occlum_build.occlum.seal import seal
from occlum_build.occlum.toolchain import (
    INITFS,
    MUSL_LOADER,
    MUSL_NAMES,
    Toolchain,
    find,
)
from occlum_build.process.step import run_step
from occlum_build.sefs.keys import read_key_file
from occlum_build.sefs.manifest import read_manifest

ENCRYPTED, INTEGRITY_ONLY = "encrypted", "integrity-only"
HOSTS = b"127.0.0.1   localhost\n"
IMAGE_KEY = "etc/image_key"
IMAGE_CONFIG = "etc/image_config.json"
INIT_RA_CONF = "etc/init_ra_conf.json"
# Readable by the enclave's one user; that the host can read it is what the warning says.
_KEY_MODE = 0o600
_DIRECTORIES = ("bin", "lib", "dev", "proc", "etc")


def default_initfs(toolchain: Toolchain, localtime: Path | None = None) -> tuple[TreeEntry, ...]:
    """The initfs of a fresh instance.

    Occlum copies the time zone of the machine that runs `occlum init`. Here it is left out, which
    means UTC, unless a file is given.
    """
    files = [
        tree.file_of("etc/hosts", HOSTS),
        tree.copy_of("bin/init", toolchain.files["init"]),
        *musl_libraries(toolchain),
    ]
    if localtime is not None:
        files.append(tree.time_zone("etc/localtime", localtime))
    return tree.merged([tree.directory(path) for path in _DIRECTORIES], files)


def musl_libraries(toolchain: Toolchain) -> tuple[TreeEntry, ...]:
    """The musl loader and libraries in `lib`."""
    return tuple(
        tree.copy_of(f"lib/{name}", toolchain.files[f"musl/{name}"])
        for name in (MUSL_LOADER, *MUSL_NAMES)
    )


def image_config_json(image_type: str) -> bytes:
    """`image_config.json`, the bytes that jq writes."""
    return f'{{\n  "image_type": "{image_type}"\n}}\n'.encode()


def build_initfs(
    base: Iterable[TreeEntry],
    image_type: str,
    *,
    init_ra_conf: bytes | None = None,
    image_key: bytes | None = None,
    boot: BootSettings | None = None,
    where: str = "initfs",
) -> tuple[TreeEntry, ...]:
    """The initfs of one build: `base` with what a build adds; a key of an earlier one is dropped.

    `image_key`: the text of the key file, for --buildin-image-key only. `boot`: for a template of
    runtime boots. Raises what `boot_conf` raises, and what `with_added` does of `where`.
    """
    added = [tree.file_of(IMAGE_CONFIG, image_config_json(image_type))]
    if init_ra_conf is not None:
        added.append(tree.file_of(INIT_RA_CONF, init_ra_conf))
    if image_key is not None:
        added.append(tree.file_of(IMAGE_KEY, image_key, _KEY_MODE))
    if boot is not None:
        added.append(tree.file_of(BOOT_CONF, boot_conf(boot)))
    writes = {entry.path for entry in added}
    kept = [entry for entry in base if entry.path != IMAGE_KEY or entry.path in writes]
    return with_added(kept, added, where)


def _step(request_file: str, toolchain: str, out: str) -> None:
    """Write and seal an initfs: OUT/tree, OUT/__ROOT, OUT/.ROOT_MAC and OUT/manifest.json.

    REQUEST: {"version", "sgx_mode", "image_type", "tree": directory or null for the default one,
    "manifest": its manifest or null, "init_ra_conf": file or null, "localtime": file or null,
    "image_key": key file or null, "key_fingerprint": that it must have, or null, "boot": the fields
    of BootSettings or null}. OUT must not exist.
    """
    request = json.loads(Path(request_file).read_bytes())

    def given(name: str) -> Path | None:
        value = request.get(name)
        return None if value is None else Path(value)

    conf, key, boot = given("init_ra_conf"), given("image_key"), _boot(request.get("boot"))
    entries = build_initfs(
        _base(request, Path(toolchain), given("localtime")),
        str(request["image_type"]),
        init_ra_conf=None if conf is None else read_file(conf, CONFIG_BYTES),
        image_key=None if key is None else _key_text(key, request.get("key_fingerprint")),
        boot=boot,
    )
    folder = Path(out)
    folder.mkdir()
    tree.write(entries, folder / "tree")
    if boot is not None:
        check_initfs(folder / "tree", boot)
    seal(folder / "tree", folder)


def _key_text(file: Path, fingerprint: str | None) -> bytes:
    no_core_dumps()
    with read_key_file(file, fingerprint=fingerprint) as key:
        return key.file_text()


def _boot(given: dict[str, Any] | None) -> BootSettings | None:
    return None if given is None else BootSettings(**{**given, "env": tuple(given["env"])})


def _base(
    request: dict[str, str | None], toolchain: Path, localtime: Path | None
) -> tuple[TreeEntry, ...]:
    directory, manifest = request.get("tree"), request.get("manifest")
    if directory is None:
        mode, version = str(request["sgx_mode"]), str(request["version"])
        # Who gives us a toolchain has looked at it, but for an init of the user's own in its place.
        found = find(toolchain, mode, [INITFS], version=version, is_checked=True)
        return default_initfs(found, localtime)
    entries = tree.scan(Path(directory))
    if manifest is None:
        return entries
    return tree.with_modes(entries, read_manifest(Path(manifest)).modes)


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.occlum.initfs REQUEST.json TOOLCHAIN OUT"))
