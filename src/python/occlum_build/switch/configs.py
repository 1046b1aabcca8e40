"""What a script does to its Occlum.json."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from typing import Any

from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.packages.shell import Command
from occlum_build.packages.shell_values import Argument
from occlum_build.switch.images import Images
from occlum_build.switch.jq import Edit, apply, call_of, edits_of
from occlum_build.switch.state import BY_HAND, CONFIG, MOST_SHOWN

MOST_EDITS = 1_000  # of a script
_SED = 50  # edits that one by sed counts for, as it looks at all of the configuration
_REPLACED = re.compile(r"s(?P<by>[/|#,@])(?P<old>[\w .=:-]+)(?P=by)(?P<new>[^\\&]*?)(?P=by)g?\Z")
_RECURSIVE = re.compile(r"-\w*[raR]|--recursive|--archive")  # options of cp


class Configs(Images):
    """The commands that make a configuration."""

    edits = MOST_EDITS  # that are left

    def edit(self, command: Command, words: Sequence[Argument], *, piped: bool = False) -> None:
        """jq: what it says of an Occlum.json of the instance."""
        if CONFIG in words:
            self.at_instance(command)
        call, instance = call_of(words), self.instance
        if call is not None and not call.files:
            piped = piped or self.is_edited or any(map(self.is_config, command.sources))
        is_made = any(one in self.made for one in words)
        if instance is None or not (piped or is_made or any(map(self.is_config, words))):
            return
        self.is_edited = True
        if call is None:
            self.tell(command.line, "the call cannot be told", BY_HAND)
            return
        self.report_condition(command, instance)
        for edit in edits_of(call):
            if not self.has_edits(command, 1):
                return
            if not isinstance(edit, Edit):
                self.tell(command.line, f"`{edit.text[:MOST_SHOWN]}` is not understood", BY_HAND)
                continue
            try:
                apply(instance.config, edit)
            except ValueError as error:
                self.tell(command.line, f"jq fails here: {error}", BY_HAND)

    def has_edits(self, command: Command, count: int) -> bool:
        """Are so many edits left?"""
        self.edits -= count
        if self.edits < 0:
            self.tell(command.line, "there are too many edits", BY_HAND)
        return self.edits >= 0

    def sed(self, command: Command, words: Sequence[Argument]) -> None:
        """A text that is put in the place of another in values of Occlum.json."""
        instance = self.instance
        if instance is None or not any(self.is_config(one) for one in words):
            self.other(command, ("sed", *words))
            return
        expressions = [one for one in words if one is None or not one.startswith("-")][:-1]
        known = [_REPLACED.match(one) for one in expressions if one is not None]
        if len(expressions) != 1 or not known or known[0] is None:
            self.tell(command.line, "what sed does cannot be told", BY_HAND)
            return
        old, new = known[0]["old"], known[0]["new"]
        if not self.has_edits(command, _SED):
            return
        if _has_beside(instance.config, old):
            why = "sed changes keys or numbers, too"
            self.tell(command.line, why, BY_HAND)
        elif _replace(instance.config, old, new):
            self.report_condition(command, instance)
        else:
            self.tell(command.line, "no value of the configuration has that text", BY_HAND)

    def copy(self, command: Command, words: Sequence[Argument]) -> None:
        """`cp FILE Occlum.json` is a configuration of one's own; all else is told."""
        instance = self.instance
        names = [one for one in words if one is None or not one.startswith("-")]
        if len(names) == 2:
            names = [names[0], *(self.put_into_instance(names) or names[1:])]
        if instance is None or len(names) < 2 or not self.is_config(names[-1]):
            options = [one for one in words if one is not None and one.startswith("-")]
            is_plain = not any(one.startswith(("-t", "--target")) for one in options)
            is_recursive = any(_RECURSIVE.match(one) for one in options)
            in_bom = self.as_bom(names if is_plain else (), instance, is_recursive=is_recursive)
            self.other(command, ("cp", *words), in_bom)
            return
        if self.is_edited and names[0] in self.made:
            self.is_edited = False
            return
        source = self.at(names[0])
        if source is None or source not in self.tree.configs:
            self.tell(
                command.line, "the file is not there, or no Occlum.json", "name it as `config_file`"
            )
            return
        instance.config_file = source
        instance.config = copy.deepcopy(self.tree.configs[source])

    def move(self, command: Command, words: Sequence[Argument]) -> None:
        if not (self.is_edited and words and self.is_config(words[-1])):
            self.other(command, ("mv", *words))
        else:
            self.is_edited = False


def _has_beside(document: Any, old: str) -> bool:
    """Is there such a text in what is no string: a key, a number, true, false or null?"""
    pending = [document]
    while pending:
        holder = pending.pop()
        if isinstance(holder, dict):
            if any(old in key for key in holder):
                return True
            pending.extend(holder.values())
        elif isinstance(holder, list):
            pending.extend(holder)
        elif not isinstance(holder, str) and old in json.dumps(holder):
            return True
    return False


def _replace(document: Any, old: str, new: str) -> bool:
    """Put one text in the place of another in all strings of a document.

    Says whether there was any; nothing changes where it would be more than a file may have.
    """
    found: list[tuple[Any, Any, str]] = []
    size, pending = 0, [document]
    while pending:
        holder = pending.pop()
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(value, (dict, list)):
                pending.append(value)
            elif isinstance(value, str) and old in value:
                size += len(value) + value.count(old) * len(new)
                found.append((holder, key, value))
    if size > CONFIG_BYTES:
        return False
    for holder, key, value in found:
        holder[key] = value.replace(old, new)
    return bool(found)
