"""What comes of starting a program of an image, by a kernel or by Occlum's libOS.

The libOS starts what its do_spawn takes: an ELF program for x86-64 that is position-independent and
names a loader, or a script whose whole `#!` line is the path of such a program.
"""

from __future__ import annotations

from typing import NamedTuple

from occlum_build.checks.root import Root
from occlum_build.elf.facts import SHEBANG, ElfFacts, Script
from occlum_build.elf.interpreter import TAKE_ANOTHER, foreign_machine
from occlum_build.errors import ERROR, Place, Problem
from occlum_build.image.entries import DIR, FILE
from occlum_build.shown import escaped

EXECUTE = 0o111  # for anybody: the libOS and a container's root ask for no more
LIBOS_LINE_BYTES = 127  # within which the libOS looks for the end of a `#!` line
_MAX_SCRIPTS = 4  # that a kernel goes through to the program
_SHOWN = 80

_CHMOD = "make the file executable where it is copied from: `chmod +x`"
_PIE = "link it with `-pie` and without `-static`; for Go: `go build -buildmode=pie`, with cgo"
_DIRECT = "write `#!` and the absolute path of the interpreter alone, or start that interpreter, "
_DIRECT += "with the script as its argument"


class Refusal(NamedTuple):
    """Why a program is not started; `reason` goes on after its path.

    The code is `program` or `interpreter`, and `libos-program` where only the libOS refuses it.
    """

    code: str
    reason: str
    hint: str

    def problem(self, path: str, place: Place | None = None, severity: str = ERROR) -> Problem:
        """The problem of the program at a path."""
        return Problem(self.code, f"{path} {self.reason}", place, self.hint, severity=severity)


def refusal(root: Root, path: str, *, libos: bool) -> Refusal | None:
    """Why the program at an absolute path cannot be started; None where nothing speaks against it.

    `libos`: by Occlum's libOS, else by the kernel of an x86-64 machine.
    """
    return _of_file(root, path) or _of_content(root, path, libos=libos, scripts_left=_MAX_SCRIPTS)


def program_problem(root: Root, program: str, *, libos: bool) -> Problem | None:
    """Why a program that a container or enclave is to start cannot be started."""
    found = refusal(root, program, libos=libos)
    if found is None:
        return None
    if not root.kind(program):
        text = f"there is no program {program} in the image"
        return Problem("program", text, hint=found.hint)
    return found.problem(f"the program {program}")


def elf_refusal(root: Root, path: str, facts: ElfFacts) -> Refusal | None:
    """Why no kernel for x86-64 loads an ELF file of an image, whatever libraries it has."""
    machine = foreign_machine(facts)
    if machine:
        return Refusal("program", f"is for {machine}, not x86-64", TAKE_ANOTHER)
    if not facts.loadable:
        return Refusal("program", f"is no program, its type is {facts.type}", "link it first")
    loader = facts.interpreter
    if loader is None:
        return None
    wrong = _of_file(root, loader)
    reason = wrong.reason if wrong is not None else ""
    if not reason and not ((found := root.facts(loader)) and found.loadable):
        reason = "is no ELF file"
    if not reason:
        return None
    hint = f"copy the loader to {loader}"
    if path in root.searched.left_alone:
        hint += ", or the program without `autodep: false`, which brings its loader"
    return Refusal("interpreter", f"needs the loader {loader}, which {reason}", hint)


def _of_file(root: Root, path: str) -> Refusal | None:
    found = root.find(path)
    if root.kind(path) == DIR:
        return Refusal("program", "is a directory", "name a program in it")
    if found is None or found.kind != FILE:
        itself = root.at(path)
        link = f"is a link to {itself.target}, which " if itself and itself.target else ""
        elsewhere = [one for one in root.named(path.rpartition("/")[2]) if one != path]
        hint = f"the image has {elsewhere[0]}" if elsewhere else "copy it into the image by the BOM"
        return Refusal("program", f"{link}is not in the image", hint)
    if not found.mode & EXECUTE:
        return Refusal("program", f"has no execute bit (its mode is {found.mode:04o})", _CHMOD)
    return None


