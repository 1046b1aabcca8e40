"""Installs a wheel as files of an image: `python -m occlum_build.wheels.install WHEEL SHA256 ...`.

Nothing is compiled, and what comes out depends on the wheel and the layout alone. The files are
where they are in the image, with RECORD and scripts as pip would make them.
"""

from __future__ import annotations

import json
import posixpath
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from occlum_build.elf.facts import may_hold_elf
from occlum_build.files.compressed import BadArchive
from occlum_build.files.json_text import load_json
from occlum_build.files.shape import ListOf, check_shape
from occlum_build.packages.tree import TreeWriter
from occlum_build.process.step import run_step
from occlum_build.shown import quoted
from occlum_build.wheels.archive import Wheel, check_parents, opened
from occlum_build.wheels.record import UNHASHED, Hashing, Installed, read_record, record_text
from occlum_build.wheels.scripts import entry_scripts, with_interpreter

INSTALLER = b"occlum-build\n"
# What an installer writes, and no wheel.
_OF_INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")


class Layout(NamedTuple):
    """Where things of a wheel go, absolute paths of the image; python: as `3.11`."""

    target: str
    prefix: str
    interpreter: str
    python: str

    def scheme(self, name: str, project: str) -> str:
        """The directory of a key of `*.data` (PEP 427); "" for one that there is not."""
        return {
            "purelib": self.target,
            "platlib": self.target,
            "scripts": f"{self.prefix}/bin",
            "data": self.prefix or "/",
            "headers": f"{self.prefix}/include/python{self.python}/{project}",
        }.get(name, "")


class Content(NamedTuple):
    """What `install` found: the paths of files that may be, or hold, ELF files."""

    may_hold_elf: tuple[str, ...]

    def to_json(self) -> bytes:
        return json.dumps({"elf": self.may_hold_elf}).encode()

    @classmethod
    def from_json(cls, data: bytes, name: str) -> Content:
        """The inverse of `to_json`. Raises OcclumError `wheel-index`."""
        value: Any = load_json(data, name, code="wheel-index")
        check_shape(value, {"elf": ListOf(str)}, name, code="wheel-index")
        return cls(tuple(value["elf"]))


class _File(NamedTuple):
    """A file to be: what it has, from the wheel or made here, and whether it may be run."""

    source: str
    content: bytes | None
    is_executable: bool
    is_script: bool = False


def install(path: Path, name: str, layout: Layout, out: Path, sha256: str = "") -> Content:
    """Write the files of a wheel below a new directory that stands for `/` of the image.

    `name` is that of the wheel's file. Raises OcclumError as `opened` does, OSError.
    """
    with opened(path, name, sha256) as wheel:
        record = wheel.text("RECORD")
        if record is None:
            raise BadArchive("it has no RECORD")
        hashes = read_record(record)
        files = _files(wheel, layout)
        own = posixpath.join(layout.target, wheel.dist_info, "RECORD")
        check_parents({one[1:]: None for one in (*files, own)})
        out.mkdir()
        with TreeWriter(str(out)) as tree:
            writing = _Writing(wheel, layout, tree, hashes)
            for place in sorted(files):
                writing.write(place, files[place])
            tree.file(own, 0o644, [record_text(writing.installed, writing.relative(own))])
        return Content(tuple(writing.may_hold_elf))


def _files(wheel: Wheel, layout: Layout) -> dict[str, _File]:
    """What goes where. Raises BadArchive."""
    files: dict[str, _File] = {}

    def add(place: str, file: _File) -> None:
        if place in files:
            raise BadArchive(f"two files of it would be {quoted(place)}")
        files[place] = file

    project = wheel.dist_info.partition("-")[0]
    for name in wheel.files:
        directory, is_script = layout.target, False
        below = name
        if name.startswith(f"{wheel.data}/"):
            key, _, below = name[len(wheel.data) + 1 :].partition("/")
            directory, is_script = layout.scheme(key, project), key == "scripts"
            if not directory or not below:
                raise BadArchive(f"nothing is known of {quoted(name)} in it, by its directory")
            if key in ("purelib", "platlib") and _is_compiled(below):
                continue
        elif _is_left_out(name, wheel.dist_info):
            continue
        may_run = is_script or wheel.is_executable(name)
        add(posixpath.join(directory, below), _File(name, None, may_run, is_script))
    scripts = entry_scripts(wheel.text("entry_points.txt") or "", layout.interpreter)
    for name, content in scripts.items():
        add(posixpath.join(layout.scheme("scripts", project), name), _File("", content, True))
    own = posixpath.join(layout.target, wheel.dist_info, "INSTALLER")
    add(own, _File("", INSTALLER, False))
    return files


def _is_left_out(name: str, dist_info: str) -> bool:
    """Whether it is what an installer writes, or of another machine's Python."""
    directory, last = posixpath.split(name)
    return _is_compiled(name) or (directory == dist_info and last in _OF_INSTALLERS)


def _is_compiled(name: str) -> bool:
    return "__pycache__" in name.split("/")[:-1]


class _Writing:
    """Writes files one by one; `installed` is what RECORD has of them, by their relative paths."""

    def __init__(
        self, wheel: Wheel, layout: Layout, tree: TreeWriter, hashes: Mapping[str, str]
    ) -> None:
        self.installed: dict[str, Installed] = {}
        self.may_hold_elf: list[str] = []
        self._wheel, self._layout, self._tree, self._hashes = wheel, layout, tree, hashes

    def relative(self, place: str) -> str:
        return posixpath.relpath(place, self._layout.target)

    def write(self, place: str, file: _File) -> None:
        written = Hashing(place, None)
        mode = 0o755 if file.is_executable else 0o644
        self._tree.file(place, mode, self._noted(place, self._chunks(file), written))
        self.installed[self.relative(place)] = written.installed()

    def _noted(self, place: str, chunks: Iterator[bytes], written: Hashing) -> Iterator[bytes]:
        is_first = True
        for chunk in chunks:
            if is_first and may_hold_elf(chunk):
                self.may_hold_elf.append(place)
            is_first = False
            written.update(chunk)
            yield chunk

    def _chunks(self, file: _File) -> Iterator[bytes]:
        if file.content is not None:
            yield file.content
            return
        expected = self._hashes.get(file.source)
        name = file.source.rpartition("/")[2]
        if expected is None and name not in UNHASHED:
            raise BadArchive(f"RECORD has no hash of {quoted(file.source)} in it")
        read = Hashing(file.source, expected)
        is_first = True
        for chunk in self._wheel.chunks(file.source):
            read.update(chunk)
            if is_first and file.is_script:
                chunk = with_interpreter(chunk, self._layout.interpreter)
            is_first = False
            yield chunk
        read.checked()


def _step(
    wheel: str,
    sha256: str,
    name: str,
    target: str,
    prefix: str,
    interpreter: str,
    python: str,
    out: str,
    index: str,
) -> None:
    layout = Layout(target, prefix, interpreter, python)
    found = install(Path(wheel), name, layout, Path(out), sha256)
    Path(index).write_bytes(found.to_json())


if __name__ == "__main__":
    usage = (
        "occlum_build.wheels.install WHEEL SHA256 NAME TARGET PREFIX INTERPRETER PYTHON OUT_DIR "
        "OUT_JSON"
    )
    sys.exit(run_step(_step, sys.argv[1:], usage))
