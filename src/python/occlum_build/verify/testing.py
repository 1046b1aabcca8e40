"""Test helpers: an instance made of stand-ins, its archive, its OCI layout and its bundle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from occlum_build.image.manifest import canonical_json
from occlum_build.occlum.build import build
from occlum_build.occlum.configure import Settings
from occlum_build.occlum.fresh import make_instance, plan_fresh
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.signing import KeyFile
from occlum_build.occlum.testing import TESTPROJECTS
from occlum_build.oci.layer import write_layer
from occlum_build.oci.layout import ImageLayer, ImageSettings, blob_path, layout_of
from occlum_build.oci.referrers import Attached
from occlum_build.oci.rootfs import INSTANCE_PATH, in_container
from occlum_build.sgx.measurement import read_sigstruct
from occlum_build.verify.enclave import SIGNED
from occlum_build.verify.rows import DIFFERS, Row, Verified
from occlum_build.verify.verify import Wanted, verify

SIGN_KEY = TESTPROJECTS / "vectors" / "sign" / "test_key.pem"


def built_instance(path: Path, toolchain: Path, **changes: Any) -> Path:
    """A built instance at a new path; `changes`: fields of BuildRequest, `settings` among them."""
    make_instance(path, plan_fresh(toolchain))
    (path / "image/bin/hello").write_text("#!/bin/sh\necho hello\n")
    (path / "image/bin/large").write_bytes(bytes(range(256)) * 64)
    (path / "image/bin/link").symlink_to("hello")
    settings = changes.pop("settings", Settings())
    build(BuildRequest(path, toolchain, settings, KeyFile(SIGN_KEY), **changes))
    return path


def copied(instance: Path, to: Path) -> Path:
    shutil.copytree(instance, to, symlinks=True)
    return to


def verified(path: Path, **wanted: Any) -> Verified:
    return verify(path, Wanted(**wanted))


def differing(found: Verified) -> list[Row]:
    return [row for row in found.rows if row.status == DIFFERS]


def mrenclave_of(instance: Path) -> str:
    """That of its SIGSTRUCT."""
    return read_sigstruct((instance / SIGNED).read_bytes()).mrenclave.hex()


def row(found: Verified, about: str, what: str) -> Row:
    """The one row of that claim."""
    (one,) = [one for one in found.rows if (one.about, one.what) == (about, what)]
    return one


def oci_layout(
    instance: Path,
    out: Path,
    mrenclave: str,
    env: tuple[str, ...] = (),
    attached: Mapping[Attached, bytes] = MappingProxyType({}),
) -> Path:
    """The OCI layout of an instance, in two layers, as the rules make it."""
    paths = sorted(path.relative_to(instance).as_posix() for path in instance.rglob("*"))
    kept = [path for path in paths if path.split("/")[0] not in ("image", "measurement.json")]
    kept = [path for path in kept if path != "manifest.json" and in_container(path)]
    groups = [
        [path for path in kept if path.startswith("build/mount")],
        [path for path in kept if not path.startswith("build/mount")],
    ]
    layers = []
    (out / "blobs/sha256").mkdir(parents=True)
    root = out.parent / f"{out.name}.root"
    (root / "run/rune").mkdir(parents=True)
    (root / INSTANCE_PATH).symlink_to(instance)
    for number, group in enumerate(groups):
        rows = [_row(instance, path) for path in group]
        info = write_layer(str(root), rows, str(out / "layer"), "gzip")
        (out / "layer").rename(out / blob_path(info.digest))
        layers.append(ImageLayer(f"layer {number}", info))
    labels = {"io.occlum.mrenclave": mrenclave}
    settings = ImageSettings(("/bin/hello",), env=env, cwd="/run/rune", labels=labels)
    layout = layout_of(layers, settings, attached)
    files = {**layout.files, **{blob_path(one.digest): data for one, data in attached.items()}}
    for path, content in files.items():
        (out / path).write_bytes(content)
    return out


def _row(instance: Path, path: str) -> Mapping[str, Any]:
    place, inside = instance / path, f"{INSTANCE_PATH}/{path}"
    if place.is_symlink():
        return {"path": inside, "type": "symlink", "mode": 0o777, "target": os.readlink(place)}
    kind, mode = ("dir", 0o755) if place.is_dir() else ("file", 0o644)
    return {"path": inside, "type": kind, "mode": mode, "target": ""}


def rune_bundle(instance: Path, out: Path, program: str = "/bin/hello") -> Path:
    """A bundle of rune with a copy of an instance."""
    copied(instance, out / "rootfs" / INSTANCE_PATH)
    config = {
        "process": {"args": [program], "cwd": "/run/rune"},
        "annotations": {"enclave.runtime.args": "occlum_instance"},
    }
    (out / "config.json").write_bytes(canonical_json(config))
    return out


def files_of(instance: Path) -> Iterator[str]:
    """The paths of all regular files of an instance, sorted."""
    for path in sorted(instance.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(instance).as_posix()


def change_json(path: Path, **values: Any) -> None:
    document = json.loads(path.read_bytes())
    path.write_bytes(canonical_json({**document, **values}))
