"""copy-bom twice: the second run finds all as it should be, and touches nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.cli.main import main

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

_NAMES = st.sampled_from(["a", "b", "c d", "ü", "x.o"])
_FILES = st.tuples(st.sampled_from([0o644, 0o755, 0o400]), st.binary(max_size=5))
_TREES = st.recursive(
    st.dictionaries(_NAMES, _FILES | st.sampled_from(["a", "../b", "nowhere"]), max_size=3),
    lambda inner: st.dictionaries(_NAMES, _FILES | inner, max_size=3),
    max_leaves=10,
)
_BOM = """\
excludes: ['*.o']
targets:
- target: /
  mkdirs: [tmp, {path: var/x, mode: "1777"}]
  createlinks: [{src: app/a, linkname: link}]
- target: /app
  copy:
  - {from: src, dirs: [./]}
- target: /again
  copy:
  - {dirs: [src]}
"""
Told = Mapping[str, "tuple[object, ...]"]


@given(_TREES, st.booleans())
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_the_second_run_changes_nothing(tree: Mapping[str, object], sync: bool) -> None:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as top:
        os.chdir(top)
        try:
            make(Path("src"), tree)
            Path("bom.yaml").write_text(_BOM)
            options = ["copy-bom", "-f", "bom.yaml", "--root", "image", *["--sync"] * sync]
            assert main(options) == 0
            first = seen(Path("image"))
            assert main(options) == 0
            assert seen(Path("image")) == first
            assert len(first) >= 6
        finally:
            os.chdir(before)


def make(folder: Path, tree: Mapping[str, object]) -> None:
    folder.mkdir()
    for name, node in tree.items():
        path = folder / name
        if isinstance(node, str):
            path.symlink_to(node)
        elif isinstance(node, tuple):
            mode, content = node
            path.write_bytes(content)
            path.chmod(mode)
        elif isinstance(node, Mapping):
            make(path, node)


def seen(root: Path) -> Told:
    """All that lstat tells of what is in a directory, but for when it was last looked at."""
    found = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        times = (stat.st_mtime_ns, stat.st_ctime_ns)
        found[str(path)] = (stat.st_mode, stat.st_ino, stat.st_size, *times)
    return found
