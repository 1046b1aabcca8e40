"""Which loader runs a program: that of the loader config, else the program's own."""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from occlum_build.elf.facts import LIBC, ElfFacts
from occlum_build.elf.loader_config import LoaderConfig, LoaderEntry
from occlum_build.elf.lookup import mismatch
from occlum_build.errors import Problem
from occlum_build.sources.model import DIR, Sources, kind_name, regular_file, resolve

GLIBC_LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"
TAKE_ANOTHER = "take one that is built for x86-64"
OTHER_LOADER = "other"  # that of a libc which no image has, as Android's or FreeBSD's


class Interpreter(NamedTuple):
    """A loader: the path it is known by in the sysroot, and its content, a source path.

    `image_path` is where the program looks for it, "" where no program does: a shared object
    brings no loader into the image. `source` is "" when the loader does not exist. `fault` is why
    the file that is there cannot be the loader, "" where it can: such a file is not copied.
    """

    path: str
    source: str
    image_path: str
    entry: LoaderEntry | None = None
    fault: str = ""

    @property
    def is_lacking(self) -> bool:
        """Whether a program, or the loader config, names a loader that does not exist."""
        return not self.source and bool(self.image_path or self.entry)

    @property
    def is_musl(self) -> bool:
        """Whether the rules of musl apply, and not those of glibc."""
        return posixpath.basename(self.path).startswith("ld-musl-")


def choose_interpreter(
    sources: Sources,
    facts: ElfFacts,
    program: str,
    config: LoaderConfig,
    companion: str = "",
) -> tuple[Interpreter | None, Problem | None]:
    """The loader of a program or shared object, and what is wrong with it.

    `companion` is the interpreter of the programs that a shared object is copied with, "" where
    they have none in common. None for a file that needs no loader: static programs and what cannot
    be loaded.
    """
    if not facts.loadable or not (facts.interpreter or facts.needed):
        return None, None
    wanted = facts.interpreter or _of_libc(sources, facts, config, companion)
    entry = config.for_interpreter(wanted)
    path = entry.loader if entry else wanted
    source = regular_file(sources, path) if path.startswith("/") else None
    image_path = posixpath.normpath(facts.interpreter) if facts.interpreter else ""
    fault = _fault(sources.facts(source), facts) if source else ""
    found = Interpreter(path, source or "", image_path, entry, fault)
    # A shared object runs in a program that brings the loader; only a config can name a wrong one.
    if not (found.is_lacking or (found.fault and (image_path or entry))):
        return found, None
    origin = f" the loader config names for {wanted} and which" if entry else ""
    hint = (
        "install the loader in the sysroot or correct the loader config"
        if entry
        else "install the loader in the sysroot, or copy the program with `autodep: false`"
    )
    if fault:
        hint = f"{TAKE_ANOTHER}; whoever made this one may be after the file that it names"
    reason = fault or _absence(sources, path)
    message = f"{program} needs the loader {path}, which{origin} {reason}"
    return found, Problem("libraries", message, hint=hint)


def _absence(sources: Sources, path: str) -> str:
    """Why there is no file at the path of a loader."""
    if not path.startswith("/"):
        return "is no absolute path"
    real = resolve(sources, path)
    stat = sources.lstat(real) if real is not None else None
    if stat is None:
        return "does not exist"
    return f"is a {'directory' if stat.kind == DIR else kind_name(stat.kind)}"


def _fault(found: ElfFacts | None, program: ElfFacts) -> str:
    """Why a file cannot be the loader of a program: a path in a program may name any file."""
    if found is None or not found.loadable:
        return "is no ELF file"
    if found.interpreter is not None:
        return "is no loader, but a program that needs one itself"
    wrong = mismatch(found, program)
    return f"has the {wrong}" if wrong else ""


def foreign_machine(facts: ElfFacts) -> str:
    """The machine of an ELF file that a kernel for x86-64 does not run, else ""."""
    known, machine = ((64, "EM_X86_64"), (32, "EM_386")), facts.machine
    if (facts.elf_class, machine) in known:
        return ""
    if not machine.startswith("EM_"):
        return f"machine {machine}"
    bits = " in 32 bit" if facts.elf_class == 32 and machine.endswith("64") else ""
    return f"{machine[3:].lower()}{bits} ({machine})"


def libc_of(facts: ElfFacts) -> str:
    """The loader of the libc that an x86-64 file was linked with, "" where nothing tells."""
    if facts.interpreter:
        return libc_of_loader(facts.interpreter)
    for name in facts.needed:
        if name == "libc.so" or name.startswith("libc.musl-"):
            return MUSL_LOADER
        if name == LIBC or name.startswith("ld-linux-"):
            return GLIBC_LOADER
        if name.startswith("libc.so."):
            return OTHER_LOADER
    return ""


def libc_of_loader(path: str) -> str:
    """GLIBC_LOADER or MUSL_LOADER for a loader of that name anywhere, else OTHER_LOADER."""
    known = {posixpath.basename(one): one for one in (GLIBC_LOADER, MUSL_LOADER)}
    return known.get(posixpath.basename(path), OTHER_LOADER)


def _of_libc(sources: Sources, facts: ElfFacts, config: LoaderConfig, companion: str) -> str:
    """The loader of the libc that a shared object needs, else its companion's, else the first."""
    for name in facts.needed:
        if name == "libc.so" or name.startswith("libc.musl-"):
            return MUSL_LOADER
        if name.startswith(("libc.so.", "ld-linux-")):
            return GLIBC_LOADER
    if companion:
        return companion
    for entry in () if config.is_default else config.entries:
        if regular_file(sources, entry.loader):
            return entry.loader
    if config.for_interpreter(GLIBC_LOADER):
        return GLIBC_LOADER
    return GLIBC_LOADER if regular_file(sources, GLIBC_LOADER) else MUSL_LOADER
