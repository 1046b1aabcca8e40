"""Scripts of a wheel: those of its entry points, and `#!python` lines of those that it brings."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator

from occlum_build.files.compressed import BadArchive
from occlum_build.shown import quoted

_GROUPS = ("console_scripts", "gui_scripts")
_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9_.+-]+")
_TARGET = re.compile(r"([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_][\w.]*)\s*(\[[^\]]*\])?", re.ASCII)
_SCRIPT = """\
#!{interpreter}
# -*- coding: utf-8 -*-
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({function}())
"""
_PYTHON = re.compile(rb"#!pythonw?(?=\s|$)")


def entry_scripts(text: str, interpreter: str) -> dict[str, bytes]:
    """The script of each entry point of `entry_points.txt`, by its name. Raises BadArchive."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error:
        raise BadArchive("entry_points.txt cannot be read") from None
    return {name: content for name, content in _scripts(parser, interpreter)}


def _scripts(parser: configparser.ConfigParser, interpreter: str) -> Iterator[tuple[str, bytes]]:
    for group in _GROUPS:
        for name, value in parser.items(group) if parser.has_section(group) else ():
            found = _TARGET.fullmatch(value.strip())
            if not found or not _NAME.fullmatch(name):
                entry = quoted(f"{name} = {value}")
                raise BadArchive(f"the entry point {entry} in it is no `name = module:function`")
            content = _SCRIPT.format(
                interpreter=interpreter,
                module=found[1],
                first=found[2].partition(".")[0],
                function=found[2],
            )
            yield name, content.encode()


def with_interpreter(first: bytes, interpreter: str) -> bytes:
    """The first bytes of a script, `#!python` replaced by an interpreter."""
    return (
        _PYTHON.sub(b"#!" + interpreter.encode(), first, count=1) if _PYTHON.match(first) else first
    )
