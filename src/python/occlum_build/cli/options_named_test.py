"""What the library says is also said by Pants, where options of the command mean nothing."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import occlum_build
from occlum_build.cli.main import VERBS

LIBRARY = Path(occlum_build.__file__).parent
# Texts that no goal of Pants tells, or whose option the goals have too.
OF_THE_COMMAND_ALONE = {
    "files/recovery.py": "names the whole command",
    "occlum/build.py": "`build`",
    "occlum/init_ra.py": "`new --init-ra`",
    "occlum/package.py": "`package`",
    "packages/alternatives.py": "an option of update-alternatives",
    "packages/scripts.py": "an option of a command in a package's script",
    "report/diff_output.py": "`--all` of occlum-diff",
    "report/read.py": "names the whole command",
    "report/size.py": "`--max` of occlum-size",
    "run/target.py": "`run` of the command, which looks for what it is given",
    "switch/": "`init-pants`, and options of commands in scripts",
    "trace/output.py": "`trace`",
    "verify/": "`verify`",
}


def options_of_the_command() -> set[str]:
    """All long options of all verbs."""
    found: set[str] = set()
    for module in sorted(set(VERBS.values()) - {"occlum_command"}):
        verbs = argparse.ArgumentParser().add_subparsers()
        importlib.import_module(f"occlum_build.cli.{module}").add_parser(verbs)
        for parser in verbs.choices.values():
            found.update(name for one in parser._actions for name in one.option_strings)
    return {one for one in found if one.startswith("--")}


def texts_of(source: str) -> Iterator[str]:
    """Each constant text of a module, those of one expression together; no docstrings."""
    tree, others = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [one for one in node.values if isinstance(one, ast.Constant)]
            others.update(parts)
            yield "".join(str(one.value) for one in parts)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            others.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in others:
            yield node.value


def naming_options() -> Iterator[tuple[str, str]]:
    """File and text of each that names an option of the command, and not what Pants has for it."""
    options = options_of_the_command()
    for path in sorted(LIBRARY.rglob("*.py")):
        file = path.relative_to(LIBRARY).as_posix()
        if file.startswith("cli/") or re.search(r"(^|/)(test|conf|testing\w*|\w+_test)\.py$", file):
            continue
        for text in texts_of(path.read_text()):
            if options & set(re.findall(r"--[a-z][a-z-]+", text)) and "under Pants" not in text:
                yield file, text


def test_texts_name_no_option_that_pants_does_not_have() -> None:
    wrong = {
        (file, text)
        for file, text in naming_options()
        if not any(file.startswith(one) for one in OF_THE_COMMAND_ALONE)
    }
    assert wrong == set()


def test_every_exception_is_for_something() -> None:
    named = {file for file, _ in naming_options()}
    for one in OF_THE_COMMAND_ALONE:
        assert any(file.startswith(one) for file in named), one


def test_what_is_planted_is_found() -> None:
    assert "--root" in options_of_the_command()
    assert list(texts_of('x = f"give --root {y}"')) == ["give --root "]
    assert list(texts_of('x = "give --root"')) == ["give --root"]
