"""Reads a script for Occlum, without running it: the instances that it makes, and of what."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence

from occlum_build.bom.variables import PATH_BYTES
from occlum_build.packages.shell import Command, Follower, follow
from occlum_build.packages.shell_values import Argument, TooLong
from occlum_build.switch.configs import Configs
from occlum_build.switch.model import Script
from occlum_build.switch.options import BUILD_FLAGS, EDMM_BY_VARIABLE, EDMM_OFF, options_of
from occlum_build.switch.places import ROOT, with_places
from occlum_build.switch.state import Left
from occlum_build.switch.tree import Tree

MOST_CHARACTERS = 1 << 20  # of all scripts in `$(...)` that are followed
_FILTERS = ("jq", "yq")
# What only looks, or is the rest of an edit that has been read.
_HARMLESS = frozenset(
    [
        *("[", "[[", "cat", "cmp", "diff", "du", "echo", "false", "file", "find", "grep", "head"),
        *("ls", "printf", "readlink", "sha256sum", "stat", "tail", "test", "true", "wc"),
    ]
)
_ACTS = re.compile(r"-(?:exec|ok|delete|fprint)")  # what makes find do more than look
_PREFIXES = frozenset(["sudo", "time", "exec", "env", "nohup"])


def read_script(path: str, text: str, tree: Tree) -> Script:
    """The script at a path of a tree."""
    reader = _Reader(path, text, tree)
    try:
        follow(with_places(text, posixpath.dirname(path)), reader.values, reader)
    except TooLong:
        reader.tell(1, "the script is too long to be followed", "write its targets by hand", path)
    return Script(path, tuple(reader.instances), tuple(reader.told.values()))


class _Reader(Configs, Follower):
    def __init__(self, path: str, text: str, tree: Tree) -> None:
        super().__init__(path, text, tree)
        self.characters = MOST_CHARACTERS
        self.outside: list[Left] = []  # of subshells that are open
        self.verbs: dict[str, Callable[[Command, Sequence[Argument]], None]] = {
            "cd": self.enter,
            "pushd": self.enter,
            "popd": self.leave,
            "occlum": self.occlum,
            "copy_bom": self.copy_bom,
            "jq": self.edit,
            "yq": self.edit,
            "sed": self.sed,
            "mkdir": self.mkdir,
            "rm": self.remove,
            "cp": self.copy,
            "mv": self.move,
        }

    def command(self, command: Command) -> None:
        words = command.words
        while len(words) > 1 and words[0] in _PREFIXES:
            words = words[1:]
        name = (words[0] or "").rpartition("/")[2]
        is_shown, self.is_shown = self.is_shown, False
        if name == "cat" and len(words) == 2 and self.is_config(words[1]):
            self.is_shown = True
        elif name in _FILTERS and is_shown:
            self.edit(command, words[1:], piped=True)
        elif name in self.verbs:
            self.verbs[name](command, words[1:])
        elif name not in _HARMLESS or (
            name == "find" and any(map(_ACTS.match, filter(None, words)))
        ):
            self.other(command, words)
        self.written(command)

    def substituted(self, script: str, line: int, depth: int) -> None:
        if any(name in script for name in _FILTERS):
            self.characters -= len(script)
            if self.characters < 0:
                raise TooLong
            self.subshell(True)
            follow(script, self.values, _Inner(self, line, depth))
            self.subshell(False)

    def subshell(self, begins: bool) -> None:
        if begins:
            self.outside.append(Left(self.here, self.left))
        elif self.outside:
            here, self.left = self.outside.pop()
            self.go(here)

    def enter(self, command: Command, words: Sequence[Argument]) -> None:
        if command.name == "pushd":
            self.left = Left(self.here, self.left)
        word = words[-1] if words else None
        if word == "-":
            self.go(self.before)
            return
        is_home = word is None or word.startswith("~")
        here = None if is_home else self.at(word)
        self.go(None if here is not None and here.startswith("/") else here)

    def leave(self, _command: Command, _words: Sequence[Argument]) -> None:
        here, self.left = self.left or Left(None, None)
        self.go(here)

    def go(self, here: str | None) -> None:
        """The working directory is another one, or None where it cannot be told."""
        if here is not None and len(here) > PATH_BYTES:
            here = None
        self.before, self.here = self.here, here
        place = None if here is None else posixpath.join(ROOT, here).rstrip("/")
        self.values.put("PWD", place)

    def occlum(self, command: Command, words: Sequence[Argument]) -> None:
        verb = words[0] if words else None
        if verb in ("new", "init"):
            self.new(command, words[1:])
        elif verb == "build":
            self.build(command, words[1:])
        elif verb == "gen-image-key":
            why = "a key is no part of a project"
            self.tell(command.line, why, "make it once, and name it by [occlum].image_key_file")

    def new(self, command: Command, words: Sequence[Argument]) -> None:
        names, options = options_of(words, ("--init-ra",))
        if any(option.startswith("--init-ra") for option in options):
            why = "occlum_enclave has no client for remote attestation of Occlum's"
            todo = "make the initfs of it by an occlum_image, and name it as `initfs`"
            self.tell(command.line, why, todo)
        self.add_instance(command, self.at(names[0]) if names else self.here)

    def build(self, command: Command, words: Sequence[Argument]) -> None:
        instance = self.instance
        if instance is None:
            return
        instance.is_built = True
        _, options = options_of(words, tuple(BUILD_FLAGS))
        if self.values.value("SGX_MODE") in ("SIM", "HYPER"):
            instance.options["sgx_mode"] = self.values.value("SGX_MODE")
        if self.values.value("ENABLE_EDMM") in EDMM_BY_VARIABLE:
            instance.options["edmm"] = True
        for name, value in options.items():
            if value is None and name in ("--sgx-mode", "--enable-edmm"):
                why = f"the value of {name} cannot be told, and was taken as if it were not there"
                self.tell(command.line, why, "see `sgx_mode` and `edmm` of occlum_enclave")
            elif name == "--sgx-mode" and value in ("HW", "SIM", "HYPER"):
                instance.options["sgx_mode"] = value
            elif name == "--enable-edmm":
                instance.options["edmm"] = value not in EDMM_OFF
            elif name == "--image-key":
                instance.options["encrypt"] = True
                why = "paths of keys are no part of a target"
                self.tell(command.line, why, "name the key by [occlum].image_key_file")
            elif name == "--buildin-image-key":
                instance.options["buildin_image_key"] = True
            elif name == "--sign-key":
                why = "paths of keys are no part of a target"
                self.tell(command.line, why, "name the key by [occlum].sign_key_file")
            elif name not in ("-f", "--force", "--sign-tool"):
                self.tell(
                    command.line, f"`{name}` is not known", "see the fields of occlum_enclave"
                )
        if instance.options.get("sgx_mode") == "HW":
            del instance.options["sgx_mode"]


class _Inner(Follower):
    """The commands in a `$(...)`, which all begin in its line."""

    def __init__(self, reader: _Reader, line: int, depth: int) -> None:
        self.reader, self.line, self.depth = reader, line, depth

    def command(self, command: Command) -> None:
        line, depth = self.line + command.line - 1, self.depth + command.depth
        self.reader.command(command._replace(line=line, depth=depth))

    def subshell(self, begins: bool) -> None:
        self.reader.subshell(begins)
