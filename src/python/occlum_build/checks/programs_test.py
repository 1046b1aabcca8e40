from __future__ import annotations

from collections.abc import Mapping

from occlum_build.checks.programs import program_problems
from occlum_build.checks.root import Root
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import Archive
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.errors import NOTE, WARNING, Place
from occlum_build.image.entries import Entry, Origin
from occlum_build.image.testing import Files, library, program

LOADER = {GLIBC_LOADER: library()}
TREE = Origin(Place("bom.yaml", 9, 9), in_tree=True)


def told(files: Files, modes: Mapping[str, int] | None = None, *, in_tree: bool = False) -> Root:
    given = dict.fromkeys(files, 0o755)
    root = root_of(files, {**given, **(modes or {})})
    if not in_tree:
        return root
    entries = [root.at(path) for path in root.paths]
    return Root([_from_tree(one) for one in entries if one is not None and one.path], root.sources)


def _from_tree(entry: Entry) -> Entry:
    return entry._replace(origin=TREE)


def messages(root: Root) -> list[str]:
    return [f"{one.severity} {one.code} {one.message}" for one in program_problems(root)]


def test_one_line_for_each_interpreter_that_is_lacking() -> None:
    files: Files = {
        "/app/a": b"#!/usr/bin/perl -w\n",
        "/app/b": b"#!/usr/bin/perl -w\n",
        "/usr/bin/env": program(),
        "/app/c": b"#!/usr/bin/env node\n",
        "/app/d": b"#! /bin/zsh\r\n",
        "/app/e": b"#!/usr/bin/env -S LANG=C python3\n",
        "/bin/python3": program(),
        **LOADER,
    }
    assert messages(told(files)) == [
        f"{WARNING} interpreter /app/c starts with `#!/usr/bin/env node`, but the image has no "
        "program node in /usr/local/bin, /usr/bin or /bin",
        f"{WARNING} interpreter 2 files, /app/a among them, start with `#!/usr/bin/perl -w`, but "
        "the image has no program /usr/bin/perl",
        f"{WARNING} interpreter /app/d has a carriage return at the end of its `#!` line, which "
        "counts as part of it",
    ]
    (first, *_) = program_problems(told(files))
    assert first.place == Place("bom.yaml", 3, 7)


def test_programs_whose_loader_is_lacking() -> None:
    files: Files = {f"/bin/{name}": program(interpreter="/lib/ld.so") for name in "ab"}
    assert messages(told(files)) == [
        f"{WARNING} interpreter 2 files, /bin/a among them, each needs the loader /lib/ld.so, "
        "which is not in the image"
    ]
    assert messages(told({**files, "/lib/ld.so": library()})) == []


def test_programs_without_an_execute_bit() -> None:
    files: Files = {
        "/bin/app": program(),
        "/usr/sbin/run": b"#!/bin/app\n",
        "/bin/data": b"x",
        "/lib/plugin.so.1": program(),
        "/app/tool": program(),
        **LOADER,
    }
    modes = dict.fromkeys(files, 0o644)
    assert messages(told(files, {**modes, GLIBC_LOADER: 0o755})) == [
        f"{WARNING} program 2 files, /bin/app among them, each has no execute bit (its mode is "
        "0644)"
    ]


def test_what_comes_with_a_directory_is_a_note_and_only_in_a_directory_of_programs() -> None:
    scripts: Files = {
        "/opt/venv/bin/pip": b"#!/build/venv/bin/python\n",
        "/usr/lib/python3.11/pdb.py": b"#!/usr/bin/python3.11\n",
    }
    assert messages(told(scripts, in_tree=True)) == [
        f"{NOTE} interpreter /opt/venv/bin/pip starts with `#!/build/venv/bin/python`, but the "
        "image has no program /build/venv/bin/python"
    ]


def test_what_is_not_looked_at() -> None:
    files: Files = {
        "/app/library.so": b"#!/bin/none\n",
        "/app/archive": Archive("/bin/none"),  # looked at where it is planned
        "/app/read": b"#!/bin/none\n",
        "/app/static": library(),
    }
    assert messages(told(files, {"/app/read": 0o644})) == []
