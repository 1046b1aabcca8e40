"""`sbom`, on images that `copy-bom` made."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from occlum_build.cli.main import main
from occlum_build.cli.testing_packages import PackagesWorkspace
from occlum_build.packages.testing_debs import Item, deb_of, link
from occlum_build.sbom.testing import CONTROL, COPYRIGHT, METADATA

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
pytest.importorskip("spdx_tools", reason="spdx-tools is not installed")

BOM = """\
targets:
- target: /
  copy: [{files: [/usr/lib/libgreet.so.1], dirs: [my-1.dist-info]}]
"""
STATUS = CONTROL.replace(b"Version", b"Status: install ok installed\nVersion")


class Image:
    """An image in `out`, its root in `root`, and what the root was made of in `debs`."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self.capsys = path, capsys
        self.file("bom.yaml", BOM.encode())
        self.file("root/usr/lib/libgreet.so.1", b"greet")
        library = Item("./usr/lib/libgreet.so.1", b"greet")
        copyright = Item("./usr/share/doc/data/copyright", COPYRIGHT)
        documentation = link("./usr/share/doc/libgreet1", "data")
        self.file("debs/1.deb", deb_of("libgreet1", "1.1-1", [library, documentation]))
        self.file("debs/2.deb", deb_of("data", "1", [copyright]))
        self.build()

    def file(self, path: str, content: bytes) -> None:
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def build(self) -> None:
        arguments = ["-f", "bom.yaml", "--root", "out/image", "--sysroot", "root", "--json"]
        self.file("out/my-1.dist-info/METADATA", METADATA)
        assert main(["copy-bom", *arguments]) == 0
        self.file("out/manifest.json", self.capsys.readouterr().out.encode())

    def dpkg(self) -> None:
        """Let the root be one in which dpkg installed the library."""
        self.file("root/var/lib/dpkg/status", STATUS)
        self.file("root/var/lib/dpkg/info/libgreet1:amd64.list", b"/usr/lib/libgreet.so.1\n")
        self.file("root/usr/share/doc/libgreet1/copyright", COPYRIGHT)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["sbom", *arguments])
        except SystemExit as usage:
            code = usage.code if isinstance(usage.code, int) else -1
        out, err = self.capsys.readouterr()
        return code, out, err

    def done(self, *arguments: str) -> Any:
        code, out, err = self.run(*arguments)
        assert (code, err) == (0, ""), err
        return json.loads(out)

    def failed(self, *arguments: str) -> str:
        code, out, err = self.run(*arguments)
        assert code != 0 and out == ""
        assert "Traceback" not in err
        return err


