"""OCI images of others, with more layers and manifests: what runtimes make of them counts."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import pytest

from occlum_build.errors import OcclumError
from occlum_build.oci.layout import REF_NAME, blob_path
from occlum_build.oci.rootfs import INSTANCE_PATH
from occlum_build.verify.rows import UNKNOWN
from occlum_build.verify.testing import differing, mrenclave_of, oci_layout, verified

Json = dict[str, Any]
PAL = f"{INSTANCE_PATH}/build/lib/libocclum-pal.so.0.31.0"
METADATA = f"{INSTANCE_PATH}/build/mount/__ROOT/metadata"
WHITEOUT = f"{INSTANCE_PATH}/build/lib/.wh.libocclum-pal.so.0.31.0"
OPAQUE = "run/.wh..wh..opq"


@pytest.fixture
def layout(built: Path, tmp_path: Path) -> Path:
    return oci_layout(built, tmp_path / "layout", mrenclave_of(built))


def put(layout: Path, content: bytes) -> Json:
    """A blob, and its descriptor."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    (layout / blob_path(digest)).write_bytes(content)
    return {"digest": digest, "size": len(content)}


def read(layout: Path, descriptor: Json) -> Json:
    value = json.loads((layout / blob_path(descriptor["digest"])).read_bytes())
    assert isinstance(value, dict)
    return value


def layer_of(members: Sequence[tuple[str, bytes | str | None]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def change(
    layout: Path,
    edit: Callable[[Json, Json], None],
    index_edit: Callable[[Json], None] = lambda index: None,
) -> None:
    """Write configuration and manifest of a layout anew, all digests as they ought to be."""
    index = json.loads((layout / "index.json").read_bytes())
    (one,) = index["manifests"]
    manifest = read(layout, one)
    config = read(layout, manifest["config"])
    edit(config, manifest)
    manifest["config"].update(put(layout, json.dumps(config).encode()))
    one.update(put(layout, json.dumps(manifest).encode()))
    index_edit(index)
    (layout / "index.json").write_text(json.dumps(index))


def add_layer(layout: Path, *members: tuple[str, bytes | str | None]) -> Path:
    data = layer_of(members)

    def edit(config: Json, manifest: Json) -> None:
        kind = "application/vnd.oci.image.layer.v1.tar"
        manifest["layers"].append({"mediaType": kind, **put(layout, data)})
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(data).hexdigest()}")

    change(layout, edit)
    return layout


def test_what_this_machine_lacks_is_no_difference(
    layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"\x28\xb5\x2f\xfd more"

    def edit(config: Json, manifest: Json) -> None:
        manifest["layers"][1].update(put(layout, data))

    change(layout, edit)
    assert {row.what for row in differing(verified(layout))} == {"diff_id"}  # it is damaged
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "zstandard", None)
    with pytest.raises(OcclumError, match="needs the Python package zstandard") as caught:
        verified(layout)
    assert caught.value.problems[0].hint == "pip install 'occlum-build[zstd]'"


def directories(*more: str) -> list[tuple[str, None]]:
    build = f"{INSTANCE_PATH}/build"
    below = (f"{build}{one}" for one in ("", "/lib", "/bin", "/mount", "/mount/__ROOT"))
    return [(one, None) for one in ("run", "run/rune", INSTANCE_PATH, *below, *more)]


def test_an_opaque_whiteout_after_the_directories_hides_all_below_it(layout: Path) -> None:
    add_layer(layout, *directories(), (OPAQUE, b""))
    with pytest.raises(OcclumError, match="it has no build"):
        verified(layout)


def test_an_opaque_whiteout_hides_nothing_of_its_own_layer(built: Path, layout: Path) -> None:
    folder = f"{INSTANCE_PATH}/build/mount"
    mount = built / "build/mount"
    files = [
        (f"{folder}/{path.relative_to(mount).as_posix()}", path.read_bytes())
        for path in sorted(mount.rglob("*"))
        if path.is_file()
    ]
    made = [(folder, None), (f"{folder}/__ROOT", None)]
    add_layer(layout, *made, *files, (f"{folder}/.wh..wh..opq", b""))
    assert differing(verified(layout)) == []
    add_layer(layout, (f"{folder}/.wh..wh..opq", b""), *files)
    assert differing(verified(layout)) == []
    # Runtimes remove what they have not unpacked, and a directory without a member is such.
    add_layer(layout, *files, (f"{folder}/.wh..wh..opq", b""))
    assert {row.what for row in differing(verified(layout))} == {"names in the archive"}


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ([(PAL, b"EVIL"), (WHITEOUT, b"")], WHITEOUT),
        ([(WHITEOUT, b""), (PAL, b"EVIL")], PAL),
        ([("run/rune/.wh.occlum_instance", b""), (PAL, b"x")], PAL),
        ([("run/.wh.", b"")], "run/.wh."),
        ([("run/.wh..", b"")], "run/.wh.."),
        ([("run/.wh...", b"")], "run/.wh..."),
        ([("x", "run"), ("x/.wh.rune", b"")], "x/.wh.rune"),
        ([("run/rune/.wh.occlum_instance/f", b"")], "run/rune/.wh.occlum_instance/f"),
        ([(f"{INSTANCE_PATH}/build/mount/__ROOT/.wh.metadata", None)], METADATA),
        ([(f"{INSTANCE_PATH}/.wh..wh.plnk", b"")], f"{INSTANCE_PATH}/.wh..wh.plnk"),
        ([("../.wh.run", b"")], "../.wh.run"),
    ],
)
def test_whiteouts_of_which_runtimes_make_different_trees(
    layout: Path, members: list[tuple[str, bytes | str | None]], name: str
) -> None:
    add_layer(layout, *members)
    try:
        rows = differing(verified(layout))
    except OcclumError as error:  # without a PAL it is no instance
        assert "libocclum-pal.so" in str(error)
        return
    if name == METADATA:
        assert ("build/mount/__ROOT/metadata", "kind") in [(row.about, row.what) for row in rows]
        return
    assert ("names in the archive", name) in [(row.what, row.stated) for row in rows]


