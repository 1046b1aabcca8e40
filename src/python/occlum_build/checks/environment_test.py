from __future__ import annotations

import pytest

from occlum_build.checks.environment import environment_problems
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import ElfFacts
from occlum_build.image.testing import Files

ELF = ElfFacts("ET_DYN", "EM_X86_64", 64)
LIBC = "/opt/occlum/glibc/lib/libc.so.6"


def _found(files: Files, **env: str) -> list[tuple[str, str]]:
    texts = [f"{name}={value}" for name, value in env.items()]
    problems = environment_problems(root_of(files), texts)
    assert all(one.severity == "warning" and one.hint for one in problems)
    return [(one.code, one.message.partition(" names")[0]) for one in problems]


@pytest.mark.parametrize("variable", ["LANG", "LC_ALL", "LC_CTYPE"])
def test_a_locale_that_the_image_lacks(variable: str) -> None:
    env = {variable: "en_US.UTF-8"}
    told = [("runtime-locale", f"{variable}=en_US.UTF-8")]
    assert _found({LIBC: ELF}, **env) == told
    for found in ("en_US.utf8/LC_CTYPE", "en_US.UTF-8/LC_CTYPE", "locale-archive"):
        assert _found({LIBC: ELF, f"/usr/lib/locale/{found}": b""}, **env) == []
    assert _found({LIBC: ELF, "/usr/lib/locale/de_DE.utf8/LC_CTYPE": b""}, **env) == told
    assert _found({"/lib/ld-musl-x86_64.so.1": ELF}, **env) == []


def test_locales_that_need_no_file() -> None:
    assert _found({LIBC: ELF}, LANG="C", LC_TIME="POSIX", LC_NUMERIC="") == []
    assert _found({LIBC: ELF}, LANG="C.UTF-8") == [("runtime-locale", "LANG=C.UTF-8")]
    assert _found({LIBC: ELF}, LANG="de_DE", LC_ALL="C") == []  # LC_ALL alone counts
    assert _found({LIBC: ELF}, LANG="de_DE", LC_TIME="de_DE") == [("runtime-locale", "LANG=de_DE")]


def test_a_time_zone_that_the_image_lacks() -> None:
    told = [("runtime-timezone", "TZ=Europe/Berlin")]
    assert _found({LIBC: ELF}, TZ="Europe/Berlin") == told
    assert _found({LIBC: ELF}, TZ=":Europe/Berlin") == [("runtime-timezone", "TZ=:Europe/Berlin")]
    zones = "/opt/occlum/glibc/share/zoneinfo/Europe/Berlin"
    assert _found({LIBC: ELF, zones: b""}, TZ="Europe/Berlin") == []
    assert _found({LIBC: ELF, "/jre/lib/server/libjvm.so": ELF}, TZ="Europe/Berlin") == []
    assert _found({LIBC: ELF, "/etc/localtime": b""}, TZ=":/etc/localtime") == []
    for rule in ("", "UTC", "UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<+03>-3"):
        assert _found({LIBC: ELF}, TZ=rule) == []
