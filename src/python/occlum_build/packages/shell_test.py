from __future__ import annotations

import contextlib
import random

import pytest

from occlum_build.packages.shell import (
    MAX_SCRIPT_BYTES,
    Command,
    Follower,
    commands_of,
    follow,
)
from occlum_build.packages.shell_values import TooLong, Values


def _run(script: str, **variables: str) -> list[str]:
    return [str(command) for command in commands_of(script, variables)]


@pytest.mark.parametrize(
    ("script", "due"),
    [
        ("a b  c\\\n d # e\n", ["a b c d"]),
        ("a 'b  $c' \"d `e`\" \"f\\\"g\" h\\ i", ["a b  $c ... f\"g h i"]),
        ("x=1 y='2  3'\na $x \"$y\" $y ${x}b ${y:-}", ["a 1 2  3 2 3 1b 2 3"]),
        ("a $(b c) `d` ${e%f} $? $! *.x", ["a ... ... ... ... ... ..."]),
        ("for i in a 'b c' $none; do\n x $i\ndone; y", ["x a", "x b c", "y"]),
        ("for i in $none; do x; for j in a; do z; done; done\ny", ["y"]),
        ("for i in a b; do for j in 1 2; do x $i$j; done; done", ["x a1", "x a2", "x b1", "x b2"]),
        ("for i in a; do while read x; do y $x; done; done; z", ["y ...", "z"]),
        ("for i; do x $i; done", ["x ..."]),
        ("f() { a $1; }\ng () {\n b \"$2\"\n}\nf 1; g 2 '3 4'", ["a 1", "b 3 4"]),
        ("f() { a || { b; c; }; d; }\nf; e", ["a", "b", "c", "d", "e"]),
        ("f() { a; f; }\nf", ["a", "f"]),
        ("function f() { a $1; }\nfunction g {\nb $1; }\nfunction h\n{\n c $1\n}\n"
         "function i ()\n{ d; }\nf 1; g 2; h 3; i", ["a 1", "b 2", "c 3", "d"]),
        ("function", ["function"]),
        ("f() { shift; a \"$@\"; }\nf 1 2 '3 4'", ["a 2 3 4"]),
        ("never() { a; }", []),
        ("if [ \"$1\" = configure ]; then a; elif b; then c; else d; fi",
         ["[ configure = configure ]", "a", "b", "c", "d"]),
        ("case \"$1\" in\n (configure|x) a ;;\n *) b ;;\nesac",
         ["configure", "x", "a", "...", "b"]),
        ("a > /dev/null 2>&1 <b >>c d", ["a d"]),
        ("cat <<EOF\nb 'c\nEOF\nd", ["cat", "d"]),
        ("cat <<-'EOF' > x\n\tb\n\tEOF\nd", ["cat", "d"]),
        ("X=1 env a; export Y=2 Z; local W; b $Y", ["env a", "b 2"]),
        ("a=1; unset a; b \"$a\" $a", ["b "]),
        # Only sometimes, and it cannot be told: a program for another architecture, say.
        ("p=10\nif x; then p=$(expr $p - 1); fi\na $p", ["x", "a 10"]),
        ("p=$(x)\na $p", ["a ..."]),
        # One or the other.
        ("if x; then p=1; else p=2; fi\na $p", ["x", "a ..."]),
        ("if x; then for i in 1 2; do p=$i; a $p; done; fi", ["x", "a 1", "a 2"]),
    ],
)  # fmt: skip
def test_commands(script: str, due: list[str]) -> None:
    assert _run(script) == due


def test_variables_that_are_given() -> None:
    assert _run("$A/x ${A}y $B", A="/r") == ["/r/x /ry"]


def test_name_of_a_command() -> None:
    names = [one.name for one in commands_of("/usr/bin/a b; c; $(d)", {})]
    assert names == ["a", "c", ""]


@pytest.mark.parametrize(
    "script",
    [
        " " * (MAX_SCRIPT_BYTES + 1),
        "".join(f"for i{n} in 1 2 3 4 5 6 7 8 9 0; do " for n in range(9)) + "x" + "; done" * 9,
        "x=aaaaaaaa\n" + "x=$x$x\n" * 60,
        "for i in 1; do " * 50,
        "x='" + "y " * 1000 + "'\n" + "a $x\n" * 5000,
    ],
)
def test_scripts_that_are_too_long(script: str) -> None:
    with pytest.raises(TooLong):
        commands_of(script, {})


class _Subshells(Follower):
    def __init__(self) -> None:
        self.found: list[str] = []

    def command(self, command: Command) -> None:
        self.found.append(str(command))

    def subshell(self, begins: bool) -> None:
        self.found.append("(" if begins else ")")


@pytest.mark.parametrize(
    ("script", "due"),
    [
        ("(a; b) && c", ["(", "a", "b", ")", "c"]),
        ("case x in\n 1) a;;\nesac; (b)", ["1", "a", "(", "b", ")"]),
        ("(case x in 1) a;; 2) b;; esac; c); d", ["(", "a", "2", "b", "c", ")", "d"]),
        ("if x; then case y in *) (a);; esac; fi; b", ["x", "(", "a", ")", "b"]),
        ("f() { (a); }\nf; f", ["(", "a", ")", "(", "a", ")"]),
        ("a) b; esac; c", ["a", "b", "c"]),
    ],
)
def test_subshells(script: str, due: list[str]) -> None:
    found = _Subshells()
    follow(script, Values({}), found)
    assert found.found == due


def test_whatever_the_text_is() -> None:
    rng = random.Random(7)
    parts = [
        *"\"'`$(){};&|<>\\\n# =*@1",
        "if ",
        "fi ",
        "for i in a ",
        "do ",
        "done ",
        "f() ",
        "x=",
        "<<E ",
    ]
    for _ in range(5000):
        commands_of("".join(rng.choice(parts) for _ in range(rng.randrange(60))), {})


@pytest.mark.parametrize(
    "piece",
    [
        "{ ",
        "a=1 ",
        "\\a",
        "$x",
        "if ",
        "x() {\n",
        "<<a ",
        "'",
        "$(",
        "while ",
        "a ",
        "\n",
        "(",
        "case\n(\n",
        "esac\n(\n",
    ],
)
def test_scripts_of_one_piece(piece: str) -> None:
    """As long as a script may be: no time that grows with the square."""
    with contextlib.suppress(TooLong):
        commands_of(piece * (MAX_SCRIPT_BYTES // len(piece)), {})
