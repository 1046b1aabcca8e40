"""The packages of the small archive: tiny ELF files, made without a compiler, and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from occlum_build.elf import layout
from occlum_build.elf.testing_made import made_elf
from occlum_build.packages.testing_debs import Item, deb_of, directory, link

LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"


class Deb(NamedTuple):
    """A .deb: its control fields, and its bytes. path: in the archive."""

    fields: Mapping[str, str]
    content: bytes

    @property
    def path(self) -> str:
        name, version = self.fields["Package"], self.fields["Version"].rpartition(":")[2]
        return f"pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def stanza(self) -> str:
        """What Packages has of it."""
        place = {"Filename": self.path, "Size": str(len(self.content)), "SHA256": self.sha256}
        return "".join(f"{name}: {value}\n" for name, value in {**self.fields, **place}.items())


def deb(
    package: str,
    version: str,
    *items: Item,
    packed: str,
    postinst: str = "",
    **fields: str,
) -> Deb:
    """A package for amd64; packed: ".xz", ".gz", ".zst" or ""."""
    names = {"Package": package, "Version": version, "Architecture": "amd64"}
    names.update((name.replace("_", "-").title(), value) for name, value in fields.items())
    scripts = {"postinst": f"#!/bin/sh\nset -e\n{postinst}"} if postinst else {}
    items = (directory("./"), *items)
    content = deb_of(package, version, items, fields=names, scripts=scripts, compression=packed)
    return Deb(names, content)


def library(soname: str, *needed: str) -> bytes:
    return made_elf(tags=_tags(needed, (layout.DT_SONAME, soname)))


def program(*needed: str) -> bytes:
    return made_elf(LOADER.encode() + b"\0", tags=_tags(needed))


def _tags(needed: tuple[str, ...], *more: tuple[int, str]) -> list[tuple[int, bytes]]:
    return [(tag, name.encode()) for tag, name in (*((layout.DT_NEEDED, n) for n in needed), *more)]


def libgreet(version: str, packed: str, **fields: str) -> Deb:
    """The library of greet, another one in each version."""
    upstream = version.partition("-")[0]
    name = f"libgreet.so.{upstream}"
    content = library("libgreet.so.1", "libc.so.6") + f"greet {version}\n".encode()
    return deb(
        "libgreet1",
        version,
        Item(f"./{LIBRARIES}/{name}", content),
        link(f"./{LIBRARIES}/libgreet.so.1", name),
        packed=packed,
        depends="libc6 (>= 2.36)",
        **fields,
    )


def _greet(package: str, priority: int, packed: str, **fields: str) -> Deb:
    path = f"usr/bin/{package}.real"
    content = program("libgreet.so.1", "libc.so.6") + f"{package}\n".encode()
    return deb(
        package,
        "1:2.0-1",
        Item(f"./{path}", content, 0o755),
        postinst=f"update-alternatives --install /usr/bin/greet greet /{path} {priority}\n",
        packed=packed,
        **fields,
    )


def greeting(language: str, text: str, packed: str) -> Deb:
    package = f"greeting-{language}"
    item = Item("./etc/greeting", f"{text}\n".encode())
    return deb(package, "3+x~1", item, packed=packed, provides="greeting", conflicts="greeting")


def small() -> list[Deb]:
    """The suite `small`."""
    return [
        deb(
            "base-files",
            "12.4",
            *map(directory, ["./bin", "./etc", "./lib", "./lib64", "./usr", "./var"]),
            directory("./tmp", 0o1777),
            Item("./etc/debian_version", b"12.4\n"),
            packed=".xz",
            essential="yes",
        ),
        deb(
            "base-passwd",
            "3.6.1",
            Item("./usr/share/base-passwd/passwd.master", b"root:*:0:0:root:/root:/bin/sh\n"),
            Item("./usr/share/base-passwd/group.master", b"root:*:0:\n"),
            packed=".gz",
        ),
        deb(
            "ca-certificates",
            "20230311",
            Item("./usr/share/ca-certificates/small/One.crt", _CERTIFICATE.encode()),
            packed=".xz",
        ),
        # Where the libraries were before /usr was merged.
        deb(
            "libc6",
            "2.36-9",
            Item(
                "./lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                library("ld-linux-x86-64.so.2"),
                0o755,
            ),
            Item("./lib/x86_64-linux-gnu/libc.so.6", library("libc.so.6"), 0o755),
            link("./lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
            packed=".xz",
        ),
        libgreet("1.0-1", ""),
        _greet("greet", 10, ".gz", depends="libgreet1 (>= 1.0), libc6, greeting"),
        _greet("greet-long", 20, ".zst", depends="greet (>= 1:2)"),
        greeting("de", "Hallo", ".xz"),
        greeting("en", "Hello", ".zst"),
    ]


def small_updates() -> list[Deb]:
    """The suite `small-updates`."""
    return [libgreet("1.1-1", ".zst")]
