from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.elf.closure import Closure
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER as GLIBC
from occlum_build.elf.interpreter import MUSL_LOADER as MUSL
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig, LoaderEntry
from occlum_build.elf.placement import placements
from occlum_build.elf.testing import MemoryView
from occlum_build.sources.model import SourceStat

BASE = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)


class LearningView(MemoryView):
    """Answers None for a path until it was asked for in an earlier round."""

    def __init__(self, entries: dict[str, ElfFacts | bytes | str]) -> None:
        super().__init__(entries)
        self.known: set[str] = set()
        self.unknown: set[str] = set()

    def expect(self, path: str, *, tree: bool = False) -> None:
        parts = path.split("/")
        prefixes = {"/".join(parts[: n + 1]) for n in range(len(parts))}
        self.unknown |= prefixes - self.known

    def lstat(self, path: str) -> SourceStat | None:
        self.expect(path)
        return super().lstat(path) if path in self.known else None

    def learn(self) -> bool:
        """Start the next round; False when the last one had no unknowns."""
        more = bool(self.unknown)
        self.known |= self.unknown
        self.unknown = set()
        return more


def _program(*needed: str, interpreter: str = GLIBC) -> ElfFacts:
    return replace(BASE, interpreter=interpreter, needed=needed)


def _close(view: MemoryView, config: LoaderConfig | None = None, program: str = "m") -> Closure:
    return Linker(view, config or LoaderConfig()).close(program, "/bin/m")


def _found(closure: Closure) -> list[str]:
    return [node.path for node in closure.libraries]


def test_ld_so_conf_is_read_where_no_config_applies() -> None:
    entries: dict[str, ElfFacts | bytes | str] = {
        "m": _program("liba.so", "libb.so", "libc.so"),
        GLIBC: BASE,
        "/etc/ld.so.conf": b"# first\ninclude ld.so.conf.d/*.conf\n/last/ # trailing\n",
        "/etc/ld.so.conf.d/b.conf": b"/two\n",
        "/etc/ld.so.conf.d/a.conf": b"/one\ninclude /etc/ld.so.conf\n",
        "/etc/ld.so.conf.d/.hidden.conf": b"/never\n",
        "/one/liba.so": BASE,
        "/two/liba.so": BASE,
        "/two/libb.so": BASE,
        "/never/libb.so": BASE,
        "/last/libc.so": BASE,
        "/lib/libc.so": BASE,
    }
    closure = _close(MemoryView(entries))
    assert _found(closure) == ["/one/liba.so", "/two/libb.so", "/last/libc.so"]
    assert {edge.rule for edge in closure.edges} == {"/etc/ld.so.conf"}
    config = LoaderConfig((LoaderEntry(GLIBC, ("/none",)),))
    with_config = _close(MemoryView(entries), config)
    assert _found(with_config) == ["/lib/libc.so"]
    assert [one.name for one in with_config.missing] == ["liba.so", "libb.so"]


def test_debians_default_directories_are_searched_in_its_order() -> None:
    entries: dict[str, ElfFacts | bytes | str] = {"m": _program("libgone.so"), GLIBC: BASE}
    (missing,) = _close(MemoryView(entries)).missing
    assert [one.path.rpartition("/")[0] for one in missing.tried] == [
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib",
        "/usr/lib",
        "/lib64",
        "/usr/lib64",
    ]


def test_a_loader_with_a_prefix_of_its_own_searches_there_first() -> None:
    loader = "/opt/glibc/lib/ld-linux-x86-64.so.2"
    entries: dict[str, ElfFacts | bytes | str] = {
        "m": _program("liba.so", interpreter=loader),
        loader: BASE,
        "/opt/glibc/lib/liba.so": BASE,
        "/lib/liba.so": BASE,
    }
    assert _found(_close(MemoryView(entries))) == ["/opt/glibc/lib/liba.so"]


def test_musl_reads_its_path_file_instead_of_the_defaults() -> None:
    entries: dict[str, ElfFacts | bytes | str] = {
        "m": _program("liba.so", interpreter=MUSL),
        MUSL: BASE,
        "/etc/ld-musl-x86_64.path": b"/one\n/two:/three\n",
        "/three/liba.so": BASE,
        "/lib/liba.so": BASE,
    }
    closure = _close(MemoryView(entries))
    assert _found(closure) == ["/three/liba.so"]
    assert closure.edges[0].rule == "/etc/ld-musl-x86_64.path"
    del entries["/etc/ld-musl-x86_64.path"]
    assert _found(_close(MemoryView(entries))) == ["/lib/liba.so"]


@pytest.mark.parametrize(
    ("needed", "loader"), [("libc.so.6", GLIBC), ("libc.musl-x86_64.so.1", MUSL), ("libx.so", MUSL)]
)
def test_a_shared_object_gets_the_loader_of_its_libc(needed: str, loader: str) -> None:
    musl = LoaderEntry(MUSL, ("/m",))
    config = LoaderConfig((LoaderEntry("/absent/ld.so", ()), musl, LoaderEntry(GLIBC, ("/g",))))
    view = MemoryView({"m": replace(BASE, needed=(needed,)), GLIBC: BASE, MUSL: BASE})
    closure = _close(view, config)
    assert closure.interpreter is not None and closure.interpreter.path == loader
    assert closure.problems == ()
    assert placements(closure) == ()


