"""Makes .deb files for tests, bit by bit, so that they may also be wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": lambda data: _zstd(data),
    ".bz2": bz2.compress,
    ".lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


class Item(NamedTuple):
    """A member of data.tar; a name is written as it is."""

    name: str
    content: bytes = b""
    mode: int = 0o644
    type: bytes = tarfile.REGTYPE
    link: str = ""


def directory(name: str, mode: int = 0o755) -> Item:
    return Item(name, b"", mode, tarfile.DIRTYPE)


def link(name: str, target: str) -> Item:
    return Item(name, b"", 0o777, tarfile.SYMTYPE, target)


def hard_link(name: str, target: str, mode: int = 0o644) -> Item:
    return Item(name, b"", mode, tarfile.LNKTYPE, target)


def tar_of(items: Iterable[Item], format_: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=format_, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.size, info.mode, info.type = len(item.content), item.mode, item.type
            info.linkname = item.link
            tar.addfile(info, io.BytesIO(item.content))
    return out.getvalue()


def ar_of(parts: Iterable[tuple[str, bytes]]) -> bytes:
    out = [b"!<arch>\n"]
    for name, data in parts:
        out.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
        out.append(data + b"\n" * (len(data) % 2))
    return b"".join(out)


def deb_of(
    package: str = "app",
    version: str = "1.0",
    items: Iterable[Item] = (),
    *,
    fields: Mapping[str, str] | None = None,
    scripts: Mapping[str, str] | None = None,
    compression: str = ".xz",
    format_: int = tarfile.GNU_FORMAT,
) -> bytes:
    """The bytes of a package for amd64."""
    stanza = {"Package": package, "Version": version, "Architecture": "amd64", **(fields or {})}
    stanza = {**stanza, "Maintainer": "nobody <nobody@example.com>", "Description": "for tests"}
    control = "".join(f"{name}: {value}\n" for name, value in stanza.items())
    files = [Item("./control", control.encode())]
    files += (Item(f"./{name}", text.encode(), 0o755) for name, text in (scripts or {}).items())
    pack, packed_control = PACKERS[compression], compression
    if compression in (".bz2", ".lzma"):  # of data alone
        packed_control = ".gz"
    return ar_of(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{packed_control}", PACKERS[packed_control](tar_of(files))),
            (f"data.tar{compression}", pack(tar_of(items, format_))),
        ]
    )


def write_deb(directory: Path, package: str, version: str = "1.0", **how: object) -> Path:
    """A package in a file of the usual name; for `how` see `deb_of`."""
    path = directory / f"{package}_{version.replace(':', '%3a')}_amd64.deb"
    path.write_bytes(deb_of(package, version, **how))  # type: ignore[arg-type]
    return path


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(data)
