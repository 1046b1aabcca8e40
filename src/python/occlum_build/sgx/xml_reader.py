"""A strict reader of `EnclaveConfiguration`: a flat list of elements that hold one number each.

No document type, entities of its own, processing instructions, CDATA or attributes: nothing in a
hostile file is expanded, fetched or skipped.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import NamedTuple, NoReturn
from xml.parsers import expat

from occlum_build.errors import OcclumError, Place

ROOT = "EnclaveConfiguration"
_XML_BLANKS = " \t\r\n"
_NUMBER = re.compile(
    r"\+?(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))"
)
_MAX_DIGITS = 100


class Element(NamedTuple):
    """The number in an element and where the element begins."""

    value: int
    place: Place


def read_parameters(text: bytes, file: str, known: Container[str]) -> Mapping[str, Element]:
    """The elements of the file in their order.

    Raises OcclumError `enclave-xml` with line and column for what is not well-formed, unknown,
    repeated, nested or not a number as C's strtoull reads it with base 0.
    """
    return _Reader(file, known).read(text)


class _Reader:
    def __init__(self, file: str, known: Container[str]) -> None:
        self._file = file
        self._known = known
        self._open: list[tuple[str, Place]] = []
        self._text = ""
        self._elements: dict[str, Element] = {}
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = lambda *_: self._refuse("a document type")
        self._parser.StartCdataSectionHandler = lambda: self._refuse("a CDATA section")
        self._parser.ProcessingInstructionHandler = lambda *_: self._refuse(
            "a processing instruction"
        )

    def read(self, text: bytes) -> Mapping[str, Element]:
        # expat would go by a byte order mark and read UTF-16.
        if b"\0" in text or not _is_utf8(text):
            self._fail("the file is not UTF-8 text", Place(self._file, 1, 1))
        try:
            self._parser.Parse(text, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code) or "unknown error"
            self._fail(
                f"no well-formed XML: {reason}", Place(self._file, error.lineno, error.offset + 1)
            )
        return self._elements

    def _here(self) -> Place:
        return Place(
            self._file, self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        )

    def _fail(self, message: str, place: Place | None = None) -> NoReturn:
        raise OcclumError("enclave-xml", message, place=place or self._here())

    def _refuse(self, what: str) -> NoReturn:
        self._fail(f"{what} is not allowed in a signing configuration")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if attributes:
            self._fail(f"{name} has an attribute ({next(iter(attributes))}); none is allowed")
        if not self._open and name != ROOT:
            self._fail(f"the root element is {name}, not {ROOT}")
        if len(self._open) == 1 and name not in self._known:
            self._fail(f"unknown element {name}")
        if len(self._open) > 1:
            self._fail(f"{name} stands inside {self._open[-1][0]}, which holds a number only")
        if name in self._elements:
            self._fail(f"{name} is given twice, first at {self._elements[name].place}")
        self._open.append((name, self._here()))
        self._text = ""

    def _characters(self, text: str) -> None:
        if len(self._open) == 1 and text.strip(_XML_BLANKS):
            self._fail(f"text between the elements of {ROOT}")
        if len(self._text) <= _MAX_DIGITS:  # more is no number
            self._text += text

    def _end(self, _name: str) -> None:
        name, place = self._open.pop()
        if self._open:
            self._elements[name] = Element(self._number(name, place), place)

    def _number(self, name: str, place: Place) -> int:
        match = _NUMBER.fullmatch(self._text)
        if not match or len(self._text) > _MAX_DIGITS:
            shown = self._text if len(self._text) <= 40 else self._text[:40] + "..."
            self._fail(
                f"{name}: {shown!r} is no number (decimal, 0x hexadecimal or 0 octal, no blanks)",
                place,
            )
        if match["hex"]:
            return int(match["hex"], 16)
        return int(match["octal"], 8) if match["octal"] else int(match["decimal"])


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
