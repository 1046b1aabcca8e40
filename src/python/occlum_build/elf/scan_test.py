from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from occlum_build.elf.facts import outcome_to_json
from occlum_build.elf.read import read_facts
from occlum_build.elf.scan import main, scan

PROGRAM = Path(sys.executable).resolve()


def test_scan_writes_one_canonical_json(tmp_path: Path) -> None:
    blobs = tmp_path / "in"
    blobs.mkdir()
    (blobs / "bb").write_bytes(PROGRAM.read_bytes())
    (blobs / "aa").write_bytes(b"text")
    (blobs / "cc").write_bytes(b"\x7fELF junk")
    (blobs / "ee").write_bytes(b"#!/\xff\n")
    with zipfile.ZipFile(blobs / "dd", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(PROGRAM, "bin/python")
    out = tmp_path / "facts.json"
    command = [sys.executable, "-m", "occlum_build.elf.scan", str(blobs), str(out)]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b""
    text = out.read_text()
    facts = json.loads(text)
    assert list(facts) == ["aa", "bb", "cc", "dd", "ee"]
    assert facts["aa"] is None
    assert facts["bb"] == outcome_to_json(read_facts(PROGRAM.read_bytes()))
    assert facts["cc"]["malformed"]
    assert facts["dd"]["archive"] == {"bin/python": facts["bb"]}
    assert facts["ee"]["script"] == "/\udcff"
    assert text == scan(str(blobs))
    assert text == json.dumps(facts, sort_keys=True, separators=(",", ":")) + "\n"


def test_wrong_arguments_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["only-one"]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_closures_need_no_requirement() -> None:
    code = (
        "import sys, occlum_build.elf.linker, occlum_build.image.graph;"
        "from occlum_build.elf.read import read_facts;"
        "assert read_facts(open(sys.executable, 'rb')) is not None;"
        "sys.exit(any(name.split('.')[0] in ('elftools', 'networkx') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
