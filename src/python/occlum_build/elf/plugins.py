"""Warnings about libraries that are loaded at run time (dlopen), which no closure can find.

Each check wants evidence in the image that a plugin is in use, and that it is absent: a
configuration that names it, or a runtime without the files that it cannot start without.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Callable

from occlum_build.elf.facts import ElfFacts
from occlum_build.errors import Problem

LIBC = "libc.so.6"
NSS_BUILT_IN = ("files", "dns")  # since glibc 2.34
NSS_BUILT_IN_SINCE = "GLIBC_2.34"
OPENSSL_BUILT_IN = ("base", "default", "null")
_PYTHON = re.compile(r"(?:lib)?python(3(?:\.\d+)?)(?:\.so[.\d]*)?")
_ASSIGNMENT = re.compile(r"^\s*([\w.]+)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True)
class ImageView:
    """An image: image path -> source path of every file, and how to read the sources.

    `facts` gives the ELF facts of a source and `read` the content of a small one, None if unknown.
    """

    files: Mapping[str, str]
    facts: Callable[[str], ElfFacts | None]
    read: Callable[[str], bytes | None]

    def named(self, name: str) -> list[str]:
        """The sorted image paths with a base name."""
        return self._by_name.get(name, [])

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for path in sorted(self.files):
            by_name.setdefault(posixpath.basename(path), []).append(path)
        return by_name

    def below(self, directory: str) -> list[str]:
        """The sorted image paths of the files in and below a directory."""
        prefix = directory.rstrip("/") + "/"
        return sorted(path for path in self.files if path.startswith(prefix))

    def lines(self, path: str) -> list[str]:
        """The lines of a text file without comments."""
        text = (self.read(self.files[path]) or b"").decode("utf-8", "replace")
        return [line.partition("#")[0].strip() for line in text.splitlines()]


def dlopen_warnings(image: ImageView) -> list[Problem]:
    """What the image opens at run time and does not hold: problems of code "dlopen", in order."""
    checks = (_nss, _gconv, _python, _openssl, _jvm)
    return [Problem("dlopen", text, hint=hint) for check in checks for text, hint in check(image)]


def _nss(image: ImageView) -> Iterator[tuple[str, str]]:
    """/etc/nsswitch.conf names a module of which glibc has no libnss_NAME.so.2."""
    libcs = image.named(LIBC)
    if not libcs or "/etc/nsswitch.conf" not in image.files:
        return
    facts = image.facts(image.files[libcs[0]])
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


def _gconv(image: ImageView) -> Iterator[tuple[str, str]]:
    """A directory of character set converters has its index and none of its modules."""
    index = [*image.named("gconv-modules"), *image.named("gconv-modules.cache")]
    for directory in sorted({posixpath.dirname(path) for path in index}):
        if not any(path.endswith(".so") for path in image.below(directory)):
            yield (
                f"{directory} lists character set converters, but the image has none of them",
                f"copy the .so files of {directory}, or leave its gconv-modules out",
            )


def _python(image: ImageView) -> Iterator[tuple[str, str]]:
    """An interpreter or libpython of CPython without its standard library."""
    versions: dict[str, str] = {}
    for path in sorted(image.files):
        match = _PYTHON.fullmatch(posixpath.basename(path))
        if match and image.facts(image.files[path]) is not None:
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


def _openssl(image: ImageView) -> Iterator[tuple[str, str]]:
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


def _has(image: ImageView, module: str) -> bool:
    return module in image.files if module.startswith("/") else bool(image.named(module))


def _jvm(image: ImageView) -> Iterator[tuple[str, str]]:
    """A Java virtual machine without its class library."""
    for path in image.named("libjvm.so"):
        home = path.rpartition("/lib/")[0]
        files = image.below(home)
        if not any(one.endswith(("/lib/modules", "/lib/rt.jar")) for one in files):
            yield (
                f"{path} is in the image, but its class library is not",
                f"copy {home}/lib/modules, as well as the other files of the Java runtime",
            )
