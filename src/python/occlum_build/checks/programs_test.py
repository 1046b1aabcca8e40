from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from occlum_build.checks.programs import program_problems
from occlum_build.checks.root import Root
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import Archive, ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.errors import NOTE, WARNING, Place
from occlum_build.image.entries import Entry, Origin
from occlum_build.image.missing import Searched
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
        "/app/b": b"#! /usr/bin/perl\n",
        "/usr/bin/env": program(),
        "/app/c": b"#!/usr/bin/env node\n",
        "/app/d": b"#! /bin/zsh\r\n",
        "/app/e": b"#!/usr/bin/env -S LANG=C python3\n",
        "/bin/python3": program(),
        **LOADER,
    }
    assert messages(told(files)) == [
        f"{WARNING} interpreter 2 files, /app/a among them, start with `#!/usr/bin/perl -w`, but "
        "the image has no program /usr/bin/perl",
        f"{WARNING} interpreter /app/c starts with `#!/usr/bin/env node`, but the image has no "
        "program node in /usr/local/bin, /usr/bin or /bin",
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


def test_what_is_lacking_is_cut_and_escaped() -> None:
    files: Files = {"/app/a": b"#!/" + b"x" * 200 + b"\n", "/app/b": b"#!/\xff\x1b\n"}
    first, second = messages(told(files))
    assert first.endswith(f"`#!/{'x' * 79}...`, but the image has no program /{'x' * 79}...")
    assert second.endswith(r"has no program /\xff\x1b")


def test_a_line_that_names_nothing() -> None:
    assert messages(told({"/app/a": b"#! \t\n"})) == [
        f"{WARNING} interpreter /app/a names no interpreter in its `#!` line"
    ]


def test_programs_for_another_machine() -> None:
    files: Files = {
        "/bin/a": replace(program(), machine="EM_AARCH64"),
        "/bin/b": replace(program(interpreter=None), machine="EM_AARCH64"),
        "/bin/c": replace(program(), machine="1234"),
        "/bin/d": replace(program(), elf_class=32),
        "/opt/a.so": replace(library(), machine="EM_AARCH64"),
    }
    assert messages(told(files)) == [
        f"{WARNING} program 2 files, /bin/a among them, each is for aarch64 (EM_AARCH64), not "
        "x86-64",
        f"{WARNING} program /bin/c is for machine 1234, not x86-64",
        f"{WARNING} program /bin/d is for x86_64 in 32 bit (EM_X86_64), not x86-64",
    ]


def test_what_planning_has_told_is_not_told_again() -> None:
    files: Files = {
        "/bin/a": replace(program(), machine="EM_AARCH64"),
        "/bin/b": program(interpreter="/lib/ld.so"),
        "/bin/c": program(interpreter="/lib/ld.so"),
    }
    root = told(files)
    root.searched = Searched(refused=frozenset(["/bin/a", "/bin/b"]))
    (problem,) = program_problems(root)
    assert problem.message.startswith("/bin/c needs the loader /lib/ld.so")


def test_the_hint_speaks_of_autodep_where_it_is_switched_off() -> None:
    root = told({"/bin/a": program(interpreter="/lib/ld.so")})
    (problem,) = program_problems(root)
    assert problem.hint == "copy the loader to /lib/ld.so"
    root.searched = Searched(left_alone=frozenset(["/bin/a"]))
    (problem,) = program_problems(root)
    assert problem.hint.endswith("or the program without `autodep: false`, which brings its loader")


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


def test_a_static_program_without_an_execute_bit() -> None:
    static = ElfFacts("ET_EXEC", "EM_X86_64", 64)
    (message,) = messages(told({"/bin/go": static}, {"/bin/go": 0o644}))
    assert message == f"{WARNING} program /bin/go has no execute bit (its mode is 0644)"
    assert messages(told({"/lib/go": static}, {"/lib/go": 0o644})) == []


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
