"""Splits a shell script into statements of words (POSIX.1-2017, XCU 2.3), without running it."""

from __future__ import annotations

import re
from typing import NamedTuple

# Kinds of a piece of a word: text as it stands, a parameter (in double quotes or not), and what
# only a run would tell.
TEXT, PARAMETER, QUOTED, OPAQUE = "text", "parameter", "quoted parameter", "opaque"
_PLAIN = re.compile(r"[^\s'\"\\$`;&|()<>#*?\[]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@]")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*|[0-9@])(:?-)?\}")
_DEFINES = re.compile(r"\(\s*\)")
# What stands before the first word of a command.
_BEFORE = frozenset(["if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"])


class Piece(NamedTuple):
    """A part of a word, of one of the kinds above; `text` is a parameter's name.

    Of a command substitution, which is opaque, it is the script in `$(...)`.
    """

    kind: str
    text: str = ""


Word = tuple[Piece, ...]
_FUNCTION: Word = (Piece(TEXT, "function"),)


class Statement(NamedTuple):
    """A simple command with the reserved words before it, or the name of a function that begins.

    `targets` are where its redirections lead, `sources` where they come from; `line` is the one
    that it begins in, from 1. `subshell` is "(" or ")" where one begins or ends, all else empty.
    """

    words: tuple[Word, ...]
    defines: str = ""
    targets: tuple[Word, ...] = ()
    line: int = 0
    subshell: str = ""
    sources: tuple[Word, ...] = ()


