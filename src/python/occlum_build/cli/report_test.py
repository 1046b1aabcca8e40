from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from occlum_build.cli.main import main
from occlum_build.report.testing import BOM, Made


def data(file: Path) -> Any:
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', file.read_text()
    )
    return json.loads(text)


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = Made().write(tmp_path / "image"), tmp_path / "report.html"
    assert main(["report", str(folder), "-o", str(out)]) == 0
    made = data(out)
    assert (made["name"], made["difference"], made["measurement"]) == ("image", None, None)
    assert made["digest"] == f"sha256:{Made().manifest.digest}"
    assert str(tmp_path) not in out.read_text()
    assert capsys.readouterr() == ("", "")
    first = out.read_bytes()
    assert main(["report", str(folder / "manifest.json"), "--output", str(out)]) == 0
    assert out.read_bytes() == first


def test_against_an_earlier_image(tmp_path: Path) -> None:
    folder, out = Made().write(tmp_path / "new"), tmp_path / "report.html"
    old = Made(bom=BOM.replace("[a, b]", "[a]")).write(tmp_path / "old")
    options = ["--against", str(old), "--name", "app:image", "-o", str(out)]
    assert main(["report", str(folder), *options]) == 0
    made = data(out)
    assert made["name"] == "app:image"
    assert made["difference"]["causes"][0]["changes"] == [["added", "/bin/b", "64 bytes"]]


def test_without_its_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = Made().write(tmp_path / "image"), tmp_path / "report.html"
    Made(bom=BOM.replace("[a, b]", "[a]")).write(tmp_path / "other")
    (tmp_path / "other/graph.json").replace(folder / "graph.json")
    assert main(["report", str(folder), "-o", str(out)]) == 0
    assert "it is of another image than the manifest" in capsys.readouterr().err
    made = data(out)
    assert made["graph"] is None and str(tmp_path) not in out.read_text()
    assert [one["severity"] for one in made["problems"]] == ["warning", "note"]


@pytest.mark.parametrize("name", ["mrenclave", "mrsigner"])
def test_measurement_that_is_no_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder, out = Made().write(tmp_path / "image"), tmp_path / "report.html"
    record = {"schema": 1, "mrenclave": "ab" * 32, "mrsigner": "cd" * 32, "debuggable": True}
    record.update({"inputs": {"image": {"type": "encrypted"}, "initfs": {}}, name: "00; id #"})
    (folder / "measurement.json").write_text(json.dumps(record))
    assert main(["report", str(folder), "-o", str(out)]) == 1
    error = capsys.readouterr().err
    assert f"its {name} is '00; id #', and no 64 hex digits" in error and "build the" in error
    assert not out.exists()


def test_what_cannot_be_shown_leaves_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    out.write_text("before")
    folder = Made().write(tmp_path / "image")
    record = {"schema": 1, "mrenclave": "00", "mrsigner": None, "debuggable": True}
    record["inputs"] = {"image": {"type": "encrypted"}, "initfs": {}}
    (tmp_path / "measurement.json").write_text(json.dumps(record))
    for arguments, error in (
        ([str(tmp_path / "none")], "none"),
        ([str(tmp_path / "measurement.json")], "has a measurement alone, and no entries"),
        ([str(folder), "--against", str(tmp_path / "measurement.json")], "nothing in common"),
        ([str(folder), "--name", " "], "--name is empty"),
    ):
        assert main(["report", *arguments, "-o", str(out)]) == 1
        assert error in capsys.readouterr().err
    assert out.read_text() == "before"
    with pytest.raises(SystemExit):
        main(["report", str(folder)])
