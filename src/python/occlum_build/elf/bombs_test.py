"""Small files and configurations that name very much: each ends at a bound, and says so."""

from __future__ import annotations

import io
from dataclasses import replace
from zipfile import ZipFile

import pytest

from occlum_build.elf import layout
from occlum_build.elf.archive import read_archive
from occlum_build.elf.budget import Budget
from occlum_build.elf.closure import Closure
from occlum_build.elf.facts import ElfFacts, Malformed
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.elf.read import read_facts
from occlum_build.elf.testing import MemoryView, elf_of, elf_of_versions
from occlum_build.errors import TooMuch
from occlum_build.sources.model import SourceStat

RECORDS = layout.layout_of(64, "<")
BASE = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)


def test_version_records_that_are_visited_again() -> None:
    """Each of 2,000 libraries has the versions of all that stand behind it."""
    found = read_facts(elf_of_versions(2000))
    assert found == Malformed("a version table has no end")


def test_a_version_record_that_is_its_own_next() -> None:
    need = RECORDS.verneed.pack(vn_file=16, vn_aux=0, vn_next=0)
    found = read_facts(elf_of([(layout.DT_VERNEED, 0)], need + b"a\0"))
    assert isinstance(found, (Malformed, ElfFacts))


def test_names_that_all_lie_in_one_string() -> None:
    data = b"a" * 65_000 + b"\0"
    found = read_facts(elf_of([(layout.DT_NEEDED, at) for at in range(5000)], data))
    assert found == Malformed("its names have more than 4,194,304 bytes together")


def test_names_of_all_elf_files_of_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.elf.archive.MAX_NAMES", 2500)
    stream, member = io.BytesIO(), elf_of([(layout.DT_NEEDED, 0)], b"a" * 1000 + b"\0")
    with ZipFile(stream, "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.so", member)
    found = read_archive(stream)
    assert [path for path, _ in found.members] == ["0.so", "1.so"]
    (problem,) = found.problems
    assert problem.endswith("the ELF files have more than 2,500 bytes of names")


def _close(entries: dict[str, ElfFacts | bytes | str]) -> Closure:
    return Linker(_Indexed(entries), LoaderConfig()).close("m", "/bin/m")


class _Indexed(MemoryView):
    """One that knows its directories without looking through all entries, and counts looks."""

    def __init__(self, entries: dict[str, ElfFacts | bytes | str]) -> None:
        super().__init__(entries)
        self.dirs = {path[:at] for path in entries for at, one in enumerate(path) if one == "/"} | {
            "/"
        }
        self.reads: list[str] = []

    def lstat(self, path: str) -> SourceStat | None:
        return super().lstat(path) if path in self.entries or path in self.dirs else None

    def read(self, path: str, limit: int = 0) -> bytes | None:
        self.reads.append(path)
        return super().read(path)


def test_needed_libraries_times_directories() -> None:
    needed = tuple(f"lib{number}.so" for number in range(3000))
    runpath = tuple(f"/d{number}" for number in range(500))
    program = replace(BASE, interpreter=GLIBC_LOADER, needed=needed, runpath=runpath)
    closure = _close({"m": program, GLIBC_LOADER: BASE})
    (ended,) = closure.problems
    assert "m: its libraries would be looked for at more than 200,000 places" in ended.message
    assert len(closure.missing) < 400
    text = closure.missing[0].problem().message
    assert text.count("\n") == 103 and text.endswith("\n  and in 406 more directories")
    assert sum(len(one.tried) for one in closure.missing) == 100


