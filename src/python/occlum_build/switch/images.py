"""What a script does to an image or initfs: by a BOM, or otherwise."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence

from occlum_build.bom.modes import parse_mode
from occlum_build.packages.shell import Command
from occlum_build.packages.shell_values import Argument
from occlum_build.switch.model import BomUse, Instance
from occlum_build.switch.options import copy_bom_options, options_of
from occlum_build.switch.places import ROOT, is_below, joined
from occlum_build.switch.state import BY_HAND, CONFIG, PUT_INTO_BOM, State

_MODE = "write it behind the directory in `mkdirs` of the target"
_NAMES_PART = re.compile(r"(?:^|[\s\"'=/])(?:image|initfs)/")
_BRACES = re.compile(r"\{([^{},]*(?:,[^{},]*)+)\}")
_MOST_OF_BRACES = 100


def with_braces(word: str) -> list[str]:
    """The words that bash makes of one with `{a,b}`; as it is where they would be too many."""
    found, pending = [], [word]
    while pending:
        taken = pending.pop()
        match = _BRACES.search(taken)
        if match is None:
            found.append(taken)
        else:
            before, after = taken[: match.start()], taken[match.end() :]
            pending += [f"{before}{one}{after}" for one in match[1].split(",")]
        if len(found) + len(pending) > _MOST_OF_BRACES:
            return [word]
    return found


class Images(State):
    """The commands that fill images."""

    def copy_bom(self, command: Command, words: Sequence[Argument]) -> None:
        instance, found = self.at_instance(command), copy_bom_options(words)
        if found is None or found.file is None or found.root is None:
            self.tell(
                command.line, "which BOM, or where to, cannot be told", "write its targets by hand"
            )
            return
        if instance is None:
            self.tell(command.line, "no instance is made before it", "write its targets by hand")
            return
        path = self.bom(found.file)
        if path is None:
            why = f"there is no BOM {posixpath.basename(found.file)}"
            self.tell(command.line, why, "write its targets when it is there")
            return
        kind = self.part_of(found.root, instance)[0] or posixpath.basename(found.root)
        if kind not in ("image", "initfs"):
            self.tell(
                command.line, "it fills neither image nor initfs", "write its targets by hand"
            )
            return
        if kind == "image" and not instance.is_cleared:
            why = "what `occlum new` puts into the image stays there, and under Pants is not"
            self.tell(command.line, why, "name what of it is needed in the BOM")
        self.report_condition(command, instance)
        known = {name: self.values.value(name) for name in self.tree.boms[path].variables}
        variables = {name: value for name, value in known.items() if value is not None}
        use = BomUse(path, tuple(self.include_dirs(command, found.include_dirs)), variables)
        (instance.boms if kind == "image" else instance.initfs).append(use)

    def bom(self, name: str) -> str | None:
        """The path of a BOM: from where the script is, or else beside it, as conditions mislead."""
        beside = re.sub(r"^(?:\.\./)+", "", name)
        for path in (joined(self.here, name), joined(self.home, beside)):
            if path is not None and path in self.tree.boms:
                return path
        return None

    def include_dirs(self, command: Command, names: Sequence[Argument]) -> list[str]:
        found = []
        for name in names:
            path = self.at(name)
            if path is None:
                self.tell(
                    command.line,
                    "a directory of includes cannot be told",
                    "add it to `include_dirs`",
                )
            else:
                found.append(path or ".")
        return found

    def mkdir(self, command: Command, words: Sequence[Argument]) -> None:
        instance = self.instance
        names, options = options_of(words, ("-m", "--mode"))
        if None in names:
            self.report_unknown(command, PUT_INTO_BOM)
        for name in (one for word in names if word is not None for one in with_braces(word)):
            kind, made = ("", "") if instance is None else self.part_of(name, instance)
            if instance is not None and kind == "image" and made:
                self.report_condition(command, instance)
                instance.mkdirs.append(made + self.suffix(command, options))

    def suffix(self, command: Command, options: Mapping[str, Argument]) -> str:
        """What `mkdirs` of a target has behind a directory for the mode that mkdir gives it."""
        mode = options.get("-m", options.get("--mode", ""))
        if mode is None or (mode and parse_mode(mode) is None):
            self.tell(command.line, "the mode of a directory cannot be told", _MODE)
        return "" if mode is None or parse_mode(mode) is None else f":{mode}"

    def remove(self, command: Command, words: Sequence[Argument]) -> None:
        instance = self.at_instance(command) if "image" in words else self.instance
        for word in words:
            kind, place = ("", "") if instance is None else self.part_of(word, instance)
            if instance is None or kind != "image":
                continue
            if place in ("", "*"):
                instance.is_cleared = True
            else:
                why = "what an image has is not removed again"
                self.tell(command.line, why, "leave it out with `excludes` of the BOM")

    def as_bom(
        self, names: Sequence[Argument], instance: Instance | None, *, is_recursive: bool = False
    ) -> str:
        """What to write into a BOM for a copy into the image; what stands there relates to it."""
        into = self.at(names[-1]) if len(names) == 2 else None
        source = names[0] if names else None
        home = None if instance is None else instance.directory
        if home is None or into is None or source is None or self.here != home:
            return PUT_INTO_BOM
        target = into[len(posixpath.join(home, "image")) :] or "/"
        path = self.at(source)
        is_directory = is_recursive and path not in self.tree.files
        kind = "dirs" if is_directory or path in self.tree.directories else "files"
        if is_below(source, ROOT):
            source = posixpath.relpath(source, posixpath.join(ROOT, home))
        item = json.dumps({"target": target, "copy": [{kind: [source]}]})
        return f"{PUT_INTO_BOM}, as `- {item}`"

    def other(
        self, command: Command, words: Sequence[Argument], in_bom: str = PUT_INTO_BOM
    ) -> None:
        """Any other command: what it does to an image is not known."""
        instance = self.instance
        if instance is None:
            return
        # Behind "=" as of `of=image/a`, or `--directory=image`.
        values = [word and word.rpartition("=")[2] for word in words[1:]]
        values += self.put_into_instance(words[1:])
        kinds = [self.part_of(value, instance)[0] for value in values]
        if None in words and not any(kinds):
            self.report_unknown(command, in_bom)
        for kind in kinds:
            if kind == CONFIG:
                self.tell(command.line, "what it does to Occlum.json cannot be told", BY_HAND)
            elif kind == "image":
                self.tell(command.line, "it changes the image", in_bom)
            elif kind == "initfs":
                why = "it changes the initfs"
                self.tell(
                    command.line, why, "make the initfs by an occlum_image, name it as `initfs`"
                )

    def report_unknown(self, command: Command, in_bom: str) -> None:
        """Tell a command with words that cannot be told, where its line names image or initfs."""
        if self.instance is not None and self.names_part(command.line):
            self.tell(command.line, "whether it changes the image cannot be told", in_bom)

    def names_part(self, line: int) -> bool:
        """Does a line have a path in an image or initfs?"""
        if line not in self.named:  # a line may be long, and have many commands
            text = self.lines[line - 1] if line <= len(self.lines) else ""
            self.named[line] = bool(_NAMES_PART.search(text))
        return self.named[line]

    def put_into_instance(self, words: Sequence[Argument]) -> list[Argument]:
        """What a copy whose last word is the directory of the instance puts there."""
        instance, last = self.instance, words[-1] if words else None
        if instance is None or last is None:
            return []
        path = self.at(last)
        is_there = path is not None and path == instance.directory
        if not is_there and (self.here is not None or posixpath.normpath(last) != "."):
            return []
        names = [posixpath.basename(one.rstrip("/")) for one in words[:-1] if one]
        return [posixpath.join(last, name) for name in names]

    def written(self, command: Command) -> None:
        """Where the output goes; that of `echo` is what jq made, if it made something."""
        instance = self.instance
        for target in command.targets:
            if target is None:
                self.report_unknown(command, PUT_INTO_BOM)
            if instance is None or target is None:
                continue
            kind, _ = self.part_of(target, instance)
            if kind == CONFIG and not self.is_edited:
                self.tell(command.line, "what is written to Occlum.json cannot be told", BY_HAND)
            elif kind == CONFIG:
                self.is_edited = False
            elif kind:
                self.tell(command.line, f"it writes into the {kind}", PUT_INTO_BOM)
            elif self.is_edited:
                self.made.add(target)
