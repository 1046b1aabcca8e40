"""`init-pants`: BUILD files for a repository with demos for Occlum, and what is left to do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import say, say_json

if TYPE_CHECKING:
    from occlum_build.switch.plan import Plan

WRITTEN, KEPT, SHOWN = "written", "kept", "shown"


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "init-pants",
        help="write BUILD files for BOMs and scripts for Occlum",
        description="Look at the BOM files and shell scripts for Occlum in a directory, run none "
        "of them, and write BUILD files with what they build; tell what could not be translated "
        "(docs/switch.md). A BUILD file that is there is left as it is.",
        allow_abbrev=False,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="with all that is below it")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, print everything")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/switch.md)")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Write what can be written, and print the rest; raises OcclumError `switch` and OSError."""
    from occlum_build.errors import OcclumError, Place
    from occlum_build.switch.plan import plan
    from occlum_build.switch.tree import look, root_of

    if not options.directory.is_dir():
        place = Place(str(options.directory))
        hint = "name the directory that the scripts are in"
        raise OcclumError("switch", "there is no such directory", place=place, hint=hint)
    folder = options.directory.resolve()
    root = root_of(folder)
    found = plan(look(folder, root))
    states = {
        one.path: SHOWN if options.dry_run else KEPT if one.there else WRITTEN
        for one in found.files
    }
    write(root, found, states)
    if options.json:
        say_json(to_json(root, found, states), indent=1)
    else:
        tell(root, found, states)


def write(root: Path, found: Plan, states: dict[str, str]) -> None:
    """Write the new BUILD files, all of them or none."""
    from occlum_build.files.change import Change

    new = [one for one in found.files if states[one.path] == WRITTEN]
    if not new:
        return
    with Change() as change:
        for one in new:
            change.write(root / one.path, one.text.encode(), must_be_new=True)
        change.commit()


def to_json(root: Path, found: Plan, states: dict[str, str]) -> dict[str, Any]:
    """As switch/init_pants.schema.json has it."""
    return {
        "schema": 1,
        "root": str(root),
        "build_files": [
            {"path": one.path, "text": one.text, "state": states[one.path]} for one in found.files
        ],
        "enclaves": [one._asdict() for one in found.enclaves],
        "told": [one._asdict() for one in found.told],
    }


def tell(root: Path, found: Plan, states: dict[str, str]) -> None:
    """Print what was written, what to add by hand, and what was not translated."""
    for one in found.files:
        if states[one.path] == WRITTEN:
            say(f"written: {one.path}")
            continue
        if one.there and is_the_same(root / one.there, one.text):
            say(f"as it is to be: {one.there}")
            continue
        why = (
            f"not written: {one.there} is there; add what it lacks of this"
            if one.there
            else "to write"
        )
        say(f"# {one.path}: {why}")
        for line in one.text.splitlines():
            say(line)
    for enclave in found.enclaves:
        say(f"{enclave.address} is what {enclave.script}:{enclave.line} makes")
    if found.told:
        say(f"{len(found.told)} to do by hand:")
    for told in found.told:
        text = f"`{told.text}`: " if told.text else ""
        say(f"  {told.file}:{told.line}: {text}{told.why}")
        say(f"      {told.todo}")
    if not found.files:
        say("there is no BOM, and so nothing to write")
    elif not (root / "pants.toml").exists():
        say(
            f"next: a pants.toml with the plugin (README.md) in {root}, the root that all of this"
            " is for; there is none there or above"
        )


def is_the_same(path: Path, text: str) -> bool:
    """Is this already what is in a file?"""
    from occlum_build.errors import OcclumError
    from occlum_build.files.reading import read_file

    content = text.encode()
    try:
        return read_file(path, len(content)) == content
    except OcclumError:
        return False
