"""Warnings about libraries that are loaded at run time (dlopen), which no closure can find.

Each check wants evidence in the image that a plugin is in use, and that it is absent: a
configuration that names it, or a runtime without the files that it cannot start without.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from occlum_build.checks.root import Root
from occlum_build.errors import WARNING, Problem
from occlum_build.sources.model import FILE

LIBC = "libc.so.6"
NSS_BUILT_IN = ("files", "dns")  # since glibc 2.34
NSS_BUILT_IN_SINCE = "GLIBC_2.34"
OPENSSL_BUILT_IN = ("base", "default", "null")
_PYTHON = re.compile(r"(?:lib)?python(3(?:\.\d+)?)(?:\.so[.\d]*)?")
_ASSIGNMENT = re.compile(r"^\s*([\w.]+)\s*=\s*(.*?)\s*$")


def runtime_problems(image: Root) -> list[Problem]:
    """What the image opens at run time and does not hold: warnings of code "dlopen", in order."""
    checks = (_nss, _gconv, _python, _openssl, _jvm)
    return [
        Problem("dlopen", text, hint=hint, severity=WARNING)
        for check in checks
        for text, hint in check(image)
    ]


def _nss(image: Root) -> Iterator[tuple[str, str]]:
    """/etc/nsswitch.conf names a module of which glibc has no libnss_NAME.so.2."""
    libcs = image.named(LIBC)
    if not libcs or image.kind("/etc/nsswitch.conf") != FILE:
        return
    facts = image.facts(libcs[0])
    modern = facts is not None and NSS_BUILT_IN_SINCE in facts.version_defs
    named: set[str] = set()
    for line in image.lines("/etc/nsswitch.conf"):
        services = re.sub(r"\[[^]]*\]", " ", line.partition(":")[2])
        named.update(services.split())
    for module in sorted(named.difference(NSS_BUILT_IN if modern else ())):
        library = f"libnss_{module}.so.2"
        if not image.named(library):
            yield (
                f"/etc/nsswitch.conf names {module}, but the image has no {library}",
                f"copy {library} to the directory of {libcs[0]}, or take {module} out of the file",
            )


def _gconv(image: Root) -> Iterator[tuple[str, str]]:
    """A directory of character set converters has its index and none of its modules."""
    index = [*image.named("gconv-modules"), *image.named("gconv-modules.cache")]
    for directory in sorted({posixpath.dirname(path) for path in index}):
        if not any(path.endswith(".so") for path in image.below(directory)):
            yield (
                f"{directory} lists character set converters, but the image has none of them",
                f"copy the .so files of {directory}, or leave its gconv-modules out",
            )


def _python(image: Root) -> Iterator[tuple[str, str]]:
    """An interpreter or libpython of CPython without its standard library."""
    versions: dict[str, str] = {}
    for path in image.files:
        match = _PYTHON.fullmatch(posixpath.basename(path))
        if match and image.facts(path) is not None:
            versions.setdefault(match[1], path)
    for version, path in sorted(versions.items()):
        minor = re.escape(version) if "." in version else r"3\.\d+"
        archive = minor.replace(r"\.", "")
        library = re.compile(rf"/python({minor}/encodings/|{archive}\.zip$)")
        if not any(library.search(one) for one in image.files):
            yield (
                f"{path} is in the image, but the standard library of Python {version} is not",
                f"copy lib/python{version}, with its lib-dynload",
            )


def _openssl(image: Root) -> Iterator[tuple[str, str]]:
    """openssl.cnf activates a provider or loads an engine whose module is absent."""
    for path in image.named("openssl.cnf"):
        sections = _sections(image.lines(path))
        for name, section in _providers(sections):
            module = sections[section].get("module", f"{name}.so")
            built_in = name in OPENSSL_BUILT_IN and "module" not in sections[section]
            if not built_in and not _has(image, module):
                yield (
                    f"{path} activates the provider {name}, but the image has no {module}",
                    f"copy {module} (OpenSSL's ossl-modules directory), or deactivate {name}",
                )
        for values in sections.values():
            engine = values.get("dynamic_path", "")
            if engine and not _has(image, engine):
                yield (
                    f"{path} loads the engine {engine}, which the image does not have",
                    (f"copy {engine}, or take it out of {path}"),
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


def _has(image: Root, module: str) -> bool:
    return image.kind(module) == FILE if module.startswith("/") else bool(image.named(module))


def _jvm(image: Root) -> Iterator[tuple[str, str]]:
    """A Java virtual machine without its class library."""
    for path in image.named("libjvm.so"):
        home = path.rpartition("/lib/")[0]
        files = image.below(home)
        if not any(one.endswith(("/lib/modules", "/lib/rt.jar")) for one in files):
            yield (
                f"{path} is in the image, but its class library is not",
                f"copy {home}/lib/modules, as well as the other files of the Java runtime",
            )