def statements_of(script: str) -> list[Statement]:
    """The statements in their order. What cannot be read is opaque, and there is no error."""
    return _Scanner(script).statements()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: list[Statement] = []
        self._words: list[Word] = []
        self._pieces: list[Piece] = []
        self._redirected: list[Word] | None = None  # takes the next word
        self._targets: list[Word] = []
        self._sources: list[Word] = []
        self._line, self._line_at = 1, 0  # a place whose line is known
        self._begun = 0  # the line of the statement
        self._here: list[str] = []  # ends of here-documents that begin on the next line
        self._open: list[str] = []  # "(" and "case", as patterns of the latter end with ")"
        self._cases = 0  # that are open

    def statements(self) -> list[Statement]:
        while self._at < len(self._text):
            self._step()
        self._end_statement()
        return self._found

    def _step(self) -> None:
        character = self._text[self._at]
        if character in " \t\r\f\v":
            self._end_word()
            self._at += 1
        elif character == "#" and not self._pieces:
            self._at = self._find("\n", self._at)
        elif character == "(" and self._begins_function():
            pass
        elif character in "\n;&|()":
            self._end_statement()
            self._at += 1
            if character == "\n":
                self._pass_here_documents()
            elif character in "()":
                self._bracket(character)
        elif character in "<>":
            self._redirect()
        elif character == "{" and not self._pieces and self._words:
            self._define_by_keyword()
            self._piece(character)
        else:
            self._piece(character)

    def _piece(self, character: str) -> None:
        text = self._text
        if not self._words and not self._pieces:
            self._line += text.count("\n", self._line_at, self._at)
            self._begun, self._line_at = self._line, self._at
        if character == "\\":
            if text[self._at + 1 : self._at + 2] != "\n":
                self._pieces.append(Piece(TEXT, text[self._at + 1 : self._at + 2]))
            self._at += 2
        elif character == "'":
            end = self._find("'", self._at + 1)
            self._pieces.append(Piece(TEXT, text[self._at + 1 : end]))
            self._at = end + 1
        elif character == '"':
            self._double_quoted()
        elif character in "$`":
            self._expansion(PARAMETER)
        elif character in "*?[" and text[self._at : self._at + 2] not in ("[ ", "[\t"):
            self._pieces.append(Piece(OPAQUE))  # names of files
            self._at += 1
        else:
            plain = _PLAIN.match(text, self._at)
            end = plain.end() if plain else self._at + 1
            self._pieces.append(Piece(TEXT, text[self._at : end]))
            self._at = end

    def _double_quoted(self) -> None:
        self._at += 1
        self._pieces.append(Piece(TEXT))  # a word, also where it is empty
        text = self._text
        while self._at < len(text) and text[self._at] != '"':
            if text[self._at] in "$`":
                self._expansion(QUOTED)
                continue
            end = self._at
            while end < len(text) and text[end] not in '"$`\\':
                end += 1
            taken = text[self._at : end]
            if text[end : end + 1] == "\\":
                escaped = text[end + 1 : end + 2]
                taken += (
                    escaped if escaped in '"$`\\' else "" if escaped == "\n" else "\\" + escaped
                )
                end += 2
            self._pieces.append(Piece(TEXT, taken))
            self._at = end
        self._at += 1

    def _expansion(self, kind: str) -> None:
        text, start = self._text, self._at
        braced = _BRACED.match(text, start + 1)
        name = _NAME.match(text, start + 1)
        if text[start] == "`":
            self._at = self._find("`", start + 1) + 1
            self._pieces.append(Piece(OPAQUE))
        elif braced:
            self._at = braced.end()
            self._pieces.append(Piece(kind, braced[1]))
        elif name:
            self._at = name.end()
            self._pieces.append(Piece(kind, name[0]))
        elif text[start + 1 : start + 2] in ("(", "{"):
            self._at = self._end_of_group(start + 1)
            is_script = text.startswith("(", start + 1)
            self._pieces.append(Piece(OPAQUE, text[start + 2 : self._at - 1] if is_script else ""))
        else:
            self._at += 2
            self._pieces.append(Piece(OPAQUE))  # $?, $#, and the like

    def _end_of_group(self, start: int) -> int:
        """Behind the bracket that closes the one at `start`, quotes in it passed over."""
        text, at, depth = self._text, start, 0
        while at < len(text):
            character = text[at]
            if character == "\\":
                at += 1
            elif character == "'":
                at = self._find("'", at + 1)
            elif character in "({":
                depth += 1
            elif character in ")}":
                depth -= 1
                if not depth:
                    return at + 1
            at += 1
        return len(text)

    def _redirect(self) -> None:
        text = self._text
        first = self._pieces[0] if len(self._pieces) == 1 else Piece(OPAQUE)
        if first.kind == TEXT and first.text.isdigit():
            self._pieces = []  # the number of what is redirected
        self._end_word()
        start = self._at
        while text[self._at : self._at + 1] in ("<", ">"):
            self._at += 1
        operator = text[start : self._at]
        if operator == "<<":
            self._begin_here_document()
            return
        while text[self._at : self._at + 1] in ("&", "|"):
            self._at += 1
        is_written = ">" in operator
        self._redirected = self._targets if is_written else self._sources
        if operator == "<<<":
            self._redirected = []

    def _begin_here_document(self) -> None:
        found = re.compile(r"-?[ \t]*([^\s;&|<>()]+)").match(self._text, self._at)
        if found:
            self._at = found.end()
            self._here.append(found[1].strip("'\"\\"))

    def _pass_here_documents(self) -> None:
        for end in self._here:
            closing = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE)
            found = closing.search(self._text, self._at)
            self._at = found.end() if found else len(self._text)
        self._here = []

    def _bracket(self, character: str) -> None:
        """A subshell begins or ends, or a pattern of `case` ends."""
        if character == "(":
            self._open.append(character)
        elif self._open[-1:] == ["("]:
            self._open.pop()
        else:
            return
        self._found.append(Statement((), subshell=character))

    def _count_case(self) -> None:
        """Note that the statement begins a `case`, or ends one."""
        plain = (word[0].text if word[0].kind == TEXT else "" for word in self._words)
        first = next((word for word in plain if word not in _BEFORE), "")
        if first == "case":
            self._open.append(first)
            self._cases += 1
        elif first == "esac" and self._cases:
            self._cases -= 1
            while self._open.pop() != "case":
                self._found.append(Statement((), subshell=")"))

    def _begins_function(self) -> bool:
        match = _DEFINES.match(self._text, self._at)
        has_keyword = bool(self._words) and self._words[0] == _FUNCTION
        if not match or (self._words and self._pieces and not has_keyword):
            return False
        self._end_word()
        if has_keyword:
            self._words = self._words[1:]
        if not self._define():
            return False
        self._at = match.end()
        return True

    def _define(self) -> bool:
        """Make the one word that there is a function, which begins."""
        if len(self._words) != 1 or any(piece.kind != TEXT for piece in self._words[0]):
            return False
        name = "".join(piece.text for piece in self._words[0])
        self._words = []
        self._found.append(Statement((), name))
        return True

    def _define_by_keyword(self) -> None:
        """Of bash: `function name {`."""
        if len(self._words) == 2 and self._words[0] == _FUNCTION:
            self._words = self._words[1:]
            self._define()

    def _end_word(self) -> None:
        if self._pieces:
            into = self._words if self._redirected is None else self._redirected
            into.append(tuple(self._pieces))
            self._redirected = None
        self._pieces = []

    def _end_statement(self) -> None:
        self._end_word()
        self._redirected = None
        self._define_by_keyword()
        if self._words:
            self._count_case()
            words, targets, sources = map(tuple, (self._words, self._targets, self._sources))
            self._found.append(Statement(words, "", targets, self._begun, "", sources))
        self._words, self._targets, self._sources = [], [], []

    def _find(self, text: str, start: int) -> int:
        """Where it stands next, or the end."""
        at = self._text.find(text, start)
        return len(self._text) if at < 0 else at
