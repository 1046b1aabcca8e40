from __future__ import annotations

import os
import re
import subprocess

import pytest

from occlum_build.elf.ld_so_cache import ENTRY, HEADER, MAGIC, X86_64, read_cache
from occlum_build.elf.testing import ld_so_cache


@pytest.mark.parametrize("before", [b"", b"ld.so-1.7.0" + b"\0" * 21])
def test_paths_for_any_cpu_of_the_machine(before: bytes) -> None:
    data = ld_so_cache(
        (X86_64, 0, "libx.so.1", "/a/libx.so.1"),
        (X86_64, 1 << 62, "libx.so.1", "/a/glibc-hwcaps/x86-64-v3/libx.so.1"),
        (X86_64, 0, "libx.so.1", "/b/libx.so.1"),
        (0x3, 0, "liby.so", "/lib32/liby.so"),
        before=before,
    )
    assert read_cache(data) == {"libx.so.1": ("/a/libx.so.1", "/b/libx.so.1")}


@pytest.mark.parametrize("data", [b"", b"text", MAGIC, ld_so_cache((X86_64, 0, "a", "/a"))[:60]])
def test_what_is_no_cache_names_nothing(data: bytes) -> None:
    assert read_cache(data) == {}


@pytest.mark.skipif(not os.path.exists("/etc/ld.so.cache"), reason="the machine has no cache")
def test_the_cache_of_this_machine_is_as_ldconfig_lists_it() -> None:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    lines = re.findall(r"^\t(\S+) \(libc6,x86-64\) => (\S+)$", listed, re.M)
    with open("/etc/ld.so.cache", "rb") as file:
        found = read_cache(file.read())
    assert lines
    assert [(name, path) for name, paths in found.items() for path in paths] == lines


def test_a_cache_whose_entries_all_name_one_long_string_is_none() -> None:
    """Its names would have a megabyte for each kilobyte of it."""
    count, start = 5000, HEADER.size + 5000 * ENTRY.size
    table = ENTRY.pack(flags=X86_64, hwcap=0, key=start, value=start) * count
    header = MAGIC + HEADER.pack(nlibs=count)[len(MAGIC) :]
    assert read_cache(header + table + b"a" * 4000 + b"\0") == {}


def test_a_name_with_very_many_paths() -> None:
    data = ld_so_cache(*((X86_64, 0, "a", f"/{number}") for number in range(2000)))
    assert len(read_cache(data)["a"]) == 2000
