from __future__ import annotations

import pytest

from occlum_build.sgx.config.sizes import parse_size, size_hint


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("300MB", 300 << 20),
        ("  300  MB ", 300 << 20),
        ("\t\u3000300\x85MB\n", 300 << 20),
        ("+1KB", 1024),
        ("0TB", 0),
        ("007GB", 7 << 30),
        ("18446744073709551615B", 2**64 - 1),
        ("16777215TB", 16777215 << 40),
        ("0" * 100_000 + "1B", 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "B", "MB", "300", "300M", "300mb", "300MiB", "1.5GB", "0x10MB", "1_0MB", "-1MB"),
        *("+ 1MB", "+MB", "\u0663MB", "1 0MB", "1MBB", "1KMB", "\x1f1MB", "+-1B"),
        *("18446744073709551616B", "16777216TB", "9" * 100_000 + "B"),
    ],
)
def test_texts_that_are_no_size(text: str) -> None:
    assert parse_size(text) is None


@pytest.mark.parametrize("text", ["300mb", "300MiB", "300M", "300m", " 300Mb"])
def test_the_hint_names_what_was_meant(text: str) -> None:
    assert size_hint(text) == 'did you mean "300MB"?'


@pytest.mark.parametrize("text", ["300", "", "banana", "99999999999999999999B"])
def test_the_hint_without_a_guess(text: str) -> None:
    assert size_hint(text).startswith("a size is a whole number")
