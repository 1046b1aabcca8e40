"""In which directories the loaders of glibc and musl look for a library, in their order.

Pure functions. The rules are those of glibc's elf/dl-load.c (_dl_map_object) and musl's
ldso/dynlink.c (load_library), without ld.so.cache and the environment: the library directories of
Occlum's loader config stand in the place of LD_LIBRARY_PATH.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Callable, NamedTuple

from occlum_build.elf.facts import ElfFacts

GLIBC_SYSTEM_DIRS = (  # Debian's order; other systems have only some of them
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
)
MUSL_SYSTEM_DIRS = ("/lib", "/usr/local/lib", "/usr/lib")
MUSL_RESERVED = ("c", "pthread", "rt", "m", "dl", "util", "xnet")
CPU_LEVELS = {
    "baseline": (),
    "v2": ("x86-64-v2",),
    "v3": ("x86-64-v3", "x86-64-v2"),
    "v4": ("x86-64-v4", "x86-64-v3", "x86-64-v2"),
}
PLATFORM = "x86_64"
DEPENDS_ON_CWD = "not followed: it depends on the working directory"
_TOKEN = re.compile(
    r"\$(?:\{(?P<a>ORIGIN|LIB|PLATFORM)\}|(?P<b>ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))"
)


class SearchDir(NamedTuple):
    """A directory to look in: its source path (maybe with `..`), and the rule that names it.

    `owner` is the source path of the object whose $ORIGIN it starts from ("" where it does not),
    `below` the rest after $ORIGIN. One with a `refusal` is told of, but not looked in. `image` is
    the directory of the image that takes its libraries, where the image's loader will not look in
    the directory itself.
    """

    path: str
    rule: str
    owner: str | None = None
    below: str = ""
    refusal: str = ""
    image: str = ""


@dataclass(eq=False)
class Loaded:
    """An object in memory: the path it was found by, its $ORIGIN, and who needed it first."""

    path: str
    origin: str
    facts: ElfFacts
    loader: Loaded | None = None
    depth: int = 0  # how many needed one another before
    inherited: tuple[SearchDir, ...] | None = None  # where it looks, for those that it needs too

    def chain(self) -> tuple[Loaded, ...]:
        """The object, the one that needed it, and so on up to the program."""
        objects = [self]
        while objects[-1].loader is not None:
            objects.append(objects[-1].loader)
        return tuple(objects)


@dataclass(frozen=True)
class SystemDirs:
    """What does not depend on the object: the loader config's, configured and default directories.

    `cached` are directories by the name of the library for which a cache names them, and `lib` is
    what $LIB stands for. `unread` has files of the configuration that are none, with their kind.
    """

    config: tuple[SearchDir, ...] = ()
    configured: tuple[SearchDir, ...] = ()
    default: tuple[SearchDir, ...] = ()
    lib: str = "lib/x86_64-linux-gnu"
    cached: Mapping[str, tuple[SearchDir, ...]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


def glibc_dirs(name: str, needer: Loaded, system: SystemDirs) -> tuple[SearchDir, ...]:
    """Where glibc looks for a library (a name without a slash) that `needer` needs."""
    configured = (*system.cached.get(name, ()), *system.configured)
    if not needer.facts.nodeflib:
        built_in = (*configured, *system.default)
    else:  # it would not look in a default directory that takes the library's place
        others = (one for one in configured if not _is_default(one, system))
        built_in = tuple(one._replace(image="") for one in others)
    inherited: tuple[SearchDir, ...] = ()
    if needer.facts.runpath is None:
        inherited = _inherited(needer, lambda one: _glibc_entries(one, "RPATH", system.lib))
    own = _glibc_entries(needer, "RUNPATH", system.lib)
    return _unique((*inherited, *system.config, *own, *built_in))


def musl_dirs(_name: str, needer: Loaded, system: SystemDirs) -> tuple[SearchDir, ...]:
    """Where musl looks: it inherits RUNPATH as well as RPATH, and the config comes first."""
    inherited = _inherited(needer, _musl_entries)
    return _unique((*system.config, *inherited, *system.configured, *system.default))


def needed_path(name: str, needer: Loaded, system: SystemDirs) -> SearchDir | None:
    """The directory of a DT_NEEDED that has a slash, which no search is made for; else None."""
    if "/" not in name:
        return None
    return _entry(posixpath.dirname(name), needer, f"DT_NEEDED of {needer.path}", system.lib)


def hwcaps_subdirs(cpu_level: str) -> tuple[str, ...]:
    """The subdirectories of every glibc directory that are looked in before it, best first."""
    return tuple(f"glibc-hwcaps/{level}" for level in CPU_LEVELS[cpu_level])


def is_musl_reserved(name: str) -> bool:
    """Whether musl's loader itself stands for the name, as for libc.so or libpthread.so.0."""
    return any(name.startswith(f"lib{one}.") for one in MUSL_RESERVED)