def test_a_missing_library_is_told_with_chain_and_numbered_paths() -> None:
    other = replace(BASE, machine="EM_AARCH64")
    entries: dict[str, ElfFacts | bytes | str] = {
        "m": replace(_program("liba.so"), rpath=("/far", "rel")),
        GLIBC: BASE,
        "/far/liba.so": replace(BASE, needed=("libgone.so",)),
        "/lib/libgone.so": other,
        "/usr/lib/libgone.so": replace(BASE, elf_class=32),
        "/lib64/libgone.so": b"INPUT(x)",
        "/usr/lib64/libgone.so": "-> nowhere",
    }
    (problem,) = _close(MemoryView(entries)).errors()
    assert problem.code == "libraries"
    assert problem.message.splitlines() == [
        "m: library libgone.so is missing",
        "  needed by: m -> /far/liba.so",
        "  searched:",
        "    1. /far/libgone.so (RPATH of m): does not exist",
        "    2. rel/libgone.so (RPATH of m): not followed: it depends on the working directory",
        "    3. /lib/x86_64-linux-gnu/libgone.so (default directory): does not exist",
        "    4. /usr/lib/x86_64-linux-gnu/libgone.so (default directory): does not exist",
        "    5. /lib/libgone.so (default directory): wrong machine (EM_AARCH64)",
        "    6. /usr/lib/libgone.so (default directory): wrong class (32 bit)",
        "    7. /lib64/libgone.so (default directory): is no ELF shared object",
        "    8. /usr/lib64/libgone.so (default directory): is no regular file",
    ]


def test_a_view_that_learns_leads_to_the_same_closure_in_few_rounds() -> None:
    entries: dict[str, ElfFacts | bytes | str] = {
        "app/m": replace(_program("liba.so", "libb.so"), runpath=("$ORIGIN/../lib",)),
        "lib/liba.so": replace(BASE, needed=("libb.so", "libc.so.6")),
        "/lib": "-> usr/lib",
        "/lib64": "-> /usr/lib64",
        "/usr/lib64/ld-linux-x86-64.so.2": BASE,
        "/usr/lib/libb.so": "-> deep/libb.so.1",
        "/usr/lib/deep/libb.so.1": BASE,
        "/usr/lib64/libc.so.6": BASE,
    }
    view = LearningView(entries)
    rounds = 0
    while True:
        closure = _close(view, program="app/m")
        rounds += 1
        if not view.learn():
            break
    assert closure == _close(MemoryView(entries), program="app/m")
    assert _found(closure) == ["lib/liba.so", "/lib/libb.so", "/lib64/libc.so.6"]
    assert rounds <= 8


def test_no_program_has_no_closure() -> None:
    view = MemoryView({"text": b"#!/bin/sh\n", "dangling": "-> gone", "dir/file": b""})
    for path in ("text", "dangling", "dir", "absent"):
        closure = _close(view, program=path)
        assert closure.interpreter is None
        assert closure.errors() == () and closure.libraries == ()


def test_libraries_of_a_library_in_the_image_are_closed_too() -> None:
    view = MemoryView(
        {
            "m": replace(_program("libgone.so"), rpath=("/far",)),
            GLIBC: BASE,
            "mine/libgone.so": replace(BASE, needed=("libdeep.so",)),
            "/far/libdeep.so": BASE,
        }
    )
    image = {"/far/libgone.so": "mine/libgone.so"}
    closure = Linker(view, LoaderConfig(), image_lookup=image.get).close("m", "/bin/m")
    assert _found(closure) == ["mine/libgone.so", "/far/libdeep.so"]
    assert [one.image_path for one in placements(closure)] == ["/far/libdeep.so", GLIBC]


def test_two_libraries_of_one_name_claim_one_place() -> None:
    entry = LoaderEntry(GLIBC, ("/one", "/two"))
    view = MemoryView(
        {
            "a": replace(_program("libx.so"), rpath=("/one",)),
            "b": replace(_program("libx.so"), rpath=("/two",)),
            GLIBC: BASE,
            "/one/libx.so": BASE,
            "/two/libx.so": BASE,
        }
    )
    linker = Linker(view, LoaderConfig((entry,)))
    placed = [
        one
        for program in ("a", "b")
        for one in placements(linker.close(program, f"/bin/{program}"))
        if one.image_path == "/lib64/libx.so"
    ]
    assert [one.source for one in placed] == ["/one/libx.so", "/two/libx.so"]
    assert placed[0].chain == ("a", "/one/libx.so", "libx.so found by RPATH of a")


def test_cycles_end() -> None:
    view = MemoryView(
        {
            "m": _program("liba.so"),
            GLIBC: BASE,
            "/lib/liba.so": replace(BASE, needed=("libb.so",)),
            "/lib/libb.so": replace(BASE, needed=("liba.so", "libb.so")),
        }
    )
    assert _found(_close(view)) == ["/lib/liba.so", "/lib/libb.so"]


def test_the_cases_have_a_rule_and_a_script_each() -> None:
    folders = sorted(Path("testprojects/elf_cases").glob("*/"))
    names = [one for one in folders if one.is_dir()]
    assert len(names) > 40
    assert all((one / "case.json").is_file() and (one / "build.sh").is_file() for one in names)
