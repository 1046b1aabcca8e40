"""The reader of what somebody else built: instances, archives of them, and OCI layouts."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostile.fuzzing.workplace import SEPARATOR, file_of, fresh_directory, parts_of
from occlum_build.files.json_text import load_json
from occlum_build.occlum.package import package
from occlum_build.oci.layout import blob_path
from occlum_build.verify.testing import built_instance, copied
from occlum_build.verify.verify import Wanted, verify
from toolchain.make_toolchain import make_toolchain

_INSTANCE, _ARCHIVE, _LAYOUT = b"instance", b"archive", b"layout"
# Files of an instance that an input may have others of, each in a part of its own.
_FILES = (
    "Occlum.json",
    "measurement.json",
    "manifest.json",
    ".sgx_mode",
    "build/mount/.ROOT_MAC",
    "build/Enclave.xml",
    "build/.Occlum_sys.json.protected",
    "build/mount/__ROOT/metadata",
    "build/lib/libocclum-libos.signed.so",
)
_TYPE = "application/vnd.oci.image.manifest.v1+json"


def verified(data: bytes) -> None:
    """One of three kinds, by the first part: what is told of it is JSON and has rows."""
    kind, *parts = parts_of(data, 2)
    if kind == _ARCHIVE:
        with file_of(parts[0], "a.tar") as path:
            _verify(path)
    elif kind == _LAYOUT:
        with fresh_directory() as directory:
            _verify(_layout(directory / "layout", *parts_of(parts[0], 3)))
    else:
        with fresh_directory() as directory:
            instance = copied(_built(), directory / "app")
            for name, content in zip(_FILES, parts_of(parts[0], len(_FILES))):
                if content:
                    (instance / name).unlink()
                    (instance / name).write_bytes(content)
            _verify(instance)


def _verify(path: Path) -> None:
    found = verify(path, Wanted())
    json.dumps(found.to_json())
    if not found.rows:
        raise AssertionError("nothing is told")


def _layout(out: Path, manifest: bytes, config: bytes, layer: bytes) -> Path:
    """A layout whose digests are right where its documents have places for them."""
    (out / "blobs/sha256").mkdir(parents=True)
    (out / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
    layers = [_blob(out, layer)]
    value = _object(manifest)
    value.setdefault("config", _blob(out, _with_digests(config, layer)))
    value.setdefault("layers", layers)
    index = {"manifests": [_blob(out, json.dumps(value).encode())]}
    (out / "index.json").write_text(json.dumps(index))
    return out


def _with_digests(config: bytes, layer: bytes) -> bytes:
    value = _object(config)
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    value.setdefault("rootfs", {"diff_ids": [digest]})
    return json.dumps(value).encode()


def _object(data: bytes) -> dict[str, Any]:
    value = load_json(data or b"{}", "part")
    return value if isinstance(value, dict) else {}


def _blob(out: Path, content: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    (out / blob_path(digest)).write_bytes(content)
    return {"digest": digest, "size": len(content), "mediaType": _TYPE}


@functools.cache
def _built() -> Path:
    """A built instance, in a directory of this process."""
    top = Path(tempfile.mkdtemp(prefix="verified-"))
    make_toolchain(top / "system")
    return built_instance(top / "app", top / "system")


def seeds() -> Iterator[tuple[str, bytes]]:
    """Inputs for it."""
    built = _built()
    parts = [(built / name).read_bytes() for name in _FILES]
    yield "verified", _joined(_INSTANCE)
    for number, content in enumerate(parts):
        others = [b""] * number + [content] + [b""] * (len(parts) - number - 1)
        yield "verified", _joined(_INSTANCE, *others)
    with fresh_directory() as directory:
        package(built, directory / "app.tar.gz", "run/rune/occlum_instance")
        packed = (directory / "app.tar.gz").read_bytes()
    yield "verified", _joined(_ARCHIVE, packed)
    signed = "build/lib/libocclum-libos.signed.so"
    few = {f"a/{signed}": b"\x7fELF", "a/build/lib/libocclum-pal.so.0.31.0": b"x", "a/run/x": b""}
    yield "verified", _joined(_ARCHIVE, _tar(few))
    yield "verified", _joined(_LAYOUT, b"{}", b"{}", _tar({f"run/rune/x/{n}": b"" for n in few}))
    config = {"config": {"Env": ["ENCLAVE_RUNTIME_ARGS=a"], "WorkingDir": "/", "Labels": {}}}
    yield "verified", _joined(_LAYOUT, b"{}", json.dumps(config).encode(), _tar(few))
    yield "verified", _joined(_LAYOUT, b'{"layers": []}', b'{"rootfs": {"diff_ids": []}}', b"")


def _joined(*parts: bytes) -> bytes:
    return SEPARATOR.join(parts)


def _tar(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