def _inherited(
    needer: Loaded, entries: Callable[[Loaded], Iterable[SearchDir]]
) -> tuple[SearchDir, ...]:
    """The entries of an object, then those of the one that needed it, and so on, each once."""
    pending: list[Loaded] = []
    here: Loaded | None = needer
    while here is not None and here.inherited is None:
        pending.append(here)
        here = here.loader
    found = here.inherited or () if here is not None else ()
    for loaded in reversed(pending):
        found = _unique((*entries(loaded), *found))
        loaded.inherited = found
    return found


def _is_default(one: SearchDir, system: SystemDirs) -> bool:
    return any(f"{one.path}/".startswith(f"{default.path}/") for default in system.default)


def _glibc_entries(loaded: Loaded, kind: str, lib: str) -> Iterator[SearchDir]:
    facts = loaded.facts
    if kind == "RUNPATH":
        entries = facts.runpath
    else:
        entries = None if facts.runpath is not None else facts.rpath
    if entries and entries != ("",):  # an empty tag is no list of one empty entry
        for entry in entries:
            yield _entry(entry, loaded, f"{kind} of {loaded.path}", lib)


def _musl_entries(loaded: Loaded) -> Iterator[SearchDir]:
    facts = loaded.facts
    kind, entries = (
        ("RUNPATH", facts.runpath) if facts.runpath is not None else ("RPATH", facts.rpath)
    )
    rule = f"{kind} of {loaded.path}"
    unknown = [one for one in entries or () if "$" in _TOKEN.sub(_only_origin, one)]
    for entry in entries or ():
        if unknown:  # musl drops the whole list
            yield SearchDir(entry, rule, refusal=f"not followed: musl does not know {unknown[0]}")
        elif entry:
            yield _entry(entry, loaded, rule, "")


def _only_origin(match: re.Match[str]) -> str:
    return "" if "ORIGIN" in match[0] else "$"


def _entry(entry: str, loaded: Loaded, rule: str, lib: str) -> SearchDir:
    """One entry of a list: its tokens replaced, an `owner` where it starts at $ORIGIN."""
    start = _TOKEN.match(entry)
    if start and "ORIGIN" in start[0]:
        below = _replaced(entry[start.end() :], loaded.origin, lib)
        path = loaded.origin + below if loaded.origin else below.lstrip("/")
        return SearchDir(path, rule, owner=loaded.path, below=below)
    path = _replaced(entry, loaded.origin, lib)
    return SearchDir(path, rule, refusal="" if path.startswith("/") else DEPENDS_ON_CWD)


def expanded(entry: str, origin: str) -> list[str]:
    """What an entry of LD_LIBRARY_PATH may stand for; what $LIB is depends on the loader."""
    libs = ("lib", "lib64", "lib/x86_64-linux-gnu")
    return list(dict.fromkeys(_replaced(entry, origin, lib) for lib in libs))


def _replaced(entry: str, origin: str, lib: str) -> str:
    """An entry with its tokens replaced."""
    values = {"ORIGIN": origin, "LIB": lib, "PLATFORM": PLATFORM}
    return _TOKEN.sub(lambda match: values[match["a"] or match["b"]], entry)


def _unique(dirs: tuple[SearchDir, ...]) -> tuple[SearchDir, ...]:
    """Each directory once, where it stands first."""
    seen: dict[tuple[str, bool], SearchDir] = {}
    for one in dirs:
        seen.setdefault((one.path, bool(one.refusal)), one)
    return tuple(seen.values())