def test_a_whiteout_through_a_link_of_a_lower_layer(layout: Path) -> None:
    add_layer(layout, ("x", "run"))
    add_layer(layout, ("x/.wh.rune", b""))
    assert [row.stated for row in differing(verified(layout))] == ["x/.wh.rune"]


def test_whiteouts_of_what_is_elsewhere(layout: Path) -> None:
    add_layer(layout, ("etc", None), ("etc/x", b"1"), ("link", "etc"))
    add_layer(layout, ("etc/.wh.x", b""), ("etc/.wh.gone", b""), ("link", None))
    add_layer(layout, ("link/.wh..wh..opq", b""), (".wh..wh.plnk", b""))
    assert differing(verified(layout)) == []


def test_another_image_of_the_same_name_is_not_hidden_as_an_artifact(layout: Path) -> None:
    def hide(index: Json) -> None:
        (good,) = index["manifests"]
        evil = put(layout, json.dumps({**read(layout, good), "annotations": {"a": "b"}}).encode())
        index["manifests"] = [{**good, **evil, "artifactType": "x"}, good]

    change(layout, lambda config, manifest: None, hide)
    for ref in (None, "latest"):
        with pytest.raises(OcclumError, match="2 images of the name latest"):
            verified(layout, ref=ref)


def test_other_manifests_are_not_looked_into(layout: Path) -> None:
    def more(index: Json) -> None:
        (good,) = index["manifests"]
        other = {**good, **put(layout, b"{}"), "artifactType": "x"}
        index["manifests"] = [{**other, "annotations": {REF_NAME: "other"}}, good]

    change(layout, lambda config, manifest: None, more)
    found = verified(layout)
    assert found.agrees
    (other,) = [row for row in found.rows if row.what == "another manifest"]
    assert (other.status, other.note) == (UNKNOWN, "not looked into: other")
    (layout / other.about).write_bytes(b"[]")
    assert [row.about for row in differing(verified(layout))] == [other.about]
    with pytest.raises(OcclumError, match="no image of that name"):
        verified(layout, ref="gone")


@pytest.mark.parametrize(
    "more",
    [
        {"manifests": []},
        {"fsLayers": []},
        {"mediaType": "application/vnd.oci.image.index.v1+json"},
        {"mediaType": "application/vnd.docker.distribution.manifest.list.v2+json"},
        {"mediaType": "application/vnd.docker.distribution.manifest.v2+json"},
        {"Layers": []},
        {"CONFIG": {}},
        {"manife\u017fts": []},
    ],
)
def test_a_manifest_that_may_be_read_as_something_else(layout: Path, more: Json) -> None:
    change(layout, lambda config, manifest: manifest.update(more))
    with pytest.raises(OcclumError, match=r"may be read as|in the index"):
        verified(layout)


@pytest.mark.parametrize(
    "more",
    [
        {"layers": []},
        {"config": {}},
        {"Manifests": []},
        {"mediaType": "application/vnd.oci.image.manifest.v1+json"},
    ],
)
def test_an_index_that_may_be_read_as_something_else(layout: Path, more: Json) -> None:
    change(layout, lambda config, manifest: None, lambda index: index.update(more))
    with pytest.raises(OcclumError, match="may be read as"):
        verified(layout)


def test_a_key_that_a_document_has_twice(layout: Path) -> None:
    path = layout / "index.json"
    path.write_text(path.read_text().replace('{"', '{"manifests":[],"', 1))
    with pytest.raises(OcclumError, match="the key 'manifests' twice"):
        verified(layout)


def test_a_key_of_the_configuration_in_another_case(layout: Path) -> None:
    change(layout, lambda config, manifest: config["config"].update(env=["X=y"]))
    with pytest.raises(OcclumError, match="it has 'env'"):
        verified(layout)


def test_a_plain_image_is_no_enclave(layout: Path) -> None:
    def empty(config: Json, manifest: Json) -> None:
        config["rootfs"]["diff_ids"] = manifest["layers"] = []

    change(layout, empty)
    with pytest.raises(OcclumError, match="no instance with a signed enclave") as error:
        verified(layout)
    assert "`diff` compares the layers with a manifest" in str(error.value)


def test_null_is_as_missing(layout: Path) -> None:
    def nulls(config: Json, manifest: Json) -> None:
        config["config"].update(Labels=None, Env=None, WorkingDir=None)
        manifest["config"]["annotations"] = manifest["mediaType"] = None

    change(layout, nulls, lambda index: index["manifests"][0].update(artifactType=None))
    assert differing(verified(layout)) == []
    change(layout, lambda config, manifest: config.update(config=None))
    assert differing(verified(layout)) == []
