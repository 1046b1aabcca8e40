"""The closure of a program depends on what files are called only where they are named."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.elf.closure import Closure
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig, LoaderEntry
from occlum_build.elf.placement import placements
from occlum_build.elf.testing import MemoryView

SLOW = [HealthCheck.too_slow]  # a machine may have other things to do

_LOADER = "/lib64/ld-linux-x86-64.so.2"
_BASE = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)
_NUMBERS = st.integers(0, 5)


class System(NamedTuple):
    """A program and libraries by number, each in a directory by number, and what they need."""

    needed: tuple[tuple[int, ...], ...]
    folder_of: tuple[int, ...]
    runpath: tuple[tuple[int, ...], ...]
    config: tuple[int, ...]


class Names(NamedTuple):
    """How a system calls its directories and libraries."""

    folders: tuple[str, ...]
    libraries: tuple[str, ...]


SYSTEMS = st.builds(
    System,
    st.tuples(*[st.lists(_NUMBERS, max_size=3, unique=True).map(tuple)] * 7),
    st.tuples(*[st.integers(0, 3)] * 6),
    st.tuples(*[st.lists(st.integers(0, 3), max_size=2).map(tuple)] * 7),
    st.lists(st.integers(0, 3), max_size=2, unique=True).map(tuple),
)
PLAIN = Names(
    ("/opt/a", "/opt/b", "/opt/a/c", "/srv/d"), tuple(f"lib{number}.so" for number in range(6))
)
_WORDS = st.text("abcxyz01", min_size=1, max_size=6)
RENAMED = st.builds(
    Names,
    st.lists(_WORDS, min_size=4, max_size=4, unique=True).map(
        lambda words: (f"/{words[0]}", f"/mnt/{words[1]}", f"/{words[0]}/{words[2]}",
                       f"/data/{words[3]}")),
    st.lists(_WORDS, min_size=6, max_size=6, unique=True).map(
        lambda words: tuple(f"lib{word}.so.7" for word in words)),
)  # fmt: skip


def closed(system: System, names: Names) -> Closure:
    """The closure of the program; its entries are found by RUNPATH or the loader config."""

    def facts(number: int) -> ElfFacts:
        return replace(
            _BASE,
            needed=tuple(names.libraries[one] for one in system.needed[number]),
            runpath=tuple(names.folders[one] for one in system.runpath[number]) or None,
        )

    entries: dict[str, ElfFacts | bytes | str] = {_LOADER: _BASE}
    for number, folder in enumerate(system.folder_of):
        entries[f"{names.folders[folder]}/{names.libraries[number]}"] = facts(number)
    entries["app"] = replace(facts(6), interpreter=_LOADER)
    dirs = tuple(names.folders[one] for one in system.config)
    config = LoaderConfig((LoaderEntry(_LOADER, dirs),))
    return Linker(MemoryView(entries), config).close("app", "/bin/app")


@given(SYSTEMS, RENAMED)
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_renamed_files_have_the_renamed_closure(system: System, names: Names) -> None:
    before, after = closed(system, PLAIN), closed(system, names)

    def renamed(text: str) -> str:
        folder, _, library = text.rpartition("/")
        if library in PLAIN.libraries:
            library = names.libraries[PLAIN.libraries.index(library)]
        if folder in PLAIN.folders:
            folder = names.folders[PLAIN.folders.index(folder)]
        return f"{folder}/{library}" if folder else library

    assert [renamed(one.path) for one in before.libraries] == [one.path for one in after.libraries]
    assert [renamed(one.name) for one in before.missing] == [one.name for one in after.missing]
    assert sorted((renamed(one.image_path), renamed(one.source)) for one in placements(before)) \
        == sorted((one.image_path, one.source) for one in placements(after))  # fmt: skip


@given(SYSTEMS)
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_all_that_is_needed_is_found_or_told(system: System) -> None:
    closure = closed(system, PLAIN)
    reached = {one.path.rpartition("/")[2] for one in closure.libraries}
    told = {one.name for one in closure.missing}
    numbers = [6, *(PLAIN.libraries.index(one) for one in reached if one in PLAIN.libraries)]
    due = {PLAIN.libraries[one] for number in numbers for one in system.needed[number]}
    assert due <= reached | told
