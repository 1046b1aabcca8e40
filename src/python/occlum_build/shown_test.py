from __future__ import annotations

import pytest

from occlum_build.shown import (
    MAX_LINE,
    MAX_WORD,
    Lines,
    escaped,
    in_utf8,
    output_of,
    quoted,
    shorter,
    shown,
    some,
    who,
    with_bytes,
)


@pytest.mark.parametrize(
    ("count", "shown", "said"),
    [
        (0, 3, ""),
        (1, 3, "0"),
        (2, 3, "0 and 1"),
        (3, 3, "0, 1 and 2"),
        (4, 3, "0, 1, 2 and 3"),
        (5, 3, "0, 1, 2 and 2 more"),
        (2, 1, "0 and 1"),
        (1_235, 1, "0 and 1,234 more"),
    ],
)
def test_some(count: int, shown: int, said: str) -> None:
    assert some([str(number) for number in range(count)], shown) == said


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["/a/b"], "/a/b"),
        (["/a/c", "/a/b", "/a/b"], "2 files below /a"),
        (["/a", "/b"], "2 files, /a among them"),
        (["ws/a", "/b"], "2 files, /b among them"),
        (["a", "b"], "2 files, a among them"),
    ],
)
def test_who(files: list[str], said: str) -> None:
    assert who(files) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain text, ä 文 😀", "plain text, ä 文 😀"),
        ("\x1b[31m\n\r\t\b\x7f\0", r"\x1b[31m\n\r\t\x08\x7f\x00"),
        ("\x80\x9b\x9f\x85", r"\x80\x9b\x9f\x85"),
        ("a\u202eb\u2066c\u2069d\u200e", r"a\u202eb\u2066c\u2069d\u200e"),
        ("\u200b\u200d\ufeff\u2060\u00ad", r"\u200b\u200d\ufeff\u2060\xad"),
        ("\u2028\u2029\u00a0\u3000", r"\u2028\u2029\xa0\u3000"),
        ("\u115f\u3164\ufe0f\U000e0100", r"\u115f\u3164\ufe0f\U000e0100"),
        ("\U000e0041\ue000\ufff9\uffff", r"\U000e0041\ue000\ufff9\uffff"),
        ("a\udcff\ud800", r"a\xff\ud800"),
        ("c:\\dir", "c:\\dir"),
        (b"\xc3\xbc\xff\x1b", "ü" + r"\xff\x1b"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str | bytes, said: str) -> None:
    assert escaped(text) == said
    assert escaped(said) == said
    said.encode("utf-8")


def test_every_character_is_printed_or_escaped() -> None:
    for number in range(0x110000):
        one = escaped(chr(number))
        assert one == chr(number) if one.isprintable() and len(one) == 1 else one.isascii()
        assert one.isprintable()


def test_line_breaks_come_of_lines_alone() -> None:
    lines = Lines("a\nb", "c\x1b")
    assert lines == "a\\nb\nc\\x1b"
    assert (shown(lines), shown("a\nb")) == (lines, "a\\nb")
    changed = lines.each(str.upper)
    assert shown(changed) == "A\\NB\nC\\X1B"
    for plain in (f"{lines}", lines.replace("c", "d"), lines + "", lines[:-1]):
        assert "\n" not in shown(plain)


def test_a_long_message_is_cut_in_the_middle() -> None:
    for text in ("x" * MAX_LINE, Lines("x" * MAX_LINE, "y")):
        assert shown(text) == text
    said = shown("a" * 5_000_000 + " is too long")
    assert len(said) < MAX_LINE + 100
    assert said.startswith("aaa") and said.endswith("a is too long")
    assert " [4,983,628 more characters] " in said
    assert [len(one) < MAX_LINE + 100 for one in shown(Lines("b" * 99_999, "c")).split("\n")] == [
        True,
        True,
    ]


def test_output_of_a_program() -> None:
    assert output_of(b"a\tb\xff\n\x1b[2Jc\n") == "a       b\\xff\n\\x1b[2Jc\n"


def test_what_is_not_utf8_is_shown_in_one_way_wherever_it_stands() -> None:
    name = "ä/\udcff\udc80"
    assert escaped(name) == escaped(name.encode("utf-8", "surrogateescape")) == r"ä/\xff\x80"
    assert in_utf8(name + "\x1b") == r"ä/\xff\x80" + "\x1b"
    assert quoted(name) == quoted(name.encode("utf-8", "surrogateescape")) == r"'ä/\xff\x80'"
    assert with_bytes(repr(name)) == quoted(name)
    # What only looks like it stays as it is.
    assert quoted(r"a\udcff") == repr(r"a\udcff") == r"'a\\udcff'"
    assert quoted("\\" + "\udcff") == r"'\\\xff'"


def test_names_paths_and_values_of_any_length_are_cut_in_the_middle() -> None:
    assert shorter("a " * 5_000) == "a " * 5_000
    assert shorter("x" * MAX_WORD + " is odd") == "x" * MAX_WORD + " is odd"
    for name in ("/" + "d/" * 2048, "lib" + "x" * 4093 + ".so"):
        told = shorter(f"{name} is odd")
        assert len(told) < MAX_WORD + 40 and told.endswith(f"{name[-256:]} is odd")
        assert told.startswith(name[:768]) and f"[{len(name) - MAX_WORD:,} more characters]" in told
    lines = Lines("a" * 5_000, "b")
    assert isinstance(shorter(lines), Lines) and shorter(lines).endswith("\nb")
