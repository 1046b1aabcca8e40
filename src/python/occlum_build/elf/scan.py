"""Read the ELF facts of a directory of files: `python -m occlum_build.elf.scan IN_DIR OUT_JSON`.

The files are named by the sha256 of their content. The result is one canonical JSON object (ASCII,
sorted keys, no spaces): name -> facts, `{"malformed": reason}`, `{"archive": ...}` with the facts
of the ELF files in a zip archive, `{"script": ...}` with a `#!` line, or null for any other file.
It depends on the content of the files alone, so that it can be cached by it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from occlum_build.elf.archive import read_outcome
from occlum_build.elf.facts import outcome_to_json


def scan(directory: str) -> str:
    """The canonical JSON text of the facts of every file in a directory (not below it)."""
    facts = {}
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), "rb") as stream:
            facts[name] = outcome_to_json(read_outcome(stream))
    return json.dumps(facts, sort_keys=True, separators=(",", ":")) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 2 for wrong arguments."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m occlum_build.elf.scan IN_DIR OUT_JSON\n")
        return 2
    text = scan(arguments[0])
    with open(arguments[1], "w", encoding="utf-8", newline="\n") as out:
        out.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