@pytest.fixture
def image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Image]:
    monkeypatch.chdir(tmp_path)
    for name in ("SOURCE_DATE_EPOCH", "OCCLUM_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    yield Image(tmp_path, capsys)


def by_name(document: Any) -> dict[str, Any]:
    return {one["name"]: one for one in document["components"]}


def test_without_packages_files_are_by_themselves(image: Image) -> None:
    found = by_name(image.done("out", "--format", "cyclonedx"))
    assert sorted(found) == ["/libgreet.so.1", "my-dist"]


def test_packages_by_their_files(image: Image) -> None:
    document = image.done("out/manifest.json", "--format=cyclonedx", "--deb", "debs", "--name=app")
    assert document["metadata"]["component"]["name"] == "app"
    package = by_name(document)["libgreet1"]
    assert package["purl"] == "pkg:deb/debian/libgreet1@1.1-1?arch=amd64"
    assert "LicenseRef-lzf" in package["licenses"][0]["expression"]
    assert len(package["hashes"]) == 1


def test_package_urls_are_the_same_in_all_formats(image: Image) -> None:
    image.dpkg()
    image.file("root/etc/os-release", b"ID=debian\nVERSION_ID=12\n")
    bom = BOM.replace("files: [", "files: [/etc/os-release, ").encode()
    image.file("bom.yaml", bom.replace(b"target: /", b"target: /etc", 1))
    image.build()
    due = "pkg:deb/debian/libgreet1@1.1-1?arch=amd64&distro=debian-12&upstream=greet%401:2.0-1"
    for format_ in ("cyclonedx", "spdx", "slsa"):
        _, out, _ = image.run("out", "--format", format_, "--sysroot", "root")
        assert due in out


def test_packages_by_dpkg(image: Image) -> None:
    image.dpkg()
    document = image.done("out", "--format=spdx", "--sysroot", "root")
    package = {one["name"]: one for one in document["packages"]}["libgreet1"]
    assert package["sourceInfo"] == "built from: greet 1:2.0-1"
    assert "GPL-2.0-or-later" in package["licenseDeclared"]


@pytest.mark.parametrize("given", ["", "status", "status.d/x"])
def test_a_root_without_a_database(image: Image, given: str) -> None:
    if given:
        image.file(f"root/var/lib/dpkg/{given}", b"")
    code, out, err = image.run("out", "--format=slsa", "--sysroot", "root")
    assert code == 0 and json.loads(out)
    note = "note: root: it has no database of dpkg: nothing is known of packages by it\n"
    assert err.partition("  hint")[0] == ("" if given else note)


def test_packages_of_a_lock_file(
    packages: PackagesWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.done("lock", "c.yaml", "--lock", "c.lock")
    packages.done("unpack", "root", "--lock", "c.lock", "c.yaml")
    (packages.path / "bom.yaml").write_text("targets: [{target: /, copy: [{files: [/bin/app]}]}]")
    bom = ["copy-bom", "-f", "bom.yaml", "--root", "out/image", "--sysroot", "root", "--json"]
    os.mkdir("out")
    assert main(bom) == 0
    Path("out/manifest.json").write_text(packages.capsys.readouterr().out)
    assert main(["sbom", "out", "--format", "slsa", "--lock", "c.lock", "c.yaml"]) == 0
    statement = json.loads(packages.capsys.readouterr().out)
    definition = statement["predicate"]["buildDefinition"]
    (package,) = definition["resolvedDependencies"]
    line = next(one for one in Path("c.lock").read_text().splitlines() if '"app"' in one)
    assert package["digest"]["sha256"] == json.loads(line)["sha256"]
    assert package["uri"] == "pkg:deb/debian/app@1?arch=amd64"


def test_what_an_image_has_for_scanners(image: Image) -> None:
    manifest = json.loads((image.path / "out/manifest.json").read_text())
    (entry,) = [one for one in manifest["entries"] if one["path"] == "/libgreet.so.1"]
    entry["provenance"].update(package="libgreet1", version="1.1-1")
    image.file("out/manifest.json", json.dumps(manifest).encode())
    image.file("out/image/var/lib/dpkg/status.d/libgreet1", CONTROL)
    image.file("out/image/usr/share/doc/libgreet1/copyright", COPYRIGHT)
    found = by_name(image.done("out", "--format", "cyclonedx"))["libgreet1"]
    assert found["supplier"]["name"] == "A Greeter <greeter@example.com>"
    assert "licenses" in found


def test_a_file_is_written_or_left_as_it_was(image: Image) -> None:
    assert image.run("out", "--format", "spdx", "--output", "a.json") == (0, "", "")
    before = (image.path / "a.json").read_bytes()
    assert image.run("out", "--format", "spdx", "--output", "b.json") == (0, "", "")
    assert (image.path / "b.json").read_bytes() == before
    image.file("out/image/my-1.dist-info/METADATA", METADATA + b"changed")
    error = image.failed("out", "--format", "spdx", "--output", "a.json")
    assert "METADATA: it is not the file of the manifest" in error
    assert (image.path / "a.json").read_bytes() == before


@pytest.mark.parametrize("format_", ["cyclonedx", "spdx", "slsa"])
def test_standard_output_is_ascii(image: Image, format_: str) -> None:
    name = 'a\x7f\x9b31m\u202e日\U000e0041\\ " é'
    arguments = ("out", "--format", format_, "--name", name)
    code, out, err = image.run(*arguments)
    assert (code, err) == (0, "") and out.isascii() and out.replace("\n", " ").isprintable()
    assert image.run(*arguments, "--output", "a.json") == (0, "", "")
    written = (image.path / "a.json").read_text("utf-8")
    assert name in written.replace('\\"', '"').replace("\\\\", "\\")
    assert json.loads(out) == json.loads(written)


def test_the_graph_of_an_image(image: Image) -> None:
    slsa = image.done("out", "--format", "slsa", "--builder", "https://example.com/ci")
    assert slsa["predicate"]["runDetails"]["builder"]["id"] == "https://example.com/ci"
    digest = slsa["subject"][0]["digest"]["sha256"]
    edge = {"from": "/my-1.dist-info/METADATA", "to": "/libgreet.so.1", "reason": "needed"}
    edges = [{**edge, "name": "libgreet.so.1", "rule": "default directory"}]
    graph = {"schema": 1, "image": digest, "edges": edges, "missing": []}
    image.file("out/graph.json", json.dumps(graph).encode())
    document = image.done("out", "--format", "cyclonedx")
    needs = {one["ref"]: one.get("dependsOn") for one in document["dependencies"]}
    assert needs["pypi/my-dist@1.0"] == ["file/libgreet.so.1"]
    image.file("out/graph.json", json.dumps({**graph, "image": "0"}).encode())
    assert "graph.json: it is of the image '0'" in image.failed("out", "--format", "cyclonedx")


def test_a_manifest_alone(image: Image) -> None:
    (image.path / "out/image").rename(image.path / "elsewhere")
    code, out, err = image.run("out", "--format", "cyclonedx")
    assert code == 0 and err.startswith("note: there is no out/image: Python distributions and")
    assert "my-dist" not in by_name(json.loads(out))
    assert "my-dist" in by_name(image.done("out", "--format=cyclonedx", "--tree=elsewhere"))


def test_the_time_is_an_input(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    document = image.done("out", "--format", "spdx")
    assert document["creationInfo"]["created"] == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "now")
    assert "SOURCE_DATE_EPOCH='now' is no time" in image.failed("out", "--format", "spdx")
    image.done("out", "--format", "cyclonedx")


def test_what_cannot_be(image: Image) -> None:
    cyclonedx = ("--format", "cyclonedx")
    assert "--format" in image.failed("out")
    assert "--builder goes with" in image.failed("out", *cyclonedx, "--builder=x")
    for option in ("--name", "--builder"):
        for value in ("", " "):
            error = image.failed("out", "--format", "slsa", option, value)
            assert error == f"error: {option} is empty\n"
    nowhere = "error: nowhere cannot be read: No such file or directory\n"
    assert image.failed("nowhere", *cyclonedx) == nowhere
    assert "debs/manifest.json cannot be read" in image.failed("debs", *cyclonedx)
    for option in ("--tree", "--sysroot"):
        error = image.failed("out", *cyclonedx, option, "none")
        assert error == "error: none: there is no such directory\n"
    error = image.failed("out", *cyclonedx, "--deb", "bom.yaml")
    assert "bom.yaml: no usable package: it is no ar archive" in error
    manifest = json.loads((image.path / "out/manifest.json").read_text())
    for entry in manifest["entries"]:
        entry["provenance"] = {"bom": "b:1:1", "package": "libgreet1", "version": "1.0"}
    image.file("out/manifest.json", json.dumps(manifest).encode())
    error = image.failed("out", *cyclonedx, "--deb", "debs", "--output", "new.json")
    assert "debs/1.deb: it is libgreet1 1.1-1, and the image has libgreet1 1.0\n" in error
    assert not (image.path / "new.json").exists()
    assert "no/x: No such file" in image.failed("out", *cyclonedx, "--output", "no/x")


def test_a_library_that_is_not_installed(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "cyclonedx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(cast("dict[str, Any]", sys.modules), "cyclonedx.model.bom", None)
    error = image.failed("out", "--format", "cyclonedx", "--output", "a.json")
    assert "--format cyclonedx needs the Python module cyclonedx" in error
    assert "hint: pip install cyclonedx-python-lib==" in error
    assert not (image.path / "a.json").exists()