@pytest.mark.parametrize("are_there", [False, True])
def test_places_of_all_programs_together(are_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No program passes the bound for one."""
    monkeypatch.setattr("occlum_build.elf.budget.MAX_ABSENT", 1000)
    monkeypatch.setattr("occlum_build.elf.budget.MAX_ABSENT_EACH", 10)
    runpath = tuple(f"/d{number}" for number in range(20))
    entries: dict[str, ElfFacts | bytes | str] = {GLIBC_LOADER: BASE}
    if are_there:
        entries.update((f"{one}/x", b"") for one in runpath)
    for at in range(9):
        names = tuple(f"lib{at}-{number}.so" for number in range(20))
        entries[f"m{at}"] = replace(BASE, interpreter=GLIBC_LOADER, needed=names, runpath=runpath)
    view = _Indexed(entries)
    budget = Budget()
    linkers = Linker(view, LoaderConfig(), budget=budget), Linker(view, None, budget=budget)

    def close_all() -> None:
        for at in range(9):
            linkers[at % 2].close(f"m{at}", f"/bin/m{at}")

    if are_there:
        with pytest.raises(TooMuch, match="in vain at more than 1,030 places, the last is '/d"):
            close_all()
        assert (budget.programs, budget.in_vain) == (3, 1031)
    else:
        close_all()
        assert budget.in_vain == 9 * 20  # in /lib64, the one default directory that is there


def test_places_of_programs_of_a_real_image_are_not_too_many() -> None:
    budget = Budget()
    for _ in range(5000):
        budget.programs += 1
        for _ in range(30 * 20):
            budget.looked_in_vain("/d/x")
    assert budget.in_vain == 3_000_000
    with pytest.raises(TooMuch, match="more than 5,000,000 places"):
        for _ in range(3_000_000):
            budget.looked_in_vain("/d/x")


def test_no_place_is_looked_at_twice() -> None:
    """Whichever programs look there, by whichever rule, however often it is named."""
    entries: dict[str, ElfFacts | bytes | str] = {GLIBC_LOADER: BASE, "/d/x": b"", "/file": b""}
    for at in range(5):
        dirs = ("/d", "/d/", "/gone", "/file", "/d/../d", f"/gone{at}", "/gone")
        entries[f"m{at}"] = replace(
            BASE, interpreter=GLIBC_LOADER, needed=("a.so", "b.so"), runpath=dirs
        )
    view = _Looking(entries)
    linker = Linker(view, LoaderConfig())
    for at in range(5):
        linker.close(f"m{at}", f"/bin/m{at}")
    looks = sorted(one for one in view.looks if one.endswith(".so"))
    assert looks == ["/d/a.so", "/d/b.so", "/lib64/a.so", "/lib64/b.so"]


class _Looking(_Indexed):
    def __init__(self, entries: dict[str, ElfFacts | bytes | str]) -> None:
        super().__init__(entries)
        self.looks: list[str] = []

    def lstat(self, path: str) -> SourceStat | None:
        self.looks.append(path)
        return super().lstat(path)


def test_the_places_of_one_program_are_one_list() -> None:
    needed = tuple(f"lib{number}.so" for number in range(9))
    runpath = tuple(f"/d{number}" for number in range(44))
    program = replace(BASE, interpreter=GLIBC_LOADER, needed=needed, runpath=runpath)
    closure = _close({"m": program, GLIBC_LOADER: BASE})
    assert [len(one.tried) for one in closure.missing] == [50, 50] + [0] * 7
    first, second, third = (one.text().lines for one in closure.missing[:3])
    assert first[-1].startswith("   50. ") and second[-1].startswith("   50. ")
    assert third == [
        "m: library lib2.so is missing",
        "  needed by: m",
        "  searched in 50 directories",
    ]


def test_rpaths_are_inherited_in_their_order() -> None:
    program = replace(BASE, interpreter=GLIBC_LOADER, needed=("a.so",), rpath=("/p", "/l"))
    entries: dict[str, ElfFacts | bytes | str] = {
        "/p/a.so": replace(BASE, needed=("b.so",), rpath=("/a", "/l")),
        "/l/b.so": replace(BASE, needed=("c.so", "gone.so"), rpath=("/b", "/p")),
        "/p/c.so": replace(BASE, needed=("gone.so",), runpath=("/c",)),
    }
    closure = _close({**entries, "m": program, GLIBC_LOADER: BASE})
    (missing,) = closure.missing
    rules = [(one.path, one.rule) for one in missing.tried if "RPATH" in one.rule]
    assert rules == [
        ("/b/gone.so", "RPATH of /l/b.so"),
        ("/p/gone.so", "RPATH of /l/b.so"),
        ("/a/gone.so", "RPATH of /p/a.so"),
        ("/l/gone.so", "RPATH of /p/a.so"),
    ]


def test_libraries_that_need_one_another_in_a_long_row() -> None:
    entries: dict[str, ElfFacts | bytes | str] = {
        f"/lib/lib{number}.so": replace(BASE, needed=(f"lib{number + 1}.so",))
        for number in range(2000)
    }
    program = replace(BASE, interpreter=GLIBC_LOADER, needed=("lib0.so",))
    closure = _close({**entries, "m": program, GLIBC_LOADER: BASE})
    (ended,) = closure.problems
    assert "its libraries need more than 500 others in a row" in ended.message
    assert len(closure.libraries) == 501


def test_versions_of_a_library_are_looked_up() -> None:
    names = tuple(f"V_{number}" for number in range(20_000))
    program = replace(
        BASE, interpreter=GLIBC_LOADER, needed=("a.so",), version_needs=(("a.so", names),)
    )
    library = replace(BASE, version_defs=(*reversed(names[1:]),))
    closure = _close({"m": program, GLIBC_LOADER: BASE, "/lib/a.so": library})
    assert [one.versions for one in closure.lacking] == [("V_0",)]


def _configured(files: dict[str, str]) -> tuple[list[str], _Indexed]:
    """The directories that a library is looked for in first, and the view that was asked."""
    program = replace(BASE, interpreter=GLIBC_LOADER, needed=("gone.so",))
    texts = {path: text.encode() for path, text in files.items()}
    view = _Indexed({"m": program, GLIBC_LOADER: BASE, **texts})
    (missing,) = Linker(view, LoaderConfig()).close("m", "/bin/m").missing
    dirs = [one.path.rpartition("/")[0] for one in missing.tried if one.rule == "/etc/ld.so.conf"]
    return dirs, view


@pytest.mark.parametrize("count", [9, 12, 200])
def test_configurations_that_all_include_all(count: int) -> None:
    files = {f"/etc/c/{at:03}.conf": f"include /etc/c/*.conf\n/d{at}" for at in range(count)}
    dirs, view = _configured({**files, "/etc/ld.so.conf": "include /etc/c/*.conf"})
    assert dirs == [f"/d{at}" for at in reversed(range(count))][:100]
    assert len(view.reads) == count + 1


def test_a_long_chain_of_configurations() -> None:
    files = {f"/etc/c/{at}.conf": f"include {at + 1}.conf" for at in range(1500)}
    first = {"/etc/ld.so.conf": "include c/0.conf\n/last", "/etc/c/1500.conf": "/end"}
    assert _configured({**files, **first})[0] == ["/end", "/last"]


def test_includes_that_match_very_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.elf.system_dirs.MAX_LOOKED", 1000)
    links = {f"/etc/l{at}": "-> ." for at in range(10)}
    program = replace(BASE, interpreter=GLIBC_LOADER, needed=("gone.so",))
    conf = b"include /etc/*/*/*/*/*/*/*/*/x"
    view = _Indexed({"m": program, GLIBC_LOADER: BASE, "/etc/ld.so.conf": conf, **links})
    with pytest.raises(TooMuch, match="are compared with more than 1,000 names"):
        Linker(view, LoaderConfig()).close("m", "/bin/m")


def _same(count: int) -> None:
    """Many programs that need two libraries each, found or not, with two versions."""
    program = replace(
        BASE,
        interpreter=GLIBC_LOADER,
        needed=("a.so", "gone.so"),
        runpath=("/d/1", "/d/2"),
        version_needs=(("a.so", ("V1",)),),
    )
    library = replace(BASE, version_defs=("V1",))
    entries: dict[str, ElfFacts | bytes | str] = {"m": program, GLIBC_LOADER: BASE}
    linker = Linker(_Indexed({**entries, "/lib/a.so": library}), LoaderConfig())
    for at in range(count):
        linker.close("m", f"/bin/m{at}")


@pytest.mark.parametrize(
    ("bound", "most", "text"),
    [
        ("MAX_NEEDS", 20, "programs need more than 20 libraries, each counted for each"),
        ("MAX_PLACES", 240, "would be looked for at more than 240 places"),
        ("MAX_DIRS", 5, "would be looked for in more than 5 directories"),
        ("MAX_VERSIONS", 20, "more than 20 versions of libraries would be compared"),
    ],
)
def test_what_is_done_again_for_each_program(
    bound: str, most: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"occlum_build.elf.budget.{bound}", most)
    with pytest.raises(TooMuch, match=text):
        _same(1000)


def test_libraries_for_another_machine_are_looked_for_in_vain() -> None:
    """In a directory of many names each is looked at once."""
    dirs = tuple(f"/d/{'/'.join('ab'[at >> bit & 1] for bit in range(5))}" for at in range(32))
    needed = tuple(f"l{at}.so" for at in range(9))
    program = replace(BASE, interpreter=GLIBC_LOADER, needed=needed, runpath=dirs)
    others = {f"/d/{name}": replace(BASE, machine="EM_386") for name in needed}
    links = {"/d/a": "-> .", "/d/b": "-> ."}
    view, budget = _Indexed({"m": program, GLIBC_LOADER: BASE, **others, **links}), Budget()
    closure = Linker(view, LoaderConfig(), budget=budget).close("m", "/bin/m")
    assert len(closure.missing) == 9
    assert budget.in_vain == 2 * 9  # in /d and in /lib64
