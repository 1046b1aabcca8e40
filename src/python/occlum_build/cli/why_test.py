from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.image.testing_schema import check_json
from occlum_build.report.testing import Made

MADE = Made()


def test_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(MADE.write(tmp_path))
    assert main(["why", folder, "liby.so", "/data/tmp"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:3] == [
        *("/lib64/liby.so: file, 64 bytes", "  bom.yaml:4:20 copies ws/b", "  -> /bin/b"),
    ]
    assert err == ""
    assert main(["why", folder, "--all", "liby.so"]) == 0
    assert capsys.readouterr().out.count("bom.yaml") == 2


def test_why_as_json_of_what_is_there_and_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", str(MADE.write(tmp_path)), "--json", "liby.so", "none"]) == 1
    out, err = capsys.readouterr()
    value = json.loads(out)
    check_json(value, "occlum_build.report", "why.schema.json")
    assert [answer["as"] for answer in value["answers"]] == ["name", "absent"]
    assert err.startswith("error: none: the image does not have it; looked for\n")


def test_errors_and_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", str(tmp_path), "x"]) == 1
    assert "has no manifest.json" in capsys.readouterr().err
    folder = MADE.write(tmp_path)
    (folder / "graph.json").write_text("{}")
    assert main(["why", str(folder), "x"]) == 1
    assert "graph.json: the document has no 'schema'" in capsys.readouterr().err
    (folder / "graph.json").unlink()
    assert main(["why", str(folder), "liby.so"]) == 0
    assert "note: there is no graph.json" in capsys.readouterr().err
    assert main(["why", str(folder), ""]) == 1
    assert capsys.readouterr().err.startswith("error: '' asks for nothing\n  hint: ")
