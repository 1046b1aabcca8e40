from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, Callable

import pytest

from occlum_build.errors import OcclumError
from occlum_build.report.diff import compare
from occlum_build.report.diff_output import lines
from occlum_build.report.sides import Side, read_side
from occlum_build.report.testing import FILES, Made

MADE = Made()


def layer(made: Made, skip: str = "", more: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    """The entries of an image as a tar archive, with contents whose SHA-256 the manifest has."""
    data, contents = io.BytesIO(), FILES
    with tarfile.open(fileobj=data, mode="w") as tar:
        for entry in made.plan.entries:
            if not entry.path or entry.path == skip:
                continue
            info = tarfile.TarInfo(entry.path)
            info.mode, content = entry.mode, b""
            if entry.kind == "dir":
                info.type = tarfile.DIRTYPE
            elif entry.kind == "symlink":
                info.type, info.linkname = tarfile.SYMTYPE, entry.target
            else:
                source = contents[entry.source]
                content = source if isinstance(source, bytes) else repr(source).encode()
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return data.getvalue()


def blob(folder: Path, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    path = folder / "blobs/sha256" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"digest": f"sha256:{digest}"}


def write(folder: Path, *layers: bytes) -> Path:
    manifest = {"layers": [blob(folder, one) for one in layers]}
    index = {"manifests": [blob(folder, json.dumps(manifest).encode())]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text("{}")
    return folder


def manifest_of(folder: Path) -> Path:
    (named,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    return folder / "blobs/sha256" / str(named["digest"])[len("sha256:") :]


def test_layout_and_the_manifest_of_its_image(tmp_path: Path) -> None:
    side = read_side(str(write(tmp_path, gzip.compress(layer(MADE)), layer(MADE))))
    found = compare(side, Side("m", MADE.manifest.full))
    # A manifest of tests says of ELF files that they have 64 bytes.
    assert {change.path.split("/")[1] for change in found.changes} == {"bin", "lib64"}
    assert all(change.old and change.new for change in found.changes)
    assert all(
        change.old.sha256 == change.new.sha256 for change in found.changes if change.old
        and change.new
    )  # fmt: skip


def test_two_layouts(tmp_path: Path) -> None:
    old = read_side(str(write(tmp_path / "a", layer(MADE))))
    new = read_side(str(write(tmp_path / "b", layer(MADE, skip="data/one"))))
    found = list(lines(compare(old, new)))
    assert found[:3] == [
        "no BOM line is known: 1 removed, -100 bytes",
        "  removed /data/one: 100 bytes",
        "image: 1 removed, -100 bytes",
    ]
    assert compare(old, old).is_empty


@pytest.mark.parametrize("name", ["data/.wh.one", ".wh..wh..opq"])
def test_layer_that_takes_something_away(tmp_path: Path, name: str) -> None:
    with pytest.raises(OcclumError, match="takes away"):
        read_side(str(write(tmp_path, layer(MADE, more=(tarfile.TarInfo(name),)))))


def test_hard_links_and_devices(tmp_path: Path) -> None:
    link, device = tarfile.TarInfo("data/again"), tarfile.TarInfo("dev")
    link.type, link.linkname = tarfile.LNKTYPE, "data/one"
    device.type = tarfile.CHRTYPE
    items = read_side(str(write(tmp_path / "a", layer(MADE, more=(link,))))).items
    assert items is not None
    assert items["/data/again"] == items["/data/one"]._replace(path="/data/again")
    with pytest.raises(OcclumError, match="/dev is a device"):
        read_side(str(write(tmp_path / "b", layer(MADE, more=(device,)))))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_layer_of_another_digest(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    folder, other = write(tmp_path, pack(layer(MADE))), pack(layer(MADE, skip="data/one"))
    (named,) = json.loads(manifest_of(folder).read_bytes())["layers"]
    path = folder / "blobs/sha256" / named["digest"][len("sha256:") :]
    path.write_bytes(other)
    with pytest.raises(OcclumError, match="it has another content than its digest says") as error:
        read_side(str(folder))
    (problem,) = error.value.problems
    assert (problem.code, str(problem.place)) == ("oci", str(path))


def test_manifest_of_another_digest(tmp_path: Path) -> None:
    folder = write(tmp_path, layer(MADE))
    manifest_of(folder).write_text('{"layers":[]}')
    with pytest.raises(OcclumError, match="it has another content than its digest says"):
        read_side(str(folder))


def test_root_that_is_a_file(tmp_path: Path) -> None:
    folder = write(tmp_path, layer(MADE, more=(tarfile.TarInfo(".."),)))
    with pytest.raises(OcclumError, match="/ is a file"):
        read_side(str(folder))


def test_names_with_several_slashes(tmp_path: Path) -> None:
    more = tarfile.TarInfo("//data/x")
    items = read_side(str(write(tmp_path, layer(MADE, more=(more,))))).items
    assert items is not None and "/data/x" in items and "//data/x" not in items


def test_what_is_no_layout(tmp_path: Path) -> None:
    folder = write(tmp_path, layer(MADE)[:5000])
    with pytest.raises(OcclumError, match="a layer cannot be read"):
        read_side(str(folder))
    (folder / "index.json").write_text('{"manifests":[]}')
    with pytest.raises(OcclumError, match="it has 0 images, not one"):
        read_side(str(folder))
    (folder / "index.json").write_text('{"manifests":[{"digest":"sha256:../x"}]}')
    with pytest.raises(OcclumError, match="is no SHA-256 digest"):
        read_side(str(folder))
    (folder / "index.json").write_text("{}")
    with pytest.raises(OcclumError, match="has no 'manifests'"):
        read_side(str(folder))


def test_what_refers_to_an_image_is_none(tmp_path: Path) -> None:
    write(tmp_path, layer(MADE))
    index = json.loads((tmp_path / "index.json").read_bytes())
    index["manifests"].append({**blob(tmp_path, b"{}"), "artifactType": "application/spdx+json"})
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert "/bin/a" in (read_side(str(tmp_path)).items or {})
    index["manifests"][1]["artifactType"] = None
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(OcclumError, match="it has 2 images, not one"):
        read_side(str(tmp_path))


def test_the_directory_in_dist_that_has_a_layout(tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    write(tmp_path / "layout", layer(MADE))
    assert "/bin/a" in (read_side(str(tmp_path)).items or {})
    archive = tmp_path / "image.oci.tar"
    archive.write_bytes(layer(MADE))
    with pytest.raises(OcclumError, match=r"image\.oci\.tar is no manifest and no measurement"):
        read_side(str(archive))
