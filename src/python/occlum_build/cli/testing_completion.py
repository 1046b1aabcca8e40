"""The scripts by which shells complete `occlum-build`, made by shtab of the whole command line.

`python -m occlum_build.cli.testing_completion` makes those in completion/ anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import shtab

from occlum_build.cli import completion, main

SCRIPTS = Path(completion.__file__).parent / "completion_scripts"
_FILES = ("BOM", "FILE")


def script(shell: str) -> str:
    """The text of one script; the same for each CPython."""
    parser = main.whole_parser()
    pending = [parser]
    while pending:
        for action in pending.pop()._actions:
            if isinstance(action.choices, dict):
                pending += dict.fromkeys(action.choices.values())
            elif action.choices is None and action.nargs != 0:
                _complete_files(action)
    return shtab.complete(parser, shell=shell).rstrip("\n") + "\n"


def _complete_files(action: Any) -> None:
    """Tell shtab of an argument that is a file or a directory."""
    if action.metavar == "DIR":
        action.complete = shtab.DIRECTORY
    elif action.type is Path or action.metavar in _FILES:
        action.complete = shtab.FILE


if __name__ == "__main__":
    for name in completion.SHELLS:
        (SCRIPTS / f"occlum-build.{name}").write_text(script(name), encoding="utf-8")
