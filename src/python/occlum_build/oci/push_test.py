"""Pushing with a stand-in for skopeo, which keeps what it is given in a directory."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.oci import push as pushing
from occlum_build.oci.layout import ImageSettings, layout_of
from occlum_build.oci.layout_test import LAYER
from occlum_build.oci.push import push
from occlum_build.oci.referrers import digest_of, tag_of
from occlum_build.oci.referrers_test import SLSA, SPDX

# As skopeo, and where a file says so, as versions before 1.16, which drop `artifactType` in lists.
SKOPEO = r"""
import json, pathlib, sys
here = pathlib.Path(__file__).parent
argv = [one for one in sys.argv[1:] if not one.startswith("--insecure")]
with (here / "calls").open("a") as calls:
    print(*argv[:-2] if argv[0] == "copy" else argv[:-1], file=calls)
def place(name):
    path, at, digest = name.removeprefix("docker://").partition("@")
    return here / "registry" / (digest if at else path.rpartition(":")[2])
if argv[0] == "list-tags":
    print(json.dumps({"Tags": sorted(one.name for one in (here / "registry").iterdir())}))
elif argv[0] == "inspect":
    if not place(argv[-1]).exists():
        sys.exit("skopeo: no such manifest")
    sys.stdout.write(place(argv[-1]).read_text())
else:
    folder, name = argv[-2].removeprefix("oci:").rsplit(":", 1)
    (one,) = json.loads(pathlib.Path(folder, "index.json").read_text())["manifests"]
    assert one["annotations"]["org.opencontainers.image.ref.name"] == name
    content = pathlib.Path(folder, "blobs", one["digest"].replace(":", "/")).read_text()
    if (here / "full").exists() and "@" in argv[-1]:
        sys.exit("skopeo: no space")
    if "--multi-arch=index-only" in argv and (here / "old").exists():
        if "--preserve-digests" in argv:
            sys.exit("skopeo: it must be converted")
        index = json.loads(content)
        for one in index["manifests"]:
            one.pop("artifactType", "")
        content = json.dumps(index)
    (here / "registry").mkdir(exist_ok=True)
    place(argv[-1]).write_text("damaged" if (here / "damages").exists() else content)
"""
REPOSITORY = "localhost:5000/team/app:1.0"


class Pushed:
    """A layout, a stand-in for skopeo, and the registry that this keeps."""

    def __init__(self, top: Path) -> None:
        self.top, self.registry = top, top / "registry"
        self.layout = layout_of([LAYER], ImageSettings(), [SLSA, SPDX])
        for path, content in self.layout.files.items():
            (top / "layout" / path).parent.mkdir(parents=True, exist_ok=True)
            (top / "layout" / path).write_bytes(content)
        (top / "skopeo.py").write_text(SKOPEO)
        (top / "skopeo").write_text(f'#!/bin/sh\nexec {sys.executable} {top}/skopeo.py "$@"\n')
        (top / "skopeo").chmod(0o755)

    def push(self, tls: str = "no-tls") -> None:
        layout = str(self.top / "layout")
        push(layout, self.layout.digest, REPOSITORY, str(self.top / "skopeo"), tls)

    def failure(self) -> OcclumError:
        with pytest.raises(OcclumError) as error:
            self.push()
        assert error.value.problems[0].code == "oci"
        return error.value

    @property
    def tag(self) -> Path:
        return self.registry / tag_of(self.layout.digest)

    def listed(self) -> list[dict[str, Any]]:
        found = json.loads(self.tag.read_text())["manifests"]
        assert isinstance(found, list)
        return found

    def calls(self) -> list[str]:
        return (self.top / "calls").read_text().splitlines()


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pushed:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return Pushed(tmp_path)


def test_an_image_and_what_refers_to_it(pushed: Pushed) -> None:
    pushed.push()
    assert digest_of((pushed.registry / "1.0").read_bytes()) == pushed.layout.digest
    for one in pushed.layout.referrers:
        assert digest_of((pushed.registry / one["digest"]).read_bytes()) == one["digest"]
    assert pushed.listed() == list(pushed.layout.referrers)
    assert pushed.calls()[0] == "copy --dest-tls-verify=false --preserve-digests"
    assert os.listdir(".") == []

    before = len(pushed.calls())
    pushed.push()
    assert "index-only" not in "".join(pushed.calls()[before:])


def test_tls_is_as_skopeo_has_it(pushed: Pushed) -> None:
    pushed.push("tls")
    assert "tls" not in " ".join(pushed.calls())


@pytest.mark.parametrize("is_old", [False, True])
def test_what_others_attached_stays_listed(pushed: Pushed, is_old: bool) -> None:
    other = {"digest": f"sha256:{'9' * 64}", "mediaType": "m", "size": 1, "artifactType": "sig"}
    index = {"schemaVersion": 2, "manifests": [other]}
    pushed.registry.mkdir()
    pushed.tag.write_text(json.dumps(index))
    if not is_old:
        pushed.push()
        assert pushed.listed() == [other, *pushed.layout.referrers]
        return
    (pushed.top / "old").touch()
    error = str(pushed.failure())
    assert f"localhost:5000/team/app:{pushed.tag.name} lists what others have attached" in error
    assert "hint: push with skopeo 1.16 or later" in error
    assert json.loads(pushed.tag.read_text()) == index


def test_an_old_skopeo_lists_them_without_types(pushed: Pushed) -> None:
    (pushed.top / "old").touch()
    pushed.push()
    digests = [one["digest"] for one in pushed.layout.referrers]
    assert [one["digest"] for one in pushed.listed()] == digests
    pushed.push()
    assert [one["digest"] for one in pushed.listed()] == digests
    # What is listed already needs no other list, even if this one could not make it.
    other = {"digest": f"sha256:{'9' * 64}", "mediaType": "m", "size": 1, "artifactType": "sig"}
    index = {"schemaVersion": 2, "manifests": [other, *pushed.listed()]}
    pushed.tag.write_text(json.dumps(index))
    pushed.push()
    assert json.loads(pushed.tag.read_text()) == index
    # A newer one mends the list.
    (pushed.top / "old").unlink()
    pushed.push()
    assert pushed.listed() == [other, *pushed.layout.referrers]


def test_another_thing_under_the_tag(pushed: Pushed) -> None:
    pushed.registry.mkdir()
    pushed.tag.write_text('{"schemaVersion": 2, "layers": []}')
    assert "manifests" in str(pushed.failure())
    assert "layers" in pushed.tag.read_text()


def test_a_push_that_fails(pushed: Pushed, capfd: pytest.CaptureFixture[str]) -> None:
    (pushed.top / "full").touch()
    error = str(pushed.failure())
    first = pushed.layout.referrers[0]["digest"]
    assert f"skopeo could not push localhost:5000/team/app@{first}" in error
    assert "skopeo: no space" in capfd.readouterr().err
    assert not pushed.tag.exists()


def test_what_came_is_looked_at(pushed: Pushed) -> None:
    (pushed.top / "damages").touch()
    wanted = f"as localhost:5000/team/app:1.0, and {pushed.layout.digest} was pushed"
    assert wanted in str(pushed.failure())


def test_an_answer_without_an_end(pushed: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_MOST_BYTES", 1500)
    pushed.registry.mkdir()
    pushed.tag.write_text("x" * 9000)
    assert "1500 bytes" in str(pushed.failure())
