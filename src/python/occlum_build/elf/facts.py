"""What a dynamic loader needs to know of one ELF file, as a value that travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

LIBC = "libc.so.6"  # of glibc


@dataclass(frozen=True)
class ElfFacts:
    """The facts of one ELF file, read from its program headers and its dynamic segment.

    `type` and `machine` are the names of the ELF specification (ET_DYN, EM_X86_64), or the number
    where elf/layout.py has none; `elf_class` is 32 or 64. `rpath` and `runpath` hold the raw
    entries, None where the file has no such tag: an empty DT_RUNPATH still switches DT_RPATH off.
    `filters` and `auxiliaries` are the libraries of DT_FILTER, which must be there, and of
    DT_AUXILIARY, which may be. `version_needs` are (file, versions) pairs without the weak ones,
    `version_defs` the versions that a library defines without its base version (System V gABI and
    the LSB's symbol versions).
    `data_paths` are files that the library reads by paths in its data (`elf.data_paths`).
    """

    type: str
    machine: str
    elf_class: int
    interpreter: str | None = None  # of PT_INTERP
    is_dynamic: bool = False
    soname: str | None = None
    needed: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    auxiliaries: tuple[str, ...] = ()
    rpath: tuple[str, ...] | None = None
    runpath: tuple[str, ...] | None = None
    nodeflib: bool = False  # DF_1_NODEFLIB
    unwinds: bool = False  # it names functions of glibc for which that opens libgcc_s.so.1
    version_needs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    version_defs: tuple[str, ...] = ()
    data_paths: tuple[str, ...] = ()

    @property
    def loadable(self) -> bool:
        """Whether a loader can map it: a program or a shared object."""
        return self.type in ("ET_EXEC", "ET_DYN")

    def to_json(self) -> dict[str, Any]:
        """A plain dict with every field, in a stable form."""
        return {
            "type": self.type,
            "machine": self.machine,
            "class": self.elf_class,
            "interpreter": self.interpreter,
            "dynamic": self.is_dynamic,
            "soname": self.soname,
            "needed": list(self.needed),
            "filters": list(self.filters),
            "auxiliaries": list(self.auxiliaries),
            "rpath": None if self.rpath is None else list(self.rpath),
            "runpath": None if self.runpath is None else list(self.runpath),
            "nodeflib": self.nodeflib,
            "unwinds": self.unwinds,
            "version_needs": [[file, list(versions)] for file, versions in self.version_needs],
            "version_defs": list(self.version_defs),
            "data_paths": list(self.data_paths),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ElfFacts:
        """The inverse of `to_json`; KeyError where a field is missing."""
        rpath, runpath = value["rpath"], value["runpath"]
        return cls(
            type=value["type"],
            machine=value["machine"],
            elf_class=value["class"],
            interpreter=value["interpreter"],
            is_dynamic=value["dynamic"],
            soname=value["soname"],
            needed=tuple(value["needed"]),
            filters=tuple(value["filters"]),
            auxiliaries=tuple(value["auxiliaries"]),
            rpath=None if rpath is None else tuple(rpath),
            runpath=None if runpath is None else tuple(runpath),
            nodeflib=value["nodeflib"],
            unwinds=value["unwinds"],
            version_needs=tuple((file, tuple(names)) for file, names in value["version_needs"]),
            version_defs=tuple(value["version_defs"]),
            data_paths=tuple(value["data_paths"]),
        )


class Malformed(NamedTuple):
    """A file with the magic number of ELF and junk after it: data, with a warning."""

    reason: str

    def to_json(self) -> dict[str, Any]:
        """`{"malformed": reason}`."""
        return {"malformed": self.reason}


@dataclass(frozen=True)
class Archive:
    """A zip archive: the ELF files in it by path, sorted, as in `inner.jar/native/libx.so`.

    `interpreter` is the `#!` line that it starts with, without these two characters, "" for none;
    `problems` tell what in it cannot be read.
    """

    interpreter: str = ""
    members: tuple[tuple[str, ElfFacts], ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain dict whose key `archive` no other facts have."""
        return {
            "archive": {path: facts.to_json() for path, facts in self.members},
            "interpreter": self.interpreter,
            "problems": list(self.problems),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Archive:
        """The inverse of `to_json`; KeyError where a field is missing."""
        members = sorted(value["archive"].items())
        return cls(
            interpreter=value["interpreter"],
            members=tuple((path, ElfFacts.from_json(facts)) for path, facts in members),
            problems=tuple(value["problems"]),
        )


class Script(NamedTuple):
    """A text file that begins with `#!`.

    `line` is what follows on the first line, verbatim (bytes that are no UTF-8 as lone surrogates,
    as in names of files), cut where a kernel stops reading; `is_ended` tells whether its line end
    was seen.
    """

    line: str
    is_ended: bool = True

    def to_json(self) -> dict[str, Any]:
        """A plain dict whose key `script` no other facts have."""
        return {"script": self.line, "ended": self.is_ended}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Script:
        """The inverse of `to_json`; KeyError where a field is missing."""
        return cls(value["script"], value["ended"])


# What is known of a file; None for one that is neither ELF file, archive nor script.
Outcome = Union[ElfFacts, Malformed, Archive, Script, None]
SHEBANG = b"#!"
SHEBANG_BYTES = 256  # of a file, in which the kernel looks for a `#!` line


def script_of(head: bytes) -> Script | None:
    """What the first SHEBANG_BYTES of a file tell of its `#!` line; None where it has none."""
    if not head.startswith(SHEBANG):
        return None
    line, end, _ = head[len(SHEBANG) : SHEBANG_BYTES].partition(b"\n")
    return Script(line.decode("utf-8", "surrogateescape"), bool(end))


def may_hold_elf(head: bytes) -> bool:
    """Whether a file with these first bytes may be an ELF file, or an archive with some in it."""
    return head.startswith((b"\x7fELF", b"PK", SHEBANG))


def outcome_to_json(outcome: Outcome) -> dict[str, Any] | None:
    """An outcome as JSON: null, or an object with `malformed`, `archive`, `script` or the facts."""
    return None if outcome is None else outcome.to_json()


def outcome_from_json(value: Mapping[str, Any] | None) -> Outcome:
    """The inverse of `outcome_to_json`."""
    if value is None:
        return None
    if "malformed" in value:
        return Malformed(value["malformed"])
    if "script" in value:
        return Script.from_json(value)
    return Archive.from_json(value) if "archive" in value else ElfFacts.from_json(value)