def _of_content(root: Root, path: str, *, libos: bool, scripts_left: int) -> Refusal | None:
    facts = root.facts(path)
    if facts is not None:
        found = elf_refusal(root, path, facts)
        return found or (_of_elf_in_libos(path, facts) if libos else None)
    script = root.script(path)
    if script is not None:
        by_libos = _of_script_in_libos(root, script) if libos else None
        # An argument is refused whether or not its interpreter is there.
        if by_libos is not None and script.line.split()[1:]:
            return by_libos
        return _of_script(root, script, scripts_left) or by_libos
    malformed = root.malformed(path)
    if malformed:
        return Refusal("program", f"looks like an ELF file but is none: {malformed}", "")
    hint = "start the program that reads it, or begin a script with `#!` and its interpreter"
    return Refusal("program", "is neither an ELF program nor a script with a `#!` line", hint)


def _of_elf_in_libos(path: str, facts: ElfFacts) -> Refusal | None:
    reason = hint = ""
    if facts.elf_class != 64:
        reason, hint = "is a 32-bit program, which the libOS does not start", TAKE_ANOTHER
    elif facts.type == "ET_EXEC":
        reason = "is not position-independent (ET_EXEC), and the libOS starts only what is"
        hint = _PIE
    elif facts.interpreter is None and not _is_loader(path):
        reason, hint = (
            "names no loader (PT_INTERP), as a static program, which the libOS wants",
            _PIE,
        )
    return Refusal("libos-program", reason, hint) if reason else None


def _is_loader(path: str) -> bool:
    return path.rpartition("/")[2].startswith("ld-")


def _of_script(root: Root, script: Script, scripts_left: int) -> Refusal | None:
    words = script.line.strip(" \t").split(" ")
    interpreter = words[0].split("\t")[0]
    if not interpreter:
        hint = "write the absolute path of its interpreter after `#!`"
        return Refusal("interpreter", "names no interpreter in its `#!` line", hint)
    if interpreter.endswith("\r"):
        return CARRIAGE_RETURN
    if not scripts_left:
        return Refusal("interpreter", "is started by scripts that start each other", _DIRECT)
    wrong = _of_file(root, interpreter) or _of_content(
        root, interpreter, libos=False, scripts_left=scripts_left - 1
    )
    if wrong is None:
        return None
    reason = f"starts with `{shown_line(script)}`, but {shown(interpreter)} {wrong.reason}"
    is_there = root.find(interpreter) is not None
    hint = wrong.hint if is_there else "copy the interpreter into the image by the BOM"
    return Refusal("interpreter", reason, hint)


def _of_script_in_libos(root: Root, script: Script) -> Refusal | None:
    path = script.line.lstrip(" \t")
    end = len(SHEBANG) + len(script.line.encode("utf-8", "surrogateescape"))
    starts = f"starts with `{shown_line(script)}`"
    if not script.is_ended or end >= LIBOS_LINE_BYTES:
        reason = f"{starts}, and the libOS wants a line end in the first {LIBOS_LINE_BYTES} bytes"
        return Refusal("libos-program", reason, _DIRECT)
    if _of_file(root, path) is not None:
        what = "the argument as well" if path.split()[1:] else "the blank at its end as well"
        return Refusal(
            "libos-program", f"{starts}: the libOS takes all of it for a path, {what}", _DIRECT
        )
    facts = root.facts(path)
    if facts is None:
        reason = (
            f"{starts}, and {shown(path)} is a script itself, which the libOS does not go through"
        )
        return Refusal("libos-program", reason, _DIRECT)
    wrong = _of_elf_in_libos(path, facts)
    if wrong is None:
        return None
    return Refusal(wrong.code, f"{starts}, but {shown(path)} {wrong.reason}", wrong.hint)


CARRIAGE_RETURN = Refusal(
    "interpreter",
    "has a carriage return at the end of its `#!` line, which counts as part of it",
    "save the script with the line ends of Unix: `sed -i 's/\\r$//'`",
)


def shown_line(script: Script) -> str:
    """A `#!` line for a message."""
    return "#!" + shown(script.line.rstrip(" \t\r"))


def shown(text: str) -> str:
    """A text of a file for a message, cut when long, its unprintable characters escaped."""
    text = escaped(text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
