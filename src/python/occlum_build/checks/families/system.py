"""What libraries of the system load by a configuration: NSS, converters, OpenSSL's modules."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from occlum_build.checks.families.model import Family, Finding
from occlum_build.checks.files import Files, literal
from occlum_build.elf.facts import LIBC

NSS_BUILT_IN = ("files", "dns")  # since glibc 2.34
NSS_BUILT_IN_SINCE = "GLIBC_2.34"
# Distributions name them in every nsswitch.conf, and glibc passes over those that are absent.
NSS_BY_DEFAULT = (
    *("db", "nis", "nisplus", "systemd", "mymachines", "myhostname", "resolve", "sss"),
    "mdns4_minimal",
)
NSS_NEEDED = ("passwd", "group", "hosts")  # databases of which one module must be there
OPENSSL_BUILT_IN = ("base", "default", "null")
_SWITCH = "/etc/nsswitch.conf"
_ASSIGNMENT = re.compile(r"([\w.]+)\s*=\s*(.*)")


def _nss(files: Files, path: str) -> Iterator[Finding]:
    root = files.root
    if not files.is_file(_SWITCH) or path != root.named(LIBC)[0]:
        return
    facts = root.facts(path)
    modern = facts is not None and NSS_BUILT_IN_SINCE in facts.version_defs
    built_in = NSS_BUILT_IN if modern else ()
    lacking: set[str] = set()
    for line in root.lines(_SWITCH):
        database, _, services = line.partition(":")
        named = re.sub(r"\[[^][]*\]", " ", services).split()
        absent = [
            one
            for one in named
            if one not in built_in and not files.has_named(f"libnss_{one}.so.2")
        ]
        nothing_left = absent == named and database.strip() in NSS_NEEDED
        lacking.update(one for one in absent if nothing_left or one not in NSS_BY_DEFAULT)
    for module in sorted(lacking):
        library = f"libnss_{module}.so.2"
        yield Finding(
            _SWITCH,
            f"{_SWITCH} names {module}, but the image has no {library}",
            f"copy {library} to the directory of {path}, or take {module} out of the file",
        )


def _gconv(files: Files, path: str) -> Iterator[Finding]:
    directory = posixpath.dirname(path)
    if not files.has(f"{literal(directory)}/*.so"):
        yield Finding(
            path,
            f"{directory} lists character set converters, but the image has none of them",
            f"copy the .so files of {directory}, or leave its gconv-modules out",
        )


def _openssl(files: Files, path: str) -> Iterator[Finding]:
    sections = _sections(files.root.lines(path))
    for name, section in _providers(sections):
        module = sections[section].get("module", f"{name}.so")
        built_in = name in OPENSSL_BUILT_IN and "module" not in sections[section]
        if not built_in and not _has(files, module):
            yield Finding(
                path,
                f"{path} activates the provider {name}, but the image has no {module}",
                f"copy {module} (OpenSSL's ossl-modules directory), or deactivate {name}",
            )
    for values in sections.values():
        engine = values.get("dynamic_path", "")
        if engine and not _has(files, engine):
            yield Finding(
                path,
                f"{path} loads the engine {engine}, which the image does not have",
                f"copy {engine}, or take it out of {path}",
            )


def _providers(sections: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """(provider, section) of every provider that the configuration activates."""
    for values in sections.values():
        for name, section in sections.get(values.get("providers", ""), {}).items():
            if sections.get(section, {}).get("activate", "0").lower() in ("1", "yes", "true", "on"):
                yield name, section


def _sections(lines: list[str]) -> dict[str, dict[str, str]]:
    """The sections of a file in OpenSSL's configuration format; "" is the one at the top."""
    sections: dict[str, dict[str, str]] = {"": {}}
    current = ""
    for line in lines:
        if line.startswith("[") and line.endswith("]"):
            current = line[1:-1].strip()
            sections.setdefault(current, {})
        elif match := _ASSIGNMENT.match(line):
            sections[current][match[1]] = match[2]
    return sections


def _has(files: Files, module: str) -> bool:
    return files.is_file(module) if module.startswith("/") else files.has_named(module)


SYSTEM = (
    Family(
        "nss",
        "name services of glibc",
        files=re.escape(LIBC),
        check=_nss,
        checked=(
            "libnss_NAME.so.2 of each module in /etc/nsswitch.conf, but for those that "
            "distributions always name and glibc passes over (db, nis, systemd, sss, ...)"
        ),
    ),
    Family(
        "gconv",
        "character set converters of glibc",
        files=r"gconv-modules(?:\.cache)?",
        elf=False,
        check=_gconv,
        checked="the modules beside it",
    ),
    Family(
        "openssl",
        "OpenSSL",
        files=r"openssl\.cnf",
        elf=False,
        check=_openssl,
        checked="the modules of the providers that it activates and the engines that it loads",
    ),
)
