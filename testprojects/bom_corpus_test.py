"""The BOM corpus: 125 cases with the recorded results of Occlum's copy_bom, and what is due of us.

A folder of vectors/bom is a case: `input.tar`, and `case.json` with arguments, environment, loader
config and what copy_bom did. `verdicts.json` says what is due: `same`, `fixed` (exit code 0, and
the entries under `has` but none under `hasnt`) or `error` (with that exit code).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bom_corpus_worker

VECTORS = Path("testprojects/vectors/bom").resolve()
VERDICTS: dict[str, dict[str, Any]] = json.loads((VECTORS / "verdicts.json").read_text())
COMPARED = ("type", "mode", "size", "sha256", "target", "mtime")


class Worker:
    """The process that runs cases in its own mount namespace."""

    def __init__(self, scratch: Path) -> None:
        unshare = ["unshare", "--mount", "--propagation", "private"]
        if os.geteuid() != 0:
            unshare.append("--map-root-user")
        script = str(Path(bom_corpus_worker.__file__).resolve())
        self.process = subprocess.Popen(
            [*unshare, sys.executable, script, str(VECTORS), str(scratch)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.is_ready = self.answers.readline() == "ready\n"

    def run(self, name: str) -> Any:
        print(name, file=self.requests, flush=True)
        return json.loads(self.answers.readline())


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    try:
        worker = Worker(tmp_path_factory.mktemp("root"))
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if not worker.is_ready:
        pytest.skip(f"no mount namespace can be made: {worker.process.communicate()[1]}")
    with worker.process:
        yield worker
        worker.requests.close()


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_case(worker: Worker, name: str) -> None:
    verdict, got = VERDICTS[name], worker.run(name)

    assert "Traceback" not in got["stderr"]
    assert got["changed"] == []
    if verdict["verdict"] == "error":
        assert got["code"] in ([verdict["exit"]] if verdict["exit"] else [1, 2]), got["stderr"]
        errors = re.findall(r"(?ms)^error: .*?(?=^error: |^warning: |\Z)", got["stderr"])
        assert errors or name.startswith("122-")  # usage is argparse's to tell
        for error in errors:
            assert "\n  hint: " in error
            # A BOM that does not exist has no lines.
            assert re.match(r"error: [^:\n]+:\d+(:\d+)?: ", error) or name.startswith("119-")
        return
    assert got["code"] == 0, got["stderr"]
    if verdict["verdict"] == "same":
        case = json.loads((VECTORS / name / "case.json").read_text())
        due = case["expected"]["tree"]
        assert _comparable(got["image"], due) == _comparable(due, due)
    for path, due in verdict.get("has", {}).items():
        _check_entry(path, due, got)
    assert [path for path in verdict.get("hasnt", ()) if path in got["image"]] == []


def _check_entry(path: str, due: dict[str, str], got: dict[str, Any]) -> None:
    """`due` is a link's target, a type, or the input whose content the file has."""
    assert path in got["image"]
    entry = got["image"][path]
    if "symlink" in due:
        assert entry.get("target") == due["symlink"]
    if "type" in due:
        assert entry["type"] == due["type"]
    if "file" in due:
        assert entry["sha256"] == got["sha256"][due["file"]]


def _comparable(tree: dict[str, Any], due: dict[str, Any]) -> dict[str, Any]:
    """The entries as far as they are recorded: a time only where an input's time is due."""
    return {
        path: {
            key: entry[key]
            for key in COMPARED
            if key in entry and (key != "mtime" or "mtime" in due.get(path, {}))
        }
        for path, entry in sorted(tree.items())
    }
