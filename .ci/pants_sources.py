"""Checks the plugin against the sources of other versions of Pants: see docs/pants-versions.md.

Usage: PYTHONPATH=rules pants_sources.py types CHECKOUT...
       PYTHONPATH=rules pants_sources.py write CHECKOUT[@COMMIT]...

`types` runs mypy, of the environment that runs this, against each checkout of Pants. `write` writes
the list of what the plugin uses of Pants, with the signatures that it has in these checkouts. A
checkout is a directory with src/python/pants; COMMIT is what it is of where it is no git clone.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pants_api import MISSING, Api, Signature, in_order
from pants_signatures import Sources
from pants_uses import Version, flags_at, read_flags, uses_of_pants

PROJECT = Path(__file__).parents[1]
PACKAGE = "rules/pants_occlum"
LIST = ".ci/pants_api.json"

# The Python that Pants runs on, since which of its versions.
PYTHONS: Mapping[Version, str] = {(2, 17): "3.9", (2, 25): "3.11", (2, 32): "3.14"}
# Before it, what Pants' own `@rule(desc=...)` decorates returns Any.
RULES_ARE_TYPED = (2, 26)

CONFIG = """\
[mypy]
strict = True
show_error_codes = True
enable_error_code = ignore-without-code,redundant-expr,truthy-bool
untyped_calls_exclude = elftools,pants,yaml
follow_imports = silent
[mypy-elftools.*,networkx.*]
ignore_missing_imports = True
[mypy-pants.*]
ignore_errors = True
ignore_missing_imports = True
"""
# Calls by name for a Pants without them, which one with them does not import.
NO_POLYFILL = """\
[mypy-pants_occlum.compat.polyfill,pants_occlum.compat.rule_calls]
ignore_errors = True
[mypy-pants_occlum.compat.pants_rules_by_get]
ignore_errors = True
"""


class WrongUse(Exception):
    """One line about what is not there."""


@dataclass(frozen=True)
class Checkout:
    """Pants' sources in a directory. `version` is as `2.34.0.dev3`, `commit` may be empty."""

    directory: Path
    version: str
    commit: str

    @staticmethod
    def at(argument: str) -> Checkout:
        """From `DIRECTORY` or `DIRECTORY@COMMIT`. Raises WrongUse."""
        name, _, commit = argument.partition("@")
        directory = Path(name).resolve()
        if not (directory / "src/python/pants").is_dir():
            raise WrongUse(f"{name} is no checkout of Pants: it has no src/python/pants")
        file = directory / "src/python/pants/VERSION"
        if not file.is_file():
            raise WrongUse(f"{name} has no src/python/pants/VERSION, which tells its version")
        version = file.read_text().strip()
        if not re.match(r"\d+\.\d+\.\d+", version):
            raise WrongUse(f"{name}/src/python/pants/VERSION is no version: {version}")
        if in_order(version) < min(PYTHONS):
            raise WrongUse(f"{name} is Pants {version}, and nothing before 2.17 is known here")
        return Checkout(directory, version, commit or _commit(directory))

    @property
    def sources(self) -> Path:
        return self.directory / "src/python"

    @property
    def minor(self) -> Version:
        major, minor, *_ = in_order(self.version)
        return major, minor

    @property
    def python(self) -> str:
        return PYTHONS[max(since for since in PYTHONS if since <= self.minor)]


def _commit(directory: Path) -> str:
    if not (directory / ".git").exists():
        return ""
    command = ["git", "-C", str(directory), "rev-parse", "HEAD"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()


def check_types(checkouts: Sequence[Checkout], project: Path) -> int:
    """Prints what mypy says of each; 1 if that is an error, else 0."""
    if importlib.util.find_spec("mypy") is None:
        raise WrongUse(f"there is no mypy in the environment of {sys.executable}: install it")
    failed = 0
    for one in checkouts:
        flags = flags_at(read_flags(project / PACKAGE), one.version)
        with tempfile.TemporaryDirectory() as temporary:
            config = Path(temporary, "mypy.ini")
            config.write_text(CONFIG + (NO_POLYFILL if flags["NATIVE"] else ""))
            run = subprocess.run(
                [sys.executable, "-m", "mypy", f"--config-file={config}", *_options(one, flags)],
                cwd=project,
                env={**os.environ, "MYPYPATH": f"{one.sources}:rules:src/python"},
                stdout=subprocess.PIPE,
                text=True,
            )
        true = ", ".join(flag for flag in sorted(flags) if flags[flag]) or "no flag"
        print(f"Pants {one.version}, CPython {one.python}, {true}: {run.stdout}", end="")
        failed |= run.returncode != 0
    return failed


def _options(checkout: Checkout, flags: Mapping[str, bool]) -> list[str]:
    options = [f"--python-version={checkout.python}"]
    options += [f"--always-{str(flags[flag]).lower()}={flag}" for flag in sorted(flags)]
    if flags["NATIVE"] and checkout.minor < RULES_ARE_TYPED:
        options.append("--no-warn-return-any")
    # A cache would be taken for another version of Pants as well.
    return [*options, f"--cache-dir={os.devnull}", "--package=pants_occlum"]


def write_list(checkouts: Sequence[Checkout], project: Path) -> None:
    symbols = {use.symbol for use in uses_of_pants(project / PACKAGE)}
    for one in checkouts:
        if not one.commit:
            raise WrongUse(f"{one.directory} is no git clone: give its commit, as DIRECTORY@COMMIT")
    read: dict[str, dict[str, Signature]] = {symbol: {} for symbol in symbols}
    for one in checkouts:
        sources = Sources(one.sources)
        for symbol in symbols:
            read[symbol][one.version] = _signature(sources, symbol)
    commits = {one.version: one.commit for one in checkouts}
    (project / LIST).write_text(Api.of(commits, read).text())
    print(f"{LIST}: {len(symbols)} symbols in {len(commits)} versions of Pants")


def _signature(sources: Sources, symbol: str) -> Signature:
    try:
        return sources.signature(symbol)
    except LookupError:
        return MISSING


def main(arguments: Iterable[str], project: Path = PROJECT) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["types", "write"])
    parser.add_argument("checkouts", nargs="+")
    options = parser.parse_args(list(arguments))
    try:
        checkouts = [Checkout.at(one) for one in options.checkouts]
        if options.action == "types":
            return check_types(checkouts, project)
        write_list(checkouts, project)
    except WrongUse as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
