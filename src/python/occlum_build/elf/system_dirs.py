"""The directories of a sysroot that a loader searches for every program: configured and default."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Callable

from occlum_build.elf.facts import LIBC
from occlum_build.elf.interpreter import Interpreter
from occlum_build.elf.search import (
    DEPENDS_ON_CWD,
    GLIBC_SYSTEM_DIRS,
    MUSL_SYSTEM_DIRS,
    SearchDir,
    SystemDirs,
)
from occlum_build.errors import TooMuch
from occlum_build.files.wildcards import wildcard
from occlum_build.shown import quoted
from occlum_build.sources.model import DIR, FILE, Sources, kind_name, regular_file, resolve

LD_SO_CONF = "/etc/ld.so.conf"
LD_SO_CACHE = "/etc/ld.so.cache"
DEFAULT_RULE = "default directory"
MAX_LOOKED = 200_000  # names that the includes of ldconfig's configuration are compared with
MULTIARCH = "x86_64-linux-gnu"
_DEBIAN_DIRS = GLIBC_SYSTEM_DIRS[:4]
_OTHERS = (*GLIBC_SYSTEM_DIRS, "/usr/local/lib", f"/usr/local/lib/{MULTIARCH}")
_MUSL_OTHERS = (*MUSL_SYSTEM_DIRS, "/usr/lib/x86_64-linux-musl", "/lib/x86_64-linux-musl")

# Tells whether the image will have a file at a path.
ImageHas = Callable[[str], bool]


def system_dirs(
    sources: Sources, interpreter: Interpreter, image_has: ImageHas = lambda _: False
) -> SystemDirs:
    """All that does not depend on the object that needs a library.

    Where an entry of the loader config applies, its directories count and the sysroot's own
    configuration does not. Where none does, that is read, but the image's loader will not know it
    unless the image has glibc's cache or musl's path file: what is found so goes to a directory
    that the loader searches by itself.
    """
    entry = interpreter.entry
    config = _dirs(entry.dirs if entry else (), "loader config")
    unread: dict[str, str] = {}
    if interpreter.is_musl:
        path = musl_path_file(interpreter.path)
        listed = None if entry else read_musl_path(sources, path, unread)
        default = _dirs(MUSL_SYSTEM_DIRS, DEFAULT_RULE) if listed is None else ()
        if listed and not image_has(path):
            listed = _moved(listed, MUSL_SYSTEM_DIRS, MUSL_SYSTEM_DIRS[0])
        return SystemDirs(config=config, configured=listed or (), default=default, unread=unread)
    own = posixpath.dirname(interpreter.source)
    searched = glibc_default_dirs(own)
    configured = () if entry else tuple(_ld_so_conf(sources, unread))
    if configured and not image_has(LD_SO_CACHE):
        configured = _moved(configured, searched, _home(sources, own, searched))
    return SystemDirs(
        config=config,
        configured=configured,
        default=_dirs(searched, DEFAULT_RULE),
        lib=lib_token(own),
        unread=unread,
    )


def other_dirs(sources: Sources, interpreter: Interpreter) -> tuple[SearchDir, ...]:
    """Where a system may well have a library that its programs find, but an image's do not."""
    if interpreter.is_musl:
        listed = read_musl_path(sources, musl_path_file(interpreter.path)) or ()
        return (*listed, *_dirs(_MUSL_OTHERS, DEFAULT_RULE))
    return (*_ld_so_conf(sources, {}), *_dirs(_OTHERS, DEFAULT_RULE))


def glibc_default_dirs(own: str) -> Sequence[str]:
    """What a glibc loader searches last, by the directory that it is installed in."""
    if own in GLIBC_SYSTEM_DIRS or not own.startswith("/"):
        return _DEBIAN_DIRS if own.endswith(f"/{MULTIARCH}") else GLIBC_SYSTEM_DIRS
    return (own, *GLIBC_SYSTEM_DIRS)


def lib_token(own: str) -> str:
    """What $LIB stands for: Debian's loader, and no other, expands it to two components."""
    return f"lib/{MULTIARCH}" if own.endswith(f"/{MULTIARCH}") else posixpath.basename(own) or "lib"


def musl_path_file(interpreter: str) -> str:
    """/etc/ld-musl-ARCH.path, which stands two levels above the loader."""
    arch = posixpath.basename(interpreter).split(".")[0]  # ld-musl-x86_64
    prefix = posixpath.dirname(posixpath.dirname(interpreter)).rstrip("/")
    return f"{prefix}/etc/{arch}.path"


