"""Options of Occlum's commands in a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from occlum_build.packages.shell_values import Argument

# Those of `occlum build` that have a value.
BUILD_FLAGS = ("--sgx-mode", "--enable-edmm", "--image-key", "--sign-key", "--sign-tool")
# As Occlum reads them: the variable must say yes, the option is yes unless it says no.
EDMM_BY_VARIABLE = ("Y", "YES", "Yes", "yes", "True", "true", "1")
EDMM_OFF = ("", "N")


def options_of(
    words: Sequence[Argument], with_value: Sequence[str]
) -> tuple[list[Argument], dict[str, Argument]]:
    """What is no option, and the options with their values ("" for those without)."""
    names: list[Argument] = []
    options: dict[str, Argument] = {}
    rest = iter(words)
    for word in rest:
        if word is None or not word.startswith("-") or word == "-":
            names.append(word)
            continue
        name, equals, value = word.partition("=")
        if equals:
            options[name] = value
        else:
            options[name] = next(rest, None) if name in with_value else ""
    return names, options


@dataclass(frozen=True)
class CopyBom:
    """A call of copy_bom; None where something cannot be told."""

    file: Argument
    root: Argument
    include_dirs: tuple[Argument, ...]


def copy_bom_options(words: Sequence[Argument]) -> CopyBom | None:
    """The options of copy_bom that rule what is copied; None for words that are none of them."""
    found: dict[str, list[Argument]] = {"--file": [], "--root": [], "--include-dir": []}
    taking: list[Argument] | None = None  # the values of the option before
    for word in words:
        name, equals, value = (word or "").partition("=")
        name = {"-f": "--file", "-i": "--include-dir"}.get(name, name)
        if name in found:
            taking = found[name]
            if equals:
                taking.append(value)
        elif word is not None and word.startswith("-"):
            if word not in ("--dry-run", "-d"):
                return None
            taking = None
        elif taking is None:
            return None
        else:
            taking.append(word)
    file, root = (found[name][-1] if found[name] else None for name in ("--file", "--root"))
    return CopyBom(file, root, tuple(found["--include-dir"]))
