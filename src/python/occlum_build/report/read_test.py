from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable

import pytest

from occlum_build.errors import OcclumError, Report
from occlum_build.report.read import read_image
from occlum_build.report.testing import Made

MADE = Made()


def manifest() -> Any:
    return json.loads(MADE.manifest.full)


def test_what_package_wrote(tmp_path: Path) -> None:
    folder, report = MADE.write(tmp_path), Report()
    for path in (folder, folder / "manifest.json"):
        image = read_image(path, report)
        assert (image.items, image.graph) == (MADE.image.items, MADE.graph)
        assert image.name == str(folder / "manifest.json")
    assert report.warnings == []
    (folder / "graph.json").unlink()
    assert read_image(folder, report).graph is None


def test_manifest_that_was_written_in_another_way(tmp_path: Path) -> None:
    folder, report = MADE.write(tmp_path), Report()
    (folder / "manifest.json").write_text(json.dumps(manifest(), indent=1))
    assert read_image(folder, report).graph == MADE.graph
    assert report.warnings == []


def test_name_that_ends_as_the_provenance_does(tmp_path: Path) -> None:
    value, report = manifest(), Report()
    value["entries"][1]["provenance"]["source"] = 'x"}, {"},'
    folder = MADE.write(tmp_path)
    (folder / "manifest.json").write_text(json.dumps(value, separators=(",", ":")))
    assert read_image(folder, report).graph == MADE.graph


def test_graph_of_another_image(tmp_path: Path) -> None:
    folder, report = MADE.write(tmp_path), Report()
    value = manifest()
    value["entries"][1]["mode"] = "0700"
    (folder / "manifest.json").write_text(json.dumps(value))
    assert read_image(folder, report).graph is None
    (warning,) = report.warnings
    assert warning.place is not None and warning.place.file == str(folder / "graph.json")
    assert "of another image" in warning.message


def test_names_with_points(tmp_path: Path) -> None:
    value = manifest()
    value["entries"][-1]["path"] = "/.x/..y/z./...//".rstrip("/")
    (tmp_path / "manifest.json").write_text(json.dumps(value))
    assert "/.x/..y/z./..." in read_image(tmp_path, Report()).items


def test_manifest_without_provenance(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(MADE.manifest.identity)
    assert read_image(tmp_path, Report()).items["/bin/a"].bom == ""


def change(**keys: Any) -> Callable[[Any], None]:
    return lambda value: value["entries"][-1].update(keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.update(schema=2), "its schema is 2, not 1"),
        (lambda value: value.pop("entries"), "has no 'entries'"),
        (change(path="bin"), "'bin' is no path of an entry"),
        (change(path="/bin/"), "'/bin/' is no path of an entry"),
        (change(path="//a"), "'//a' is no path of an entry"),
        (change(path="/x//y"), "'/x//y' is no path of an entry"),
        (change(path="/x/../z"), "'/x/../z' is no path of an entry"),
        (change(path="/x/."), "'/x/.' is no path of an entry"),
        (change(path="/bin/a"), "it has '/bin/a' twice"),
        (change(type="fifo"), "has the type 'fifo'"),
        (change(mode="rwx"), "has the mode 'rwx'"),
        (change(type="file", size=-1), "has the size -1"),
        (change(provenance=[]), ".provenance is a list, not an object"),
        (lambda value: value["entries"].pop(0), "it has no entry for the root, /"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    value = manifest()
    change(value)
    (tmp_path / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(OcclumError) as error:
        read_image(tmp_path, Report())
    (problem,) = error.value.problems
    assert (problem.code, str(problem.place)) == ("manifest", str(tmp_path / "manifest.json"))
    assert message in problem.message


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"{", "not JSON"),
        (b'{"schema":1}', "has no 'image'"),
        (b'{"schema":3}', "its schema is 3"),
        (
            b'{"schema":1,"image":"%s","missing":[],"edges":[{"from":"/a","to":"/b","reason":"x",'
            b'"name":"","rule":""}]}' % MADE.manifest.digest.encode(),
            "'x' is no reason of an edge",
        ),
    ],
)
def test_what_is_no_graph(tmp_path: Path, graph: bytes, message: str) -> None:
    folder = MADE.write(tmp_path, {"graph.json": graph})
    with pytest.raises(OcclumError, match=r"graph\.json") as error:
        read_image(folder, Report())
    assert message in str(error.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match=r"has no manifest.json") as error:
        read_image(tmp_path, Report())
    assert "package" in error.value.problems[0].hint
    with pytest.raises(OcclumError, match="cannot be read: No such file"):
        read_image(tmp_path / "none", Report())
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(OcclumError, match="not a regular file"):
        read_image(tmp_path, Report())
