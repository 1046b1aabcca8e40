"""Text for people: what cannot be printed is shown as escapes, and of many names the first few."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence

MAX_LINE = 16 << 10  # characters of a message
MAX_WORD = 1 << 10  # of a name, path or value in one
_SHOWN_END = 1 << 10
_SHOWN_WORD_END = 1 << 8
_LONG_WORD = re.compile(rf"\S{{{MAX_WORD + 1},}}")

# These are compiled when they are used: few runs need them.
# Python's way to keep what is not UTF-8, and other halves of characters.
_SURROGATE = "[\ud800-\udfff]"
_QUOTED_BYTE = r"(?<!\\)((?:\\\\)*)\\udc([89a-f][0-9a-f])"

# What str.isprintable lets pass, though nothing of it is seen: fillers, variation selectors and
# other characters that renderers ignore.
_UNSEEN = (
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
    "\U0001bca0-\U0001bca3\U000e0100-\U000e01ef]"
)


def escaped(text: str | bytes) -> str:
    """The text on one line, with escapes for all that is not UTF-8, moves a cursor or is not seen.

    A backslash stays as it is, so that what has been escaped may be escaped again.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable() and (text.isascii() or not re.search(_UNSEEN, text)):
        return text
    return "".join(
        one if one.isprintable() and not re.match(_UNSEEN, one) else _escape(one) for one in text
    )


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) & 0xFF:02x}"  # the byte that it stands for
    return character.encode("unicode_escape").decode("ascii")


def in_utf8(name: str) -> str:
    """The name with escapes for what is not UTF-8, as `escaped` has them, and nothing else."""
    if name.isascii():
        return name
    return re.sub(_SURROGATE, lambda match: _escape(match[0]), name)


class Lines(str):
    """A text of several lines, each of which is escaped: only here do line breaks get into one.

    Whatever makes another text of it gives a plain str, which is shown on one line.
    """

    def __new__(cls, *lines: str) -> Lines:
        return super().__new__(cls, "\n".join(map(escaped, lines)))

    @property
    def lines(self) -> list[str]:
        return self.split("\n")

    def each(self, change: Callable[[str], str]) -> Lines:
        """The lines as a function changes them."""
        return Lines(*map(change, self.lines))


def shown(text: str) -> str:
    """A message as it is printed: on one line, but for Lines, and none longer than MAX_LINE."""
    if isinstance(text, Lines):
        return "\n".join(map(_cut, text.lines))
    return escaped(_cut(text))


def _cut(line: str) -> str:
    """A long line without its middle: what was wrong is often said at the end."""
    return _without_middle(line, MAX_LINE, _SHOWN_END)


def _without_middle(text: str, most: int, end: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most - end]} [{len(text) - most:,} more characters] {text[-end:]}"


def shorter(text: str) -> str:
    """A message in which no name, path or value without a blank is longer than MAX_WORD."""
    if len(text) <= MAX_WORD:
        return text
    return text.each(_shorter) if isinstance(text, Lines) else _shorter(text)


def _shorter(line: str) -> str:
    return _LONG_WORD.sub(lambda match: shorter_name(match[0]), line)


def shorter_name(name: str) -> str:
    """A name of others; the middle of one that is longer than MAX_WORD is left out."""
    return _without_middle(name, MAX_WORD, _SHOWN_WORD_END)


def output_of(content: bytes) -> Lines:
    """What a program printed, line by line."""
    return Lines(*content.decode("utf-8", "backslashreplace").expandtabs().split("\n"))


MOST_QUOTED = 200  # characters of a text that a message quotes


def quoted(text: str | bytes) -> str:
    """A text as a message quotes it; of a long one the beginning, and how long it is."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    said = with_bytes(repr(text[:MOST_QUOTED]))
    return said if len(text) <= MOST_QUOTED else f"{said}... ({len(text):,} characters)"


def with_bytes(text: str) -> str:
    """A text in which Python has quoted names, with what is not UTF-8 in them as `\\xff`."""
    return re.sub(_QUOTED_BYTE, r"\1\\x\2", text) if "\\udc" in text else text


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first names, as a sentence has them, and how many more there are where that is shorter.

    `a`, `a and b`, `a, b and c`, `a, b, c and d`, `a, b, c and 2 more`.
    """
    more = len(names) - shown
    return f"{', '.join(names[:shown])} and {more:,} more" if more > 1 else listed(names)


def shown_chain(names: Sequence[str], shown: int = 20) -> str:
    """What leads to what: `a -> b -> c`; of a long chain its begin and its end."""
    if len(names) > shown:
        left_out = len(names) - shown
        half = shown // 2
        names = [*names[:half], f"({left_out:,} more)", *names[-half:]]
    return " -> ".join(names)


def listed(names: Sequence[str]) -> str:
    """All names, as a sentence has them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def who(paths: Iterable[str]) -> str:
    """Files as one says them: the one, or how many and below which directory."""
    found = sorted(set(paths))
    if len(found) == 1:
        return found[0]
    is_absolute = {path.startswith("/") for path in found}
    common = posixpath.commonpath(found) if len(is_absolute) == 1 else ""
    if common in ("", "/"):
        return f"{len(found)} files, {found[0]} among them"
    return f"{len(found)} files below {common}"
