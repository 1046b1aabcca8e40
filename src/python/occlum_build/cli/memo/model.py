"""The memo of a run of `copy-bom`: what it looked at, what it told and what it left, by stat alone.

It lies in the user's cache and holds paths and stat data, no content. Whatever is wrong with it,
such as a damage, another version or another owner, makes it absent. Nothing is imported here that
is not built in: to import the library takes longer than most runs without a change.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself takes its time
    from collections.abc import Iterable, Sequence

_MAGIC = b"occlum-build copy-bom 1\n"  # with the layout's version; its length is a multiple of 8
_DIGEST_BYTES = 32
FIELDS = 6  # of `stat_fields`
ENTRY_FIELDS = 3  # of Memo.entry_numbers


class Memo:
    """What is known of a run. Paths are those of this machine, but for `entries` in the image.

    `files` were looked at, or are directories that were listed: their stat data are in
    `file_numbers`. Of `others` only the type and the permissions counted, `absent` were not there.
    `entries` has for each entry of the plan its path and target, `entry_numbers` its kind and mode
    as stat has them, size, and the place of its source in `files`, -1 for none. All that the run
    left in the image are the entries and `more`, in their order with `left_numbers`, which are
    none where that is not surely known. `of_own` says that the run over what it left would plan the
    same, `of_none` that it planned so where there was no image.
    """

    def __init__(self) -> None:
        self.root = ""
        self.told = ""
        self.of_own = False
        self.of_none = False
        self.variables: list[str] = []
        self.values = ""  # of the variables, hashed
        self.files: list[str] = []
        self.file_numbers: list[int] = []
        self.others: list[str] = []
        self.other_modes: list[int] = []
        self.absent: list[str] = []
        self.entries: list[tuple[str, str]] = []
        self.entry_numbers: list[int] = []
        self.more: list[str] = []
        self.left_numbers: list[int] = []


def hashed(data: bytes) -> str:
    """A hash in hex, _DIGEST_BYTES of it."""
    try:
        from _blake2 import blake2b  # what hashlib has, without OpenSSL, which takes its time
    except ImportError:
        from hashlib import blake2b
    return str(blake2b(data, digest_size=_DIGEST_BYTES // 2).hexdigest())


def hashed_texts(texts: Iterable[str]) -> str:
    """One hash of texts in their order."""
    return hashed(b"".join(b"%d:%s" % (len(one), one) for one in map(_encoded, texts)))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def encode(memo: Memo) -> bytes:
    """The bytes of the memo's file; raises OverflowError for numbers that it has no place for."""
    from array import array

    texts = [memo.root, memo.told, memo.values, *memo.variables, *memo.files, *memo.others]
    texts += memo.absent
    for entry in memo.entries:
        texts += entry
    texts += memo.more
    numbers = [len(one) for one in _lists(memo)]
    numbers += [memo.of_own, memo.of_none]
    numbers += memo.file_numbers + memo.other_modes + memo.entry_numbers + memo.left_numbers
    packed = array("q", [len(numbers), *numbers]).tobytes()
    body = packed + b"\0".join(map(_encoded, texts))
    return _MAGIC + hashed(body).encode() + body


def _lists(memo: Memo) -> tuple[Sequence[object], ...]:
    return memo.variables, memo.files, memo.others, memo.absent, memo.entries, memo.more


def decode(data: bytes) -> Memo | None:
    """The inverse of `encode`; None for what is no memo of this version, or damaged."""
    head = len(_MAGIC) + _DIGEST_BYTES
    body = data[head:]
    if data[:head] != _MAGIC + hashed(body).encode():
        return None
    count = int.from_bytes(body[:8], sys.byteorder)
    numbers: list[int] = memoryview(body)[8 : 8 * (count + 1)].cast("q").tolist()
    texts = body[8 * (count + 1) :].decode("utf-8", "surrogateescape").split("\0")
    memo = Memo()
    lengths = numbers[:6]
    memo.of_own, memo.of_none = map(bool, numbers[6:8])
    memo.root, memo.told, memo.values = texts[:3]
    at = 3
    parts = []
    for length, width in zip(lengths, (1, 1, 1, 1, 2, 1)):
        parts.append(texts[at : at + length * width])
        at += length * width
    end = at
    memo.variables, memo.files, memo.others, memo.absent, entries, memo.more = parts
    memo.entries = list(zip(entries[::2], entries[1::2]))
    at = 8
    columns = []
    for length in (FIELDS * lengths[1], lengths[2], ENTRY_FIELDS * lengths[4]):
        columns.append(numbers[at : at + length])
        at += length
    memo.file_numbers, memo.other_modes, memo.entry_numbers = columns
    memo.left_numbers = numbers[at:]
    left = FIELDS * (len(memo.entries) + len(memo.more))
    if end != len(texts) or len(memo.left_numbers) not in (0, left):
        return None  # an unreleased version of this module had another layout
    return memo
