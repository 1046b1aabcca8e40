from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.checks.runtime import runtime_problems
from occlum_build.checks.testing import ORIGIN, root_of
from occlum_build.elf.facts import ElfFacts
from occlum_build.errors import NOTE, WARNING, Problem
from occlum_build.image.testing import Files, program

ELF = ElfFacts("ET_DYN", "EM_X86_64", 64)
MODERN = replace(ELF, version_defs=("GLIBC_2.2.5", "GLIBC_2.34"))
LIBC = "/opt/occlum/glibc/lib/libc.so.6"


def _problems(files: Files) -> list[Problem]:
    return runtime_problems(root_of(files))


def _messages(files: Files) -> list[str]:
    return [one.message for one in _problems(files)]


def test_ordinary_images_have_no_warnings() -> None:
    redis: Files = {"/bin/redis-server": ELF, LIBC: MODERN}
    assert _messages({**redis, "/lib/libssl.so.3": ELF, "/etc/redis.conf": b"port 6379"}) == []
    busybox: Files = {"/bin/busybox": ELF, "/bin/vi": "-> busybox", "/bin/wget": "-> busybox"}
    assert _messages({"/bin/hello": ELF, "/bin/bash": ELF, LIBC: ELF, **busybox}) == []


def test_what_a_problem_tells() -> None:
    (problem,) = _problems({"/opt/[x-a]{y}/python3.10": ELF, "/lib/libpython3.10.so.1.0": ELF})
    assert (problem.code, problem.severity) == ("runtime-python", WARNING)
    assert problem.place == ORIGIN.place
    assert problem.message == (
        "/lib/libpython3.10.so.1.0 and /opt/[x-a]{y}/python3.10 need the standard library of "
        "Python 3.10 (encodings), its package collections, its package json and its compiled "
        "modules (lib-dynload), which the image does not have"
    )
    assert problem.hint == "copy lib/python3.10, with its lib-dynload"


def test_a_directory_whose_name_has_wildcards() -> None:
    home = "/opt/[z-a]*/jre"
    (problem,) = _problems({f"{home}/lib/server/libjvm.so": ELF, f"{home}/lib/modules": b""})
    assert "needs libjava.so" in problem.message


def test_versions_of_python() -> None:
    def python(version: str) -> Files:
        library = f"/opt/lib/python{version}"
        names = ("encodings/__init__.pyc", "collections/__init__.py", "json/__init__.py")
        return {f"{library}/{one}": b"" for one in (*names, "lib-dynload/math.so")}

    assert _messages({"/bin/python3.10": ELF, **python("3.10")}) == []
    assert len(_messages({"/bin/python3.10": ELF, **python("3.9")})) == 1
    assert len(_messages({"/bin/python3.1": ELF, **python("3.11")})) == 1
    assert len(_messages({"/bin/python3": ELF})) == 1
    assert _messages({"/bin/python3": ELF, **python("3.9")}) == []
    assert _messages({"/bin/python3.13t": ELF, **python("3.13t")}) == []
    assert _messages({"/lib/libpython3.7m.so.1.0": ELF, **python("3.7")}) == []
    assert _messages({"/bin/python2.7": ELF, "/bin/python3-config": b"#!/bin/sh"}) == []


def test_name_services() -> None:
    text = b"# db\npasswd: files systemd\nhosts: files mdns4 [NOTFOUND=return] dns # x\n"
    image: Files = {LIBC: MODERN, "/etc/nsswitch.conf": text}
    assert _messages(image) == [
        "/etc/nsswitch.conf names mdns4, but the image has no libnss_mdns4.so.2"
    ]
    assert len(_messages({**image, LIBC: ELF})) == 4  # dns and files are modules before 2.34
    assert _messages({"/etc/nsswitch.conf": text}) == []  # no glibc, nobody reads it


def test_name_services_that_every_distribution_names() -> None:
    """glibc passes over those that are absent, unless nothing else is left."""
    debian = b"passwd: files systemd\nhosts: files dns\nprotocols: db files\nnetgroup: nis\n"
    image: Files = {LIBC: MODERN, "/lib/libc.so.6": MODERN, "/etc/nsswitch.conf": debian}
    assert _messages(image) == []
    assert len(_messages({**image, "/etc/nsswitch.conf": b"hosts: resolve [!UNAVAIL=return]"})) == 1


