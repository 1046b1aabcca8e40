from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.image.testing_schema import check_json
from occlum_build.report.testing import Made


def test_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(Made().write(tmp_path))
    assert main(["size", folder, "--top", "1", "--max", "1KB"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("largest files:\n            100  /data/one\n") and err == ""
    assert main(["size", folder, "--max", "100B"]) == 1
    assert "more than the 100 that are allowed" in capsys.readouterr().err
    assert main(["size", folder, "--json", "--max", "1B"]) == 1
    value = json.loads(capsys.readouterr().out)
    check_json(value, "occlum_build.report", "size.schema.json")
    assert main(["size", folder, "--max", "much"]) == 1
    assert capsys.readouterr().err.startswith("error: 'much' is no size")
    assert main(["size", str(tmp_path / "none")]) == 1


def test_without_a_graph_what_lines_share_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Made().write(tmp_path)
    (folder / "graph.json").unlink()
    for more in ([], ["--json"]):
        assert main(["size", str(folder), *more]) == 0
        assert capsys.readouterr().err.startswith("note: there is no graph.json of this image")
