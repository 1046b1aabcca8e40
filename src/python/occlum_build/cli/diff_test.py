from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.image.testing_schema import check_json
from occlum_build.report.testing import FILES, Made


def test_exit_codes_are_those_of_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = str(Made().write(tmp_path / "old"))
    new = str(Made(files={**FILES, "ws/data/one": b"2"}).write(tmp_path / "new"))
    assert main(["diff", old, f"{old}/manifest.json"]) == 0
    assert capsys.readouterr().out == "the image does not move MRENCLAVE\n"
    assert main(["diff", old, new]) == 1
    assert "  changed /data/one: 100 -> 1 bytes\n" in capsys.readouterr().out
    assert main(["diff", "--json", old, new]) == 1
    value = json.loads(capsys.readouterr().out)
    check_json(value, "occlum_build.report", "diff.schema.json")
    assert (value["bytes"], value["mrenclave"]) == (-99, "moves")
    assert main(["diff", old, str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    (tmp_path / "none").write_text("")
    assert main(["diff", str(tmp_path / "none"), str(tmp_path / "none")]) == 2
    assert main(["diff", old, "git:x:y"]) == 2
    with pytest.raises(SystemExit) as usage:
        main(["diff", old])
    assert usage.value.code == 2