def test_openssl_modules_that_the_configuration_activates() -> None:
    text = b"""
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
    image: Files = {"/etc/ssl/openssl.cnf": text}
    assert len(_messages(image)) == 3
    modules: Files = {"/x/legacy.so": ELF, "/opt/mine.so": ELF, "/opt/engine.so": ELF}
    assert _messages({**image, **modules}) == []


def test_a_runtimeconfig_that_no_parser_takes() -> None:
    image: Files = {"/lib/libSystem.Globalization.Native.so": ELF}
    for text in (b"[" * 100_000, b"\xff", b"[]", b'{"runtimeOptions": 1}'):
        assert len(_messages({**image, "/a.runtimeconfig.json": text})) == 1
    invariant = b'{"configProperties": {"System.Globalization.Invariant": true}}'
    right = b'{"runtimeOptions": ' + invariant + b"}"
    assert _messages({**image, "/a.runtimeconfig.json": right}) == []


def test_java_8() -> None:
    names = ("java", "zip", "net", "nio")
    libraries = {f"/jdk/jre/lib/amd64/lib{one}.so": ELF for one in names}
    java: Files = {
        "/jdk/jre/bin/java": program("libjli.so"),
        "/jdk/jre/lib/amd64/server/libjvm.so": ELF,
        "/jdk/jre/lib/amd64/jvm.cfg": b"-server KNOWN",
        "/jdk/jre/lib/rt.jar": b"",
        "/jdk/jre/lib/security/java.security": b"",
        "/jdk/jre/lib/security/cacerts": b"",
        **libraries,
    }
    assert _messages(java) == []
    assert len(_messages({**java, "/jdk/jre/lib/security/cacerts": "-> /none"})) == 1


def test_many_that_a_configuration_names_are_one_line() -> None:
    names = b"".join(b"extension=e%d\n" % number for number in range(9))
    (message,) = _messages({"/bin/php8.2": ELF, "/etc/php.ini": names, "/etc/php.d/x.ini": names})
    assert message == (
        "/etc/php.ini names e0.so, e1.so, e2.so and 6 more, which the image does not have"
    )


def test_names_stand_on_one_line_of_a_configuration() -> None:
    image: Files = {"/bin/php8.2": ELF, "/etc/php.ini": b"extension=\n  extension = foo ; x\n"}
    assert _messages(image) == ["/etc/php.ini names foo.so, which the image does not have"]
    mysql: Files = {"/bin/mysqld": ELF, "/etc/my.cnf": b"plugin-load-add = 'a;b=c.so ; '\n"}
    assert _messages(mysql) == ["/etc/my.cnf names a.so and c.so, which the image does not have"]


@pytest.mark.parametrize(
    ("program", "config", "start", "repeated", "end"),
    [
        ("nginx", "/etc/nginx/nginx.conf", b"", b"# a comment\n", b""),
        ("nginx", "/etc/nginx/nginx.conf", b"", b"\n", b""),
        ("mysqld", "/etc/my.cnf", b"plugin-load = ", b" ", b"'\"x"),
        ("app", "/etc/ssl/openssl.cnf", b"a = x", b" ", b"y"),
    ],
    ids=["comments", "empty lines", "blanks before a value", "blanks in a value"],
)
def test_long_configurations(
    program: str, config: str, start: bytes, repeated: bytes, end: bytes
) -> None:
    short, long = (
        _messages({f"/bin/{program}": ELF, config: start + repeated * times + end})
        for times in (2, 100_000)
    )
    assert long == short


def test_many_programs_and_many_files() -> None:
    venvs: Files = {f"/venv/{number}/bin/python3.{number}": ELF for number in range(300)}
    packages: Files = {f"/opt/{number}/__init__.py": b"" for number in range(10_000)}
    pids = b"".join(b"pid /var/run/%d/pid;\n" % number for number in range(3_000))
    nginx: Files = {"/bin/nginx": ELF, "/etc/nginx/nginx.conf": pids, "/var/run/x": b""}
    root = root_of({**venvs, **packages, **nginx})
    codes = {one.code for one in runtime_problems(root)}
    assert codes == {"runtime-python", "runtime-nginx"}


def test_pam_of_a_service_that_no_program_is_named_after() -> None:
    image: Files = {"/lib/libpam.so.0": ELF, "/etc/pam.d/mine": b"auth required /opt/pam_x.so"}
    assert _messages(image) == [
        "/etc/pam.d/mine names /opt/pam_x.so, which the image does not have"
    ]
    assert _messages({**image, "/etc/pam.d/other": b""}) == []  # all of /etc, for nobody here


def test_programs_of_a_directory_that_was_copied_whole_are_one_note() -> None:
    many: Files = {f"/usr/bin/{number}": ELF for number in range(200)}
    (note,) = _problems({**many, "/usr/bin/perl": ELF, "/usr/bin/ruby3.1": ELF})
    assert (note.code, note.severity) == ("runtime", NOTE)
    assert note.message == (
        "/usr/bin/perl and /usr/bin/ruby3.1 came with many other programs, and what they open at "
        "run time is not in the image (Perl and Ruby)"
    )
    assert len(_problems({**many, "/opt/perl": ELF, "/opt/ruby": ELF})) == 2
    assert _problems({**many, "/usr/bin/perl": ELF, "/zz/perl": ELF})[0].code == "runtime-perl"
    switch: Files = {"/etc/php.ini": b"extension=a"}
    assert [one.code for one in _problems({**many, "/usr/bin/php": ELF, **switch})] == ["runtime"]
    (warning,) = _problems({**many, "/opt/php": ELF, **switch})
    assert warning.code == "runtime-php"


def test_fonts_of_java_are_a_note() -> None:
    (note,) = _problems({"/jre/lib/libfontmanager.so": ELF})
    assert (note.code, note.severity) == ("runtime-fonts", NOTE)


def test_an_empty_directory_may_be_a_mount() -> None:
    nginx: Files = {"/bin/nginx": ELF, "/etc/nginx/nginx.conf": b"pid /var/run/nginx/nginx.pid;"}
    (message,) = _messages({**nginx, "/var/log/x": b""})
    assert message == (
        "/etc/nginx/nginx.conf names files in /var/run/nginx, which the image does not have"
    )
    assert _messages({**nginx, "/run": None, "/var/run": "-> /run"}) == []
    assert _messages({**nginx, "/var/run/nginx": None}) == []
    assert len(_messages({**nginx, "/run/lock": b"", "/var/run": "-> /run"})) == 1
