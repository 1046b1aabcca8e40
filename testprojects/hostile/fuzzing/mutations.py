"""Mutations of JSON: other values, members lost or added, where bytes at random only break it."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_DEEP = 3000
_MANY_DIGITS = 5000
_OTHERS: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1 << 64,
        1.5,
        "",
        "x",
        "0644",
        "/",
        "/..",
        "/a//b",
        "\0",
        "\x1b[2J",
    ),
    *("\ud800", "é", "a\nb", [], {}, [None], {"": None}, "ab" * 32, "file", "dir", "symlink"),
)


def mutate_json(data: bytes, seed: int) -> bytes:
    """Change one JSON value in a document, or in a line or a column of it; `data` where none is."""
    rng = random.Random(seed)
    for separator in (b"", b"\n", b"\t"):
        parts = data.split(separator) if separator else [data]
        index = rng.randrange(len(parts))
        try:
            value = json.loads(parts[index])
        except (ValueError, RecursionError):
            continue
        parts[index] = _text(_changed(value, rng), rng)
        return separator.join(parts)
    return data


def _text(value: Any, rng: random.Random) -> bytes:
    separators = (",", ":") if rng.random() < 0.8 else (", ", ": ")
    text = json.dumps(value, separators=separators, sort_keys=rng.random() < 0.8)
    if rng.random() < 0.02:
        text = text.replace('""', rng.choice(["[" * _DEEP + "]" * _DEEP, "9" * _MANY_DIGITS]), 1)
    return text.encode()


def _changed(value: Any, rng: random.Random) -> Any:
    """A copy with a change somewhere in it."""
    holder = {"": copy.deepcopy(value)}
    places = list(_places(holder))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        container, key = rng.choice(places)
        if not _has(container, key):
            continue
        change = rng.randrange(5)
        if change == 0 and container is not holder:
            del container[key]
        elif change == 1 and isinstance(container, dict) and container is not holder:
            container[str(rng.choice(_OTHERS))] = container.pop(key)
        elif change == 2 and isinstance(container, list):
            container.insert(key, copy.deepcopy(rng.choice([container[key], *_OTHERS])))
        elif change == 3:
            other, name = rng.choice(places)
            container[key] = copy.deepcopy(other[name]) if _has(other, name) else None
        else:
            container[key] = copy.deepcopy(rng.choice(_OTHERS))
    return holder[""]


def _has(container: Any, key: Any) -> bool:
    return bool(key < len(container) if isinstance(container, list) else key in container)


def _places(holder: Any) -> list[tuple[Any, Any]]:
    """Each value in a document as the container that it is in, and its key or index there."""
    places, pending = [], [holder]
    while pending:
        container = pending.pop()
        keys = range(len(container)) if isinstance(container, list) else list(container)
        for key in keys:
            places.append((container, key))
            if isinstance(container[key], (dict, list)):
                pending.append(container[key])
    return places
