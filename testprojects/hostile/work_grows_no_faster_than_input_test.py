"""Input of others makes no more work than it is long, counted at n and 4n.

What is counted are calls, of functions and of what they are built on: no clock is asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import pytest

from occlum_build.bom.excludes import compile_excludes
from occlum_build.bom.load import load_boms
from occlum_build.bom.model import Text
from occlum_build.bom.operations import bom_operations
from occlum_build.bom.parse import parse_bom
from occlum_build.bom.variables import expand
from occlum_build.checks.enclave import check_enclave
from occlum_build.checks.image import check_image
from occlum_build.checks.libraries import library_path_of
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.elf.ld_so_cache import read_cache
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.elf.testing import MemoryView, ld_so_cache
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.image.plan import BomSet, PlanOptions, plan_image
from occlum_build.image.testing import Files, TreeView
from occlum_build.packages.release import parse_release
from occlum_build.packages.resolve import Wish, resolve
from occlum_build.packages.signature import Signed
from occlum_build.packages.testing_universe import universe
from occlum_build.sgx.config import check, default_config, merge, parse_json
from occlum_build.sgx.xml_config import parse_config
from occlum_build.sources.model import DIR, SourceStat
from occlum_build.switch.script import read_script
from occlum_build.switch.tree import BomFile, Tree
from occlum_build.sysroot.lock import read_lock

MOST_GROWTH = 4.6  # at 4 times the input; what sorts grows a little faster
PLACE = Place("f", 1, 1)
ELF = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)


@dataclass(frozen=True)
class Growing:
    """Input of a size, and what is done with it."""

    make: Callable[[int], Any]
    work: Callable[[Any], Any]
    size: int = 100


def _resolve(lines: list[str]) -> None:
    resolve(universe("\n".join(lines)), Wish(["p0"]))


def _load(boms: Mapping[str, str]) -> None:
    load_boms("0", (), {}, lambda path: boms[path].encode() if path in boms else None, Report())


def _follow(script: str) -> None:
    bom = BomFile(parse_bom(b"targets: [{target: /, copy: [{files: [$A]}]}]", "b.yaml"))
    tree = Tree(Path("/"), boms={"b.yaml": bom}, scripts={"a.sh": script})
    read_script("a.sh", script, tree)


def _parse(text: str) -> None:
    parse_bom(text.encode(), "f")


def _operate(text: str) -> None:
    bom_operations(parse_bom(text.encode(), "f"), "ws", {}, Report())


def _plan(files_and_bom: tuple[Files, str]) -> None:
    files, text = files_and_bom
    bom = parse_bom(text.encode(), "f")
    plan_image([BomSet((bom,), "ws", {}, LoaderConfig())], PlanOptions(), TreeView(files), Report())


def _copies(lines: list[str], kind: str = "dirs") -> str:
    return f"targets: [{{target: /, copy: [{{{kind}: [{', '.join(lines)}]}}]}}]"


def _config(values: Mapping[str, Any]) -> Any:
    document = merge(default_config(), parse_json(json.dumps(values).encode(), "f"))
    return check_enclave(
        root_of({"/bin/a": b"#!/bin/b\n", "/bin/b": ELF}, {"/bin/a": 0o755}),
        document,
        check(document).config,
        mounts_image=True,
        of_image=[],
    )


def _close(view: MemoryView) -> None:
    Linker(view, LoaderConfig()).close("m", "/bin/m")


class _Flat(MemoryView):
    """One that knows its directories without looking through all entries."""

    def __init__(self, entries: dict[str, ElfFacts | bytes | str], dirs: Iterable[str]) -> None:
        super().__init__(entries)
        self._dirs = {"/", *dirs}

    def lstat(self, path: str) -> SourceStat | None:
        if path in self.entries:
            return super().lstat(path)
        return SourceStat(DIR) if path in self._dirs else None


def _programs(
    count: int, needed: int, runpath: int, *, are_there: bool = False
) -> tuple[int, MemoryView]:
    """Programs that need libraries which are nowhere."""
    entries: dict[str, ElfFacts | bytes | str] = {GLIBC_LOADER: ELF}
    dirs = tuple(f"/d{at}" for at in range(runpath))
    for at in range(count):
        names = tuple(f"l{at}-{name}.so" for name in range(needed))
        entries[f"m{at}"] = replace(ELF, interpreter=GLIBC_LOADER, needed=names, runpath=dirs)
    return count, _Flat(entries, [*(dirs if are_there else ()), "/lib", "/lib64"])


def _chain(length: int) -> tuple[int, MemoryView]:
    """Libraries of which each needs the next, and all have the same RPATH."""
    dirs = tuple(f"/d{at}" for at in range(20))
    entries: dict[str, ElfFacts | bytes | str] = {
        f"/lib/l{at}.so": replace(ELF, needed=(f"l{at + 1}.so",), rpath=dirs)
        for at in range(length)
    }
    program = replace(ELF, interpreter=GLIBC_LOADER, needed=("l0.so",), rpath=dirs)
    return 1, _Flat({**entries, "m0": program, GLIBC_LOADER: ELF}, ["/lib", "/lib64"])


def _one_directory(names: int) -> tuple[int, MemoryView]:
    """A directory under many names, with libraries for another machine."""
    needed = tuple(f"l{at}.so" for at in range(20))
    entries: dict[str, ElfFacts | bytes | str] = {
        f"/d/{one}": replace(ELF, machine="EM_386") for one in needed
    }
    entries.update((f"/n{at}", "-> /d") for at in range(names))
    dirs = tuple(f"/n{at}" for at in range(names))
    program = replace(ELF, interpreter=GLIBC_LOADER, needed=needed, runpath=dirs)
    return 1, _Flat({**entries, "m0": program, GLIBC_LOADER: ELF}, ["/d", "/lib", "/lib64"])


def _close_all(programs: tuple[int, MemoryView]) -> None:
    image: dict[str, str] = {}
    linker = Linker(
        *(programs[1], LoaderConfig()),
        image_lookup=image.get,
        image_has_dir=lambda path: path in image,
    )
    for at in range(programs[0]):
        linker.close(f"m{at}", f"/bin/m{at}")


def _link_bombs(copies: int) -> tuple[Files, str]:
    """Copies of three levels of directories, each of which has ten links to the next."""
    links = {f"/d{at}/l{to}": f"-> /d{at + 1}" for at in range(3) for to in range(10)}
    targets = "".join(f"- {{target: /t{at}, copy: [{{dirs: [/d0]}}]}}\n" for at in range(copies))
    return {**links, "/d3/f": b""}, f"targets:\n{targets}"


def _ramfs(count: int) -> list[Any]:
    return [{"target": f"/m{at}", "type": "ramfs"} for at in range(count)]


GROWING = {
    "variables": Growing(lambda n: "$A" * n, lambda text: expand(Text(text, PLACE), {}, Report())),
    "open braces": Growing(lambda n: "${" * n, lambda t: expand(Text(t, PLACE), {}, Report())),
    "mistakes": Growing(lambda n: "targets:\n" + "- {target: /, tarket: 1}\n" * n, _parse),
    "undefined variables": Growing(
        lambda n: "targets:\n" + "".join(f"- target: /$A{at}\n" for at in range(n)), _operate
    ),
    "deep target": Growing(lambda n: f"targets: [{{target: {'/a' * n}}}]", _operate),
    "aliases": Growing(lambda n: "excludes: [&a b" + ", *a" * n + "]", _parse),
    "literal excludes": Growing(
        lambda n: [f"d{at}/a" for at in range(n)],
        lambda some: [*map(compile_excludes(some), (f"x/{one}b" for one in some), some)],
    ),
    "wildcard excludes": Growing(
        lambda n: [f"*{at}*a" for at in range(n)],
        lambda some: compile_excludes(some)("x" * 99, False),
    ),
    "stars of an exclude": Growing(
        lambda n: ["**a*" * n], lambda some: compile_excludes(some)("a" * 50, False)
    ),
    "names under stars": Growing(
        lambda n: "a" * n, lambda name: compile_excludes(["**a*a**ab"])(name, False)
    ),
    "chain of includes": Growing(
        lambda n: {str(at): f"includes: ['{at + 1}']" for at in range(n)} | {str(n): "{}"}, _load
    ),
    "includes of all later ones": Growing(
        # The includes are as many as the square of the BOMs: sizes in which they grow four times.
        lambda n: {
            str(at): f"includes: [{', '.join(repr(str(to)) for to in range(at + 1, _root(n)))}]"
            for at in range(_root(n))
        },
        _load,
        400,
    ),
    "named links": Growing(
        lambda n: (
            {"ws/real/f": b"", **{f"ws/l{at}": "-> real" for at in range(n)}},
            _copies([f"l{at}" for at in range(n)]),
        ),
        _plan,
    ),
    "files that are not there": Growing(
        lambda n: ({"ws/f": b""}, _copies([f"gone{at}" for at in range(n)], "files")), _plan
    ),
    "directories over files": Growing(
        lambda n: (
            {
                **{f"ws/a/f{at}": b"" for at in range(n)},
                **{f"ws/b/f{at}/x": b"" for at in range(n)},
                "ws/c/f0": b"",
            },
            _copies(["a/", "b/", "a/"]),
        ),
        _plan,
    ),
    "links of an image": Growing(
        lambda n: {f"/l{at}": f"-> /l{at + 1}" for at in range(n)},
        lambda files: list(check_image(root_of(files))),
    ),
    "scripts that start one another": Growing(
        lambda n: {f"/bin/s{at}": f"#!/bin/s{at + 1}\n".encode() for at in range(n)},
        lambda files: list(check_image(root_of(files, dict.fromkeys(files, 0o755)))),
    ),
    "parts of LD_LIBRARY_PATH": Growing(
        lambda n: [f"LD_LIBRARY_PATH={':'.join(f'/d{at}' for at in range(n))}"], library_path_of
    ),
    "libraries": Growing(
        lambda n: MemoryView(
            {
                "m": replace(
                    ELF,
                    interpreter=GLIBC_LOADER,
                    needed=tuple(f"l{at}.so" for at in range(n)),
                    version_needs=(("l0.so", tuple(f"V{at}" for at in range(n))),),
                ),
                GLIBC_LOADER: ELF,
            }
        ),
        _close,
        50,
    ),
    "programs without their libraries": Growing(lambda n: _programs(n, 20, 20), _close_all, 20),
    "programs, and directories that are there": Growing(
        lambda n: _programs(n, 20, 20, are_there=True), _close_all, 20
    ),
    "programs, libraries and directories that are not there": Growing(
        lambda n: _programs(1, n, n), _close_all, 100
    ),
    "RPATHs that are inherited": Growing(_chain, _close_all, 100),
    "names of a directory": Growing(_one_directory, _close_all, 50),
    "copies of links that lead back": Growing(_link_bombs, _plan, 5),
    "cache of libraries": Growing(
        lambda n: ld_so_cache(*((0x303, 0, "a", f"/{at}") for at in range(n))), read_cache
    ),
    "entry points and mounts": Growing(
        lambda n: {"entry_points": [f"/e{at}" for at in range(n)], "mount": _ramfs(n)}, _config, 50
    ),
    "environment": Growing(
        lambda n: {
            "env": {
                "default": [f"A{at}=b" for at in range(n)],
                "untrusted": [f"A{at}" for at in range(n)],
            }
        },
        _config,
    ),
    "pieces of a number in XML": Growing(
        lambda n: b"<EnclaveConfiguration><ProdID>" + b"1<!-- -->" * n, parse_config
    ),
    "lines of a lock file": Growing(
        lambda n: b'{"schema":2}\n' + b'["/a"]\n' * n, lambda data: read_lock(data, "f")
    ),
    "packages that need one another": Growing(
        lambda n: [f"p{at}; D: p{at + 1}" for at in range(n)], _resolve
    ),
    "packages that need what there is not": Growing(
        lambda n: [f"p{at}; D: p{at + 1}, no{at}" for at in range(n)], _resolve
    ),
    "versions of a package": Growing(
        lambda n: [f"p0; D: {', '.join(['q'] * n)}", *(f"q {at}" for at in range(n))], _resolve
    ),
    "providers of a package": Growing(
        lambda n: [f"p0; D: {', '.join(['v (>= 1)'] * n)}", *(f"q{at}; V: v" for at in range(n))],
        _resolve,
    ),
    "packages that provide what they conflict with": Growing(
        lambda n: [
            f"p0; D: {', '.join(f'q{at}' for at in range(n))}",
            *(f"q{at}; V: v; C: v (<< 1)" for at in range(n)),
        ],
        _resolve,
    ),
    "edits of a script": Growing(
        lambda n: (
            "occlum new i\ncd i\n"
            + "x=$(jq '.env.default += [\"A=b\"] | .a.b = 1' Occlum.json)\necho $x >Occlum.json\n"
            * n
        ),
        _follow,
    ),
    "instances of a script": Growing(
        lambda n: (
            "f() {\nocclum new $1\ncd $1\ncopy_bom -f ../b.yaml --root image\n"
            + "occlum build\ncd ..\n}\n"
            + "".join(f"f i{number}\n" for number in range(n))
        ),
        _follow,
        10,
    ),
    "directories that a script goes into": Growing(
        lambda n: "cd aaaaaaaa\npushd b; (\n" * 10 * n, _follow, 40
    ),
    "commands in one line of a script": Growing(
        lambda n: "occlum new i; cd i; " + "cp a $1;" * n + " echo image/", _follow
    ),
    "scripts within loops of a script": Growing(
        lambda n: f"occlum new i\nfor a in {'b ' * n}; do\nx=$(jq . Occlum.json)\ndone\n", _follow
    ),
    "indexes of a suite": Growing(
        lambda n: b"Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n" + b" ab 1 a\n" * n,
        lambda data: parse_release(Signed(data, ()), "x"),
    ),
}


def _root(square: int) -> int:
    return int(square**0.5)


def _calls(growing: Growing, size: int) -> int:
    """How many calls the work on input of a size makes, whether or not it is refused."""
    made, count = growing.make(size), 0

    def count_call(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        # The trees that tests make up look through all that they have.
        count += event in ("call", "c_call") and frame.f_code.co_filename[-10:] != "testing.py"

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        growing.work(made)
    except OcclumError:
        pass
    finally:
        sys.setprofile(before)
    return count


_counted: set[str] = set()


@pytest.mark.parametrize("name", GROWING)
def test_work_grows_as_the_input_does(name: str) -> None:
    growing = GROWING[name]
    _calls(growing, 4)  # what is imported, compiled or remembered once
    few, many = _calls(growing, growing.size), _calls(growing, 4 * growing.size)
    assert many <= MOST_GROWTH * few, f"{few:,} calls, and {many:,} at four times the input"
    _counted.add(name)


def test_all_were_tried(record_property: Callable[[str, object], None]) -> None:
    record_property("kinds of input that make no more work than they are long", len(_counted))
    assert _counted == {*GROWING}
