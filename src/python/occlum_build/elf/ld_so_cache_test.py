from __future__ import annotations

import os
import re
import subprocess

import pytest

from occlum_build.elf.ld_so_cache import MAGIC, X86_64, read_cache
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
