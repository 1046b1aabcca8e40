"""Wildcards of rsync as tokens, and how a name is compared with them without trying it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Callable

# A token is the regular expression of one character, or one of these.
STAR, ANY = "*", "**"  # any characters but slashes; any characters
SLASH = "/"

_NO_SLASH = "[^/]"
_NAMED_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \t",
    "cntrl": "\0-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": " \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_NAMED_CLASS = re.compile(r"\[:([^\]]*):\]")


def tokens_of(body: str) -> tuple[str, ...] | None:
    """The tokens of rsync's wildmatch: `*` and `?` stop at a slash, `**` does not.

    None where no name can match.
    """
    out: list[str] = []
    position = 0
    while position < len(body):
        character = body[position]
        position += 1
        if character == "*":
            first = position
            while body.startswith("*", position):
                position += 1
            out.append(STAR if position == first else ANY)
        elif character == "?":
            out.append(_NO_SLASH)
        elif character == "[":
            group, position = _bracket_expression(body, position)
            if not group:
                return None
            out.append(group)
        elif character == "\\" and position < len(body):
            out.append(re.escape(body[position]))
            position += 1
        else:
            out.append(re.escape(character))
    return tuple(out)


def _bracket_expression(body: str, position: int) -> tuple[str, int]:
    """The regex of the bracket expression whose `[` is before `position`, and where it ends.

    It is "" for one that never matches: that is not closed, or has a class name that does not
    exist.
    """
    negated = body.startswith(("!", "^"), position)
    position += negated
    first = position
    parts: list[str] = []
    while position == first or not body.startswith("]", position):
        named = _NAMED_CLASS.match(body, position)
        if named:
            parts.append(_NAMED_CLASSES.get(named[1], ""))
            position = named.end()
            if not parts[-1]:
                return "", len(body)
            continue
        low, position = _member(body, position)
        high = low
        if body.startswith("-", position) and body[position + 1 : position + 2] not in ("", "]"):
            high, position = _member(body, position + 1)
        if not low or not high:
            return "", len(body)
        parts.append(f"{re.escape(low)}-{re.escape(max(low, high))}")
    if not parts:
        return (_NO_SLASH if negated else ""), position + 1
    return f"(?!/)[{'^' if negated else ''}{''.join(parts)}]", position + 1


def _member(body: str, position: int) -> tuple[str, int]:
    """One character of a bracket expression, "" at the end of the text, and where it ends."""
    if body.startswith("\\", position):
        position += 1
    return body[position : position + 1], position + 1


def has_simple_regex(tokens: Sequence[str], *, is_anchored: bool) -> bool:
    """Whether `regex_of` compares a name in a time linear in both."""
    if ANY not in tokens or tokens.index(ANY) == len(tokens) - 1:
        return True
    behind = tokens[tokens.index(ANY) + 1 :]
    return is_anchored and STAR not in behind and ANY not in behind


def regex_of(tokens: Sequence[str], group_names: Iterator[str]) -> str:
    """The regular expression of tokens with a simple one.

    Every star but the last takes as little as it can and is never asked for more, as what follows
    can begin anywhere behind it: `(?=(...))` followed by what it matched cannot be entered again.
    """
    out: list[str] = []
    held = ""
    is_held = False
    last = max((at for at, one in enumerate(tokens) if one in (STAR, ANY)), default=-1)
    for at, token in enumerate(tokens):
        if token in (STAR, ANY):
            out.append(_once(held, group_names) if is_held else held)
            held = "[^/]*?" if token == STAR else ".*"
            is_held = at != last
            if at == last:
                out.append("[^/]*" if token == STAR else ".*")
                held = ""
        else:
            held += token
    return "".join([*out, held])


def _once(regex: str, group_names: Iterator[str]) -> str:
    name = next(group_names)
    return f"(?=(?P<{name}>{regex}))(?P={name})"


def follow_all(patterns: Sequence[tuple[Sequence[str], bool]]) -> Callable[[str], bool]:
    """A test whether a name matches one of some (tokens, is anchored), in one pass over the name.

    A bit of a whole number stands for each place in a pattern that the name may have come to.
    """
    tokens: list[str] = []
    anchored = loose = ends = 0
    for pattern, is_anchored in patterns:
        start = 1 << len(tokens)
        anchored |= start
        loose |= 0 if is_anchored else start
        tokens += [*pattern, ""]  # where a name comes to that matches
        ends |= 1 << len(tokens) - 1
    literals = [_literals(pattern) for pattern, _ in patterns]
    any_bits, star_bits = _bits(tokens, ANY), _bits(tokens, STAR)
    singles: dict[str, int] = {}
    for at, token in enumerate(tokens):
        if token not in (ANY, STAR, ""):
            singles[token] = singles.get(token, 0) | 1 << at
    compiled = [(re.compile(token, re.DOTALL), bits) for token, bits in singles.items()]
    steps: dict[str, tuple[int, int, int]] = {}

    def step_of(character: str) -> tuple[int, int, int]:
        """Places that move on by a character, that stay, and that are entered behind it."""
        moves = sum(bits for regex, bits in compiled if regex.match(character))
        is_slash = character == SLASH
        return moves, any_bits | (0 if is_slash else star_bits), loose if is_slash else 0

    def matches(name: str) -> bool:
        for texts in literals:
            if all(text in name for text in texts):
                break
        else:  # as it is for most names
            return False
        here = anchored
        for character in name:
            here |= (here & (any_bits | star_bits)) << 1
            step = steps.get(character)
            if step is None:
                step = steps[character] = step_of(character)
            moves, stays, enters = step
            here = (here & moves) << 1 | here & stays | enters
        here |= (here & (any_bits | star_bits)) << 1
        return bool(here & ends)

    return matches


def _literals(tokens: Sequence[str]) -> tuple[str, ...]:
    """Texts that every name has which the tokens match."""
    pieces = [""]
    for token in tokens:
        if token in (STAR, ANY) or len(token.lstrip("\\")) > 1:
            pieces.append("")
        else:
            pieces[-1] += token[1:] or token
    return tuple(dict.fromkeys(filter(None, pieces)))


def _bits(tokens: Sequence[str], wanted: str) -> int:
    return sum(1 << at for at, token in enumerate(tokens) if token == wanted)
