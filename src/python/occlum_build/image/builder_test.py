from __future__ import annotations

import pytest

from occlum_build.bom.operations import bom_operations
from occlum_build.bom.parse import parse_bom
from occlum_build.errors import OcclumError, Report
from occlum_build.image.builder import ImageBuilder, Program, keep_mode, normal_mode
from occlum_build.image.entries import DIR, FILE
from occlum_build.image.testing import Files, TreeView, plan_bom, program
from occlum_build.image.tree import EmptyBase, ImageTree
from occlum_build.sources.model import SourceStat


class _Denied(TreeView):
    """What has `secret` in its path cannot be read."""

    def lstat(self, path: str) -> SourceStat | None:
        if "secret/" in path:
            raise OcclumError("file", f"{path} cannot be read: Permission denied")
        return super().lstat(path)

    def sha256(self, path: str) -> str:
        if "secret" in path:
            raise OcclumError("file", f"{path} cannot be read: Permission denied")
        return super().sha256(path)


def _apply(bom: str, files: Files) -> tuple[ImageBuilder, list[Program]]:
    report = Report()
    builder = ImageBuilder(_Denied(files), ImageTree(EmptyBase()), keep_mode, report)
    programs = builder.apply(bom_operations(parse_bom(bom.encode(), "f"), "ws", {}, report))
    return builder, programs


@pytest.mark.parametrize(
    ("source", "kind", "mode", "due"),
    [
        ("ws/a", FILE, 0o600, 0o644),
        ("ws/a", FILE, 0o4711, 0o755),
        ("ws/a", FILE, 0o011, 0o644),
        ("ws/d", DIR, 0o700, 0o755),
        ("/bin/su", FILE, 0o4755, 0o4755),
        ("/root", DIR, 0o700, 0o700),
    ],
)
def test_modes(source: str, kind: str, mode: int, due: int) -> None:
    assert normal_mode(source, SourceStat(kind, mode)) == due
    assert keep_mode(source, SourceStat(kind, mode)) == mode


def test_programs_are_what_was_copied_last() -> None:
    bom = (
        "targets: [{target: /, copy: [{dirs: [d/], files: [m, {name: n, autodep: false}, "
        "{name: m, rename: x}]}]}]"
    )
    files: Files = {"ws/d/m": program(), "ws/d/x": program(), "ws/m": b"", "ws/n": program()}
    _, programs = _apply(bom, files)
    found = [(one.source, one.path, one.required, one.autodep) for one in programs]
    assert found == [
        ("ws/m", "m", True, True),
        ("ws/n", "n", True, False),
        ("ws/m", "x", True, True),
    ]


def test_unreadable_sources_are_told_with_their_line_and_end_nothing_else() -> None:
    bom = (
        "targets:\n- target: /\n  copy:\n"
        "  - {dirs: [secret/d]}\n"
        "  - {dirs: ['secret/*']}\n"
        "  - {files: ['secret/*.so']}\n"
        "  - {files: [secret/f]}\n"
        "  - {files: [{name: a-secret, hash: a}]}\n"
        "  - {files: [ok], dirs: [d]}\n"
    )
    files: Files = {"ws/secret/x": b"", "ws/a-secret": b"", "ws/ok": b"", "ws/d/secret/x": b""}
    builder, _ = _apply(bom, files)
    told = [(one.place and one.place.line, "Permission denied" in one.message)
            for one in builder.report.errors]  # fmt: skip
    assert told == [(4, True), (5, True), (9, True), (6, True), (7, True), (8, True)]
    assert builder.tree.entries.keys() == {"d", "d/secret", "ok"}


def test_file_onto_a_link_to_a_directory_goes_into_it() -> None:
    bom = (
        "targets: [{target: /, mkdirs: [d], createlinks: [{src: d, linkname: l}, "
        "{src: gone, linkname: g}], copy: [{files: [{name: a, rename: l}, {name: a, rename: g}]}]}]"
    )
    builder, _ = _apply(bom, {"ws/a": b""})
    kinds = {path: entry.kind for path, entry in builder.tree.entries.items() if entry.kind == FILE}
    assert kinds == {"d/a": FILE, "g": FILE}


def test_a_mode_that_is_said_counts() -> None:
    bom = """
      includes: [other.yaml]
      targets:
        - target: /
          mkdirs: [tmp, {path: tmp/x, mode: "0700"}, {path: new/dir, mode: "0555"}, {path: plain}]
          copy: [{dirs: [../tmp]}]
        - {target: /opt}
    """
    other = b"targets: [{target: /tmp, mkdirs: [{path: ., mode: 1777}], copy: [{from: ../more}]}]"
    files = {"tmp/x/f": b"", "more/g": b"", "other.yaml": other}
    planned = plan_bom(bom, files)
    assert planned.errors == ()
    modes = {path: entry.mode for path, entry in planned.entries.items() if entry.kind == DIR}
    assert modes == {
        "new": 0o755,
        "new/dir": 0o555,
        "opt": 0o755,
        "plain": 0o755,
        "tmp": 0o1777,
        "tmp/x": 0o700,
    }
    assert [one for one in planned.warnings if one.code == "override"] == []


def test_two_modes_of_one_directory() -> None:
    bom = """\
targets:
- target: /
  mkdirs:
  - {path: tmp, mode: "1777"}
  - {path: tmp, mode: "1777"}
  - {path: ./tmp, mode: "0700"}
  - tmp
"""
    planned = plan_bom(bom, {})
    assert planned.entries["tmp"].mode == 0o700
    warning = planned.warning()
    assert str(warning) == "bom.yaml:6:12: overrides what bom.yaml:5:12 puts at /tmp"


def test_the_root_has_one_mode() -> None:
    error = plan_bom('targets: [{target: /, mkdirs: [{path: ., mode: "0700"}]}]', {}).error()
    assert error.message == "the image's root is 0755, always"
