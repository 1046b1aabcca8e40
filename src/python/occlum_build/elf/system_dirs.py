"""The directories of a sysroot that a loader searches for every program: configured and default."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Sequence

from occlum_build.elf.interpreter import Interpreter
from occlum_build.elf.search import (
    DEPENDS_ON_CWD,
    GLIBC_SYSTEM_DIRS,
    MUSL_SYSTEM_DIRS,
    SearchDir,
    SystemDirs,
)
from occlum_build.sources.model import DIR, Sources, regular_file, resolve

LD_SO_CONF = "/etc/ld.so.conf"
MULTIARCH = "x86_64-linux-gnu"


def system_dirs(sources: Sources, interpreter: Interpreter) -> SystemDirs:
    """All that does not depend on the object that needs a library.

    Where an entry of the loader config applies, its directories count and the sysroot's own
    configuration does not: the image has none.
    """
    entry = interpreter.entry
    config = _dirs(entry.dirs if entry else (), "loader config")
    if interpreter.is_musl:
        listed = None if entry else _musl_path(sources, interpreter.path)
        default = _dirs(MUSL_SYSTEM_DIRS, "default directory") if listed is None else ()
        return SystemDirs(config=config, configured=listed or (), default=default)
    own = posixpath.dirname(interpreter.source)
    known = own in GLIBC_SYSTEM_DIRS or not own.startswith("/")
    return SystemDirs(
        config=config,
        configured=() if entry else tuple(_ld_so_conf(sources, LD_SO_CONF, [])),
        default=_dirs(
            GLIBC_SYSTEM_DIRS if known else (own, *GLIBC_SYSTEM_DIRS), "default directory"
        ),
        # Debian's loader, and no other, expands $LIB to two components.
        lib=f"lib/{MULTIARCH}"
        if own.endswith(f"/{MULTIARCH}")
        else posixpath.basename(own) or "lib",
    )


def _dirs(paths: Sequence[str], rule: str) -> tuple[SearchDir, ...]:
    return tuple(
        SearchDir(one, rule, refusal="" if one.startswith("/") else DEPENDS_ON_CWD) for one in paths
    )


def _text(sources: Sources, path: str) -> str | None:
    """The text of a file, None where there is no such file or its content is not known."""
    real = regular_file(sources, path)
    content = sources.read(real) if real else None
    return None if content is None else content.decode("utf-8", "replace")


def _musl_path(sources: Sources, interpreter: str) -> tuple[SearchDir, ...] | None:
    """The directories of /etc/ld-musl-ARCH.path, which stands two levels above the loader."""
    arch = posixpath.basename(interpreter).split(".")[0]  # ld-musl-x86_64
    prefix = posixpath.dirname(posixpath.dirname(interpreter)).rstrip("/")
    path = f"{prefix}/etc/{arch}.path"
    text = _text(sources, path)
    if text is None:
        return None
    return _dirs([one for one in text.replace("\n", ":").split(":") if one], path)


def _ld_so_conf(sources: Sources, path: str, parents: Sequence[str]) -> Iterator[SearchDir]:
    """The directories of ldconfig's configuration, includes in their place and sorted."""
    if path in parents:
        return
    for line in (_text(sources, path) or "").splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] == "hwcap":
            continue
        if words[0] != "include":
            directory = " ".join(words).partition("=")[0].strip()  # a library type may follow
            yield from _dirs([directory.rstrip("/") or "/"], LD_SO_CONF)
            continue
        for pattern in words[1:]:
            for found in _glob(sources, posixpath.join(posixpath.dirname(path), pattern)):
                yield from _ld_so_conf(sources, found, [*parents, path])


def _glob(sources: Sources, pattern: str) -> list[str]:
    """The sorted paths that match an absolute pattern; hidden names only by a leading dot."""
    paths = ["/"]
    for part in pattern.split("/"):
        if part:
            paths = [one for path in paths for one in _matches(sources, path, part)]
    return sorted(paths)


def _matches(sources: Sources, directory: str, part: str) -> Iterator[str]:
    if not any(char in part for char in "*?["):
        yield posixpath.join(directory, part)
        return
    real = resolve(sources, directory)
    found = sources.lstat(real) if real else None
    if real and found and found.kind == DIR:
        for name in sources.names(real):
            if fnmatch.fnmatchcase(name, part) and (part[0] == "." or name[0] != "."):
                yield posixpath.join(directory, name)
