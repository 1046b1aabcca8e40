from __future__ import annotations

import io

import pytest

from occlum_build.files.compressed import BadArchive
from occlum_build.packages.ar import MAX_PARTS, Part, Slice, parts_of
from occlum_build.packages.testing_debs import ar_of


def test_members_in_their_order() -> None:
    data = ar_of([("odd", b"abc"), ("even", b"defg"), ("slash/", b""), ("last", b"x")])
    parts = parts_of(io.BytesIO(data))
    assert parts == [
        Part("odd", 68, 3),
        Part("even", 132, 4),
        Part("slash", 196, 0),
        Part("last", 256, 1),
    ]
    assert [data[part.offset : part.offset + part.size] for part in parts] == [
        b"abc",
        b"defg",
        b"",
        b"x",
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is no ar archive"),
        (b"!<thin>\n", "it is no ar archive"),
        (ar_of([("a", b"bcd")])[:-2], "it ends within a"),
        (ar_of([("a", b"bcd")])[:40], "it is damaged"),
        (ar_of([("a", b"")]).replace(b"`\n", b"``"), "it is damaged"),
        (ar_of([("a", b"")]).replace(b"0         `", b"-1        `"), "it is damaged"),
        (ar_of([("a", b"")]).replace(b"0         `", b"9999999999`"), "it ends within a"),
        (ar_of([("a", b"")]).replace(b"0         `", b"          `"), "it is damaged"),
        (ar_of([("a", b"")]).replace(b"a ", b"\xff "), "it is damaged"),
        (ar_of([("a", b"")] * (MAX_PARTS + 1)), "it has more than 64 members"),
    ],
)
def test_damaged(data: bytes, told: str) -> None:
    with pytest.raises(BadArchive) as error:
        parts_of(io.BytesIO(data))
    assert str(error.value) == told


def test_a_member_as_a_stream() -> None:
    stream = Slice(io.BytesIO(b"..abcdef.."), Part("a", 2, 6))
    assert (stream.read(2), stream.tell(), stream.read(100), stream.read(1)) == (
        b"ab",
        2,
        b"cdef",
        b"",
    )
    assert (stream.seek(-2, io.SEEK_END), stream.read()) == (4, b"ef")
    assert (stream.seek(100), stream.read(1)) == (100, b"")
    assert stream.seek(-5, io.SEEK_CUR) == 95
