"""Alternatives that a postinst installs by `update-alternatives --install`, and the links of them.

update-alternatives(1): a group has alternatives with a priority each, and the one of the highest is
what its link leads to, by way of /etc/alternatives; slaves are links that follow it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from occlum_build.files.compressed import BadArchive
from occlum_build.files.shape import ListOf
from occlum_build.packages.paths import of_root
from occlum_build.packages.shell import Command
from occlum_build.packages.shell_values import Argument

PROGRAM = "update-alternatives"
DIRECTORY = "/etc/alternatives"
ALTERNATIVE_SHAPE = {
    "group": str,
    "link": str,
    "path": str,
    "priority": int,
    "slaves": ListOf({"name": str, "link": str, "path": str}),
}
_OPTIONS_WITH_VALUE = frozenset(["--altdir", "--admindir", "--instdir", "--root", "--log"])
_NAME = re.compile(r"[^/\s]+")
_PRIORITY = re.compile(r"-?[0-9]{1,9}")


class Slave(NamedTuple):
    """A link that follows its group: its name there, where it stands, and what it leads to."""

    name: str
    link: str
    path: str


@dataclass(frozen=True)
class Alternative:
    """What one --install says; the paths are as they were written."""

    group: str
    link: str
    path: str
    priority: int
    slaves: tuple[Slave, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain dict with every field."""
        slaves = [one._asdict() for one in self.slaves]
        return {**vars(self), "slaves": slaves}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Alternative:
        """The inverse of `to_json`."""
        slaves = tuple(Slave(one["name"], one["link"], one["path"]) for one in value["slaves"])
        return cls(value["group"], value["link"], value["path"], value["priority"], slaves)


def alternatives_in(commands: Iterable[Command]) -> tuple[list[Alternative], list[Command]]:
    """The alternatives that commands install, and the commands that cannot be read to their end.

    Of these the alternative counts with the slaves that can be read, if its own part can.
    """
    found: list[Alternative] = []
    unread: list[Command] = []
    for command in commands:
        if command.name != PROGRAM or "--install" not in command.words:
            continue
        alternative, is_whole = _alternative(command.words[1:])
        if not is_whole:
            unread.append(command)
        if alternative is not None and alternative not in found:
            found.append(alternative)
    return found, unread


def _alternative(words: Sequence[Argument]) -> tuple[Alternative | None, bool]:
    master: tuple[str, ...] = ()
    slaves: list[Slave] = []
    at, is_whole = 0, True
    while at < len(words) and is_whole:
        word = words[at] or ""
        count = {"--install": 4, "--slave": 3}.get(word, int(word in _OPTIONS_WITH_VALUE))
        values = [value for value in words[at + 1 : at + 1 + count] if value]
        is_whole = len(values) == count and word.startswith("-")
        if is_whole and word == "--install":
            master = tuple(values)
        elif is_whole and word == "--slave":
            link, name, path = values
            slaves.append(Slave(name, link, path))
        at += 1 + count
    if not master or not _PRIORITY.fullmatch(master[3]):
        return None, False
    link, group, path, priority = master
    if not all(map(_is_name, [group, *(slave.name for slave in slaves)])):
        return None, False
    return Alternative(group, link, path, int(priority), tuple(slaves)), is_whole


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and text not in (".", "..")


class Link(NamedTuple):
    """A link of the root that no package has: its canonical path, target, and what it is of."""

    path: str
    target: str
    by: str


def chosen_links(
    alternatives: Iterable[tuple[str, Alternative]], paths: Collection[str], merged_usr: bool
) -> list[Link]:
    """The links of the best alternative of each group, sorted by path.

    Alternatives come with their packages; `paths` are those of the root. One whose file is not
    there does not count, nor does such a slave. Of equal priorities the first path wins. A link
    where a package has something is not made, as by update-alternatives.
    """
    groups: dict[str, list[tuple[str, Alternative]]] = {}
    for package, one in alternatives:
        if _place(one.path, merged_usr) in paths:
            groups.setdefault(one.group, []).append((package, one))
    links: dict[str, Link] = {}
    for group in sorted(groups):
        package, best = min(groups[group], key=lambda one: (-one[1].priority, one[1].path))
        by = f"alternatives of {package}"
        for name, link, path in [(group, best.link, best.path), *best.slaves]:
            place = _place(link, merged_usr)
            if place is None or place in paths or _place(path, merged_usr) not in paths:
                continue
            for made in (
                Link(place, f"{DIRECTORY}/{name}", by),
                Link(f"{DIRECTORY}/{name}", path, by),
            ):
                links.setdefault(made.path, made)
    return [links[path] for path in sorted(links)]


def _place(path: str, merged_usr: bool) -> str | None:
    try:
        return of_root(path, merged_usr)
    except BadArchive:
        return None
