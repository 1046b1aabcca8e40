from __future__ import annotations

from collections.abc import Mapping

from occlum_build.checks.runtime import runtime_problems
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import ElfFacts

ELF = ElfFacts("ET_DYN", "EM_X86_64", 64)
MODERN = ElfFacts("ET_DYN", "EM_X86_64", 64, version_defs=("GLIBC_2.2.5", "GLIBC_2.34"))
LIBC = "/opt/occlum/glibc/lib/libc.so.6"


def _warnings(files: Mapping[str, ElfFacts | str]) -> list[str]:
    """The messages for an image of path -> facts of an ELF file, or the text of another file."""
    contents: dict[str, ElfFacts | bytes | str | None] = {
        path: found.encode() if isinstance(found, str) else found for path, found in files.items()
    }
    problems = runtime_problems(root_of(contents))
    assert all(one.code == "dlopen" and one.hint for one in problems)
    return [one.message for one in problems]


def test_ordinary_images_have_no_warnings() -> None:
    redis: dict[str, ElfFacts | str] = {"/bin/redis-server": ELF, LIBC: MODERN}
    assert _warnings({**redis, "/lib/libssl.so.3": ELF, "/etc/redis.conf": "port 6379"}) == []
    assert _warnings({"/bin/hello": ELF, "/bin/bash": ELF, LIBC: ELF}) == []


def test_nss_modules_that_the_switch_names() -> None:
    text = "# db\npasswd: files systemd\nhosts: files mdns4 [NOTFOUND=return] dns # x\n"
    image: dict[str, ElfFacts | str] = {
        LIBC: MODERN,
        "/etc/nsswitch.conf": text,
        "/lib/libnss_systemd.so.2": ELF,
    }
    assert _warnings(image) == [
        "/etc/nsswitch.conf names mdns4, but the image has no libnss_mdns4.so.2"
    ]
    assert len(_warnings({**image, LIBC: ELF})) == 3  # dns and files are modules before 2.34
    assert _warnings({"/etc/nsswitch.conf": text}) == []  # no glibc, nobody reads it


def test_gconv_index_without_modules() -> None:
    image: dict[str, ElfFacts | str] = {"/usr/lib/gconv/gconv-modules": "", LIBC: MODERN}
    (message,) = _warnings(image)
    assert message.startswith("/usr/lib/gconv lists")
    assert _warnings({**image, "/usr/lib/gconv/UTF-16.so": ELF}) == []


def test_python_without_its_library() -> None:
    image: dict[str, ElfFacts | str] = {"/bin/python3.10": ELF, "/lib/libpython3.10.so.1.0": ELF}
    (message,) = _warnings(image)
    assert "standard library of Python 3.10" in message
    assert _warnings({**image, "/lib/python3.10/encodings/__init__.py": ""}) == []
    assert _warnings({**image, "/lib/python310.zip": ""}) == []
    assert len(_warnings({**image, "/lib/python3.9/encodings/__init__.py": ""})) == 1
    assert len(_warnings({"/bin/python3": ELF})) == 1
    assert _warnings({"/bin/python3": ELF, "/lib/python3.9/encodings/__init__.py": ""}) == []
    assert _warnings({"/bin/python3": "#!/bin/sh"}) == []


def test_openssl_modules_that_the_configuration_activates() -> None:
    text = """
openssl_conf = init
[init]
providers = provider_sect
[provider_sect]
default = default_sect
legacy = legacy_sect
fips = fips_sect
mine = mine_sect
[default_sect]
activate = 1
[legacy_sect]
activate = yes
[fips_sect]
# activate = 1
[mine_sect]
module = /opt/mine.so
activate = 1
[engine]
dynamic_path = /opt/engine.so
"""
    image: dict[str, ElfFacts | str] = {"/etc/ssl/openssl.cnf": text}
    assert len(_warnings(image)) == 3
    modules = {"/x/legacy.so": ELF, "/opt/mine.so": ELF, "/opt/engine.so": ELF}
    assert _warnings({**image, **modules}) == []


def test_java_machine_without_its_classes() -> None:
    image: dict[str, ElfFacts | str] = {"/usr/lib/jvm/j/lib/server/libjvm.so": ELF}
    assert len(_warnings(image)) == 1
    assert _warnings({**image, "/usr/lib/jvm/j/lib/modules": ""}) == []
    old: dict[str, ElfFacts | str] = {"/jre/lib/amd64/server/libjvm.so": ELF, "/jre/lib/rt.jar": ""}
    assert _warnings(old) == []
