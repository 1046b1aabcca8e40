"""Where the reader of a script is: its directory, the instances so far, what was not translated."""

from __future__ import annotations

import copy
import posixpath
from typing import NamedTuple

from occlum_build.packages.shell import Command
from occlum_build.packages.shell_values import Argument, TooLong, Values
from occlum_build.sgx.config import default_config
from occlum_build.sgx.config.jsontext import plain
from occlum_build.switch.model import Instance, Told
from occlum_build.switch.places import ROOT, is_below, joined
from occlum_build.switch.tree import Tree

CONFIG = "Occlum.json"
MOST_INSTANCES = 100  # of a script
MOST_TOLD = 200  # of a script
MOST_SHOWN = 120  # characters of a line
PUT_INTO_BOM = "name it in a BOM of the image"
BY_HAND = "put the change into `config` of the occlum_enclave by hand"


class Left(NamedTuple):
    """A directory that `popd` goes back to, and those below it."""

    directory: str | None
    below: Left | None


class State:
    """What is known of a script at a command of it."""

    def __init__(self, path: str, text: str, tree: Tree) -> None:
        self.path, self.lines, self.tree = path, text.splitlines(), tree
        self.home = posixpath.dirname(path)
        self.here: str | None = self.home
        self.before: str | None = None  # where it was before, for `cd -`
        self.left: Left | None = None  # by pushd
        self.values = Values({}, (), None)
        self.values.put("PWD", posixpath.join(ROOT, self.home).rstrip("/"))
        self.instances: list[Instance] = []
        self.told: dict[tuple[int, str], Told] = {}
        self.named: dict[int, bool] = {}  # by line: does it have a path in an image?
        self.made: set[str] = set()  # what jq made of it, by the words for these files
        self.is_edited = False  # jq made a new Occlum.json, which is yet to be put in its place
        self.is_shown = False  # the last command was `cat Occlum.json`

    @property
    def instance(self) -> Instance | None:
        """The one that the script is at: the one whose directory it is in, or else the last."""
        for one in reversed(self.instances):
            if one.directory is not None and is_below(self.here, one.directory):
                return one
        return self.instances[-1] if self.instances else None

    def at_instance(self, command: Command) -> Instance | None:
        """The instance that the script is at; if there is none, one that another script made."""
        if self.instance is None and self.here is not None:
            self.add_instance(command, self.here)
        return self.instance

    def add_instance(self, command: Command, directory: str | None) -> None:
        if len(self.instances) == MOST_INSTANCES:
            raise TooLong
        config = copy.deepcopy(plain(default_config()))
        instance = Instance(self.path, command.line, command.depth, directory, config)
        self.instances.append(instance)
        self.is_edited = False
        self.made.clear()

    def tell(self, line: int, why: str, todo: str, text: str = "") -> None:
        shown = text or self.line(line)
        if len(self.told) < MOST_TOLD:
            self.told.setdefault((line, why), Told(self.path, line, shown, why, todo))

    def line(self, number: int) -> str:
        text = self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""
        return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."

    def at(self, word: Argument) -> str | None:
        return None if word is None else joined(self.here, word)

    def report_condition(self, command: Command, instance: Instance) -> None:
        if command.depth > instance.depth:
            why = "it is done under a condition only, and was taken as if that held"
            self.tell(command.line, why, "leave it out of the target if that is not meant")

    def is_config(self, word: Argument) -> bool:
        instance = self.instance
        return (
            word is not None
            and instance is not None
            and (self.part_of(word, instance)[0] == CONFIG or word == CONFIG)
        )

    def part_of(self, word: Argument, instance: Instance) -> tuple[str, str]:
        """What of an instance a word names: "image", "initfs", Occlum.json or "", and where in it.

        In a directory that cannot be told what begins so is taken for a part of the instance.
        """
        path, base = self.at(word), instance.directory
        if path is None and self.here is None and word is not None:
            path, base = posixpath.normpath(word), ""
        if path is None or base is None:
            return "", ""
        for kind in ("image", "initfs", CONFIG):
            place = posixpath.join(base, kind)
            if is_below(path, place):
                return kind, path[len(place) + 1 :]
        return "", ""
