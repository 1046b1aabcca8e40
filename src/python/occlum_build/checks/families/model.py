"""What a row of the table of run-time families says: how one is known, and what it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable, NamedTuple

from occlum_build.errors import WARNING

if TYPE_CHECKING:
    from occlum_build.checks.files import Files


class Finding(NamedTuple):
    """Something that is in use and lacks a file: the path that shows it, what is wrong, a hint."""

    path: str
    message: str
    hint: str
    severity: str = WARNING


class Need(NamedTuple):
    """A file that is needed: patterns of paths of which one must match, its name, where it is from.

    `*` is a part of a name and `**/` any directories. `{group}` is what a group of the family's
    `files` or `at` matched, `*` where it took no part.
    """

    one_of: tuple[str, ...]
    what: str
    add: str
    severity: str = WARNING


class Config(NamedTuple):
    """A configuration that names files: patterns of its path, and a regular expression of a line.

    The group of `names` is a file, or several with `split` between them; comments, from `comment`
    to the end of the line, and blanks around it are taken out before. `suffix` is what libraries
    are named without. An absolute path is looked up, a relative one in the directories of `beside`
    (as seen from that of the configuration), and where there are none, a file of the same base name
    anywhere will do.
    Of one that `is_written`, it is the directory that must be there, for nothing makes it: no
    systemd, no script of a package. An empty directory above it may be a mount.
    """

    paths: tuple[str, ...]
    names: str
    add: str
    split: str = ""
    suffix: str = ""
    is_written: bool = False
    beside: tuple[str, ...] = ()
    comment: str = "#"


class Family(NamedTuple):
    """A row of the table. What is found has the code `runtime-NAME`.

    The family is in the image where a regular file has a base name that `files` matches and a path
    that `at` matches, in full, is an ELF file unless `elf` is false, and needs a library that
    `linked` matches and none that `not_linked` does. `check` is for what needs code: `checked` says
    in words what it looks for.
    """

    name: str
    title: str
    files: str
    at: str = ".*"
    elf: bool = True
    linked: str = ""
    not_linked: str = ""
    needs: tuple[Need, ...] = ()
    configs: tuple[Config, ...] = ()
    check: Callable[[Files, str], Iterable[Finding]] | None = None
    checked: str = ""

    @property
    def code(self) -> str:
        return f"runtime-{self.name}"