def read_musl_path(
    sources: Sources, path: str, unread: dict[str, str] | None = None
) -> tuple[SearchDir, ...] | None:
    """The directories that a path file of musl names; None where it is absent.

    `unread`: as SystemDirs has it, to be filled.
    """
    text = _text(sources, path, {} if unread is None else unread)
    if text is None:
        return None
    return _dirs([one for one in text.replace("\n", ":").split(":") if one], path)


def _home(sources: Sources, own: str, searched: Sequence[str]) -> str:
    """Which of a loader's default directories takes what another one would find: that of libc."""
    for directory in searched:
        if regular_file(sources, posixpath.join(directory, LIBC)) is not None:
            return directory
    return own if own in searched else searched[0]


def _moved(dirs: Iterable[SearchDir], searched: Sequence[str], home: str) -> tuple[SearchDir, ...]:
    """What is in none of the directories that are searched goes to one of them, `home`."""
    return tuple(
        one if one.path in searched or one.refusal else one._replace(image=home) for one in dirs
    )


def _dirs(paths: Sequence[str], rule: str) -> tuple[SearchDir, ...]:
    return tuple(
        SearchDir(one, rule, refusal="" if one.startswith("/") else DEPENDS_ON_CWD) for one in paths
    )


def _text(sources: Sources, path: str, unread: dict[str, str]) -> str | None:
    """The text of a file, None where there is no such file or its content is not known."""
    real = _readable(sources, path, unread)
    content = sources.read(real) if real else None
    return None if content is None else content.decode("utf-8", "replace")


def _readable(sources: Sources, path: str, unread: dict[str, str]) -> str | None:
    """The real path of a regular file; of what else stands there the kind is noted."""
    real = resolve(sources, path)
    found = sources.lstat(real) if real is not None else None
    if real is None or found is None:
        return None
    if found.kind != FILE:
        unread[path] = kind_name(found.kind)
        return None
    return real


def _ld_so_conf(sources: Sources, unread: dict[str, str]) -> Iterator[SearchDir]:
    """The directories of ldconfig's configuration, includes in their place and sorted.

    Each file is read once: what it says again changes nothing.
    """
    seen: set[str] = set()
    includes = _Includes(sources)
    # What is left to do, last first: a file to read, or a line of one.
    pending: list[tuple[str, str | None]] = [(LD_SO_CONF, None)]
    while pending:
        path, line = pending.pop()
        if line is None:
            real = _readable(sources, path, unread)
            if real is not None and real not in seen:
                seen.add(real)
                lines = (_text(sources, path, unread) or "").splitlines()
                pending.extend((path, one) for one in reversed(lines))
            continue
        words = line.partition("#")[0].split()
        if not words or words[0] == "hwcap":
            continue
        if words[0] != "include":
            directory = " ".join(words).partition("=")[0].strip()  # a library type may follow
            yield from _dirs([directory.rstrip("/") or "/"], LD_SO_CONF)
            continue
        patterns = [posixpath.join(posixpath.dirname(path), one) for one in words[1:]]
        found = [one for pattern in patterns for one in includes.glob(pattern)]
        pending.extend((one, None) for one in reversed(found))


class _Includes:
    """Finds the files that a configuration includes, and counts what it looks at."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._looked = 0

    def glob(self, pattern: str) -> list[str]:
        """The sorted paths that match an absolute pattern; hidden names only by a leading dot."""
        paths = ["/"]
        for part in pattern.split("/"):
            if part:
                paths = [one for path in paths for one in self._matches(path, part)]
        return sorted(paths)

    def _matches(self, directory: str, part: str) -> Iterator[str]:
        self._count(1, directory)
        if not any(char in part for char in "*?["):
            yield posixpath.join(directory, part)
            return
        real = resolve(self._sources, directory)
        found = self._sources.lstat(real) if real else None
        if real and found and found.kind == DIR:
            names = self._sources.names(real)
            self._count(len(names), directory)
            matches = wildcard(part).match
            for name in names:
                if matches(name) and (part[0] == "." or name[0] != "."):
                    yield posixpath.join(directory, name)

    def _count(self, names: int, directory: str) -> None:
        self._looked += names
        if self._looked > MAX_LOOKED:
            text = f"the includes of {LD_SO_CONF} are compared with more than {MAX_LOOKED:,} names"
            raise TooMuch("libraries", f"{text}, the last in {quoted(directory)}")
