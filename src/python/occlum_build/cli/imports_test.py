"""What a run of `copy-bom` imports and makes when it starts, which is most of a small run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# Slow to import, and of no use to a run that copies a program with its libraries.
NOT_IMPORTED = {
    *("bz2", "difflib", "hashlib", "http", "json", "logging", "lzma", "multiprocessing"),
    *("pathlib", "pkgutil", "random", "shutil", "socket", "subprocess", "tempfile", "urllib.parse"),
    *("zipfile", "zlib", "cryptography", "elftools", "networkx", "packaging", "xxhash"),
    *("occlum_build.files.json_text", "occlum_build.files.stages", "occlum_build.sources.recorded"),
    *("occlum_build.image.graph", "occlum_build.image.manifest", "occlum_build.report"),
}
MOST_MODULES = 110  # of the library
MOST_DATACLASSES = (
    22  # each is made anew in each run, in half a millisecond; a NamedTuple in a tenth
)
MOST_PATTERNS = 48  # compiled, in some tenths of one

COMMAND = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
import dataclasses, re
compiler = getattr(re, '_compiler', None) or sys.modules['sre_compile']  # before 3.11
made, compiled = [], []
make, compile_ = dataclasses._process_class, compiler.compile
def making(cls, *arguments):
    made.append(cls)
    return make(cls, *arguments)
def compiling(*arguments):
    compiled.append(arguments)
    return compile_(*arguments)
dataclasses._process_class = making
compiler.compile = compiling
before = set(sys.modules)
from occlum_build.cli.main import main
assert main() == 0
found = sorted(set(sys.modules) - before)
import json
print(json.dumps([found, len(made), len(compiled)]))
"""


def test_a_small_run_starts_with_little(tmp_path: Path) -> None:
    bom = "targets:\n- target: /bin\n  copy: [{files: [/usr/bin/env]}]\n"
    (tmp_path / "bom.yaml").write_text(bom)
    library = Path(__file__).parents[2]
    packages = [path for path in sys.path if path.endswith("-packages")]
    library_and_packages = os.pathsep.join([str(library), *packages])
    arguments = ["copy-bom", "-f", "bom.yaml", "--root", "image"]
    output = subprocess.run(
        [sys.executable, "-I", "-S", "-c", COMMAND, library_and_packages, *arguments],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env={},
    ).stdout
    found, dataclasses, patterns = json.loads(output)
    assert (tmp_path / "image/bin/env").exists()
    assert NOT_IMPORTED.isdisjoint(found), sorted(NOT_IMPORTED.intersection(found))
    assert sum(one.startswith("occlum_build") for one in found) <= MOST_MODULES
    assert 0 < dataclasses <= MOST_DATACLASSES
    assert 0 < patterns <= MOST_PATTERNS
