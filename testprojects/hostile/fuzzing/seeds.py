"""The first inputs of the readers: of test vectors, and small ones made up."""

from __future__ import annotations

import functools
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from hostile.fuzzing import (
    deb_seeds,
    package_seeds,
    report_readers,
    sbom_readers,
    switch_readers,
    trace_readers,
    verify_readers,
    wheel_readers,
)
from hostile.fuzzing.workplace import SEPARATOR
from occlum_build.elf.testing import ld_so_cache
from occlum_build.image.entries import DIR
from occlum_build.sefs.fs_format import (
    Dirent,
    FileType,
    Inode,
    disk_filename,
    pack_directory,
    pack_metadata,
)
from occlum_build.sgx.sign import prepare, sign
from occlum_build.sysroot.lock import Lock, Pin, write_lock

VECTORS = Path(__file__).parents[2] / "vectors"
SIGN = VECTORS / "sign"
_SMALL = 1 << 16


def seeds_of(reader: str) -> list[bytes]:
    """Of one reader."""
    return _by_reader().get(reader, [])


@functools.cache
def _by_reader() -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for reader, content in _seeds():
        if len(content) <= _SMALL:
            found.setdefault(reader, []).append(content)
    return found


def _seeds() -> Iterator[tuple[str, bytes]]:
    yield from _of_vectors()
    yield from _enclaves()
    yield from _archives()
    yield from _file_systems()
    yield from _texts()
    yield from deb_seeds.packages()
    yield from package_seeds.archives()
    yield from wheel_readers.seeds()
    yield from trace_readers.seeds()
    yield from verify_readers.seeds()
    yield from sbom_readers.seeds()
    yield from report_readers.seeds()
    yield from switch_readers.seeds()


def _of_vectors() -> Iterator[tuple[str, bytes]]:
    yield from _of_cases()
    for file in sorted((VECTORS / "gen_conf").glob("*.in.json")):
        yield "occlum_json", file.read_bytes()
    for file in sorted((SIGN / "xml").glob("*.xml")):
        yield "enclave_xml", file.read_bytes()
    for file in sorted((VECTORS / "sefs" / "pf" / "int").iterdir()):
        # The name that a protected file was written under is part of it.
        content = bytearray(file.read_bytes())
        content[95:355] = b"f".ljust(260, b"\0")
        yield "protected_file", bytes(content)
    for file in sorted(SIGN.glob("*.pem")):
        yield "keys", file.read_bytes()
    yield "keys", (VECTORS / "sefs" / "key.txt").read_bytes()
    yield "json", (VECTORS / "rune" / "rune_spec_config.json").read_bytes()


def _of_cases() -> Iterator[tuple[str, bytes]]:
    """The BOMs, loader configurations and ELF files of the cases of BOMs, each content once."""
    seen = set()
    for case in sorted((VECTORS / "bom").glob("*/input.tar")):
        with tarfile.open(case) as archive:
            for member in filter(tarfile.TarInfo.isfile, archive):
                stream = archive.extractfile(member)
                content = stream.read(_SMALL) if stream is not None else b""
                reader = _reader_of(member.name, content)
                if reader and content not in seen:
                    seen.add(content)
                    yield reader, content


def _reader_of(name: str, content: bytes) -> str:
    if content.startswith(b"\x7fELF"):
        return "elf"
    if name.endswith(".yaml"):
        return "bom"
    return "loader" if name.endswith(("config", "ld.so.conf")) else ""


def _enclaves() -> Iterator[tuple[str, bytes]]:
    key = (SIGN / "test_key.pem").read_bytes()
    for file in sorted(SIGN.glob("*.so")):
        content = file.read_bytes()
        signed = sign(content, None, key)
        yield from (("enclave", content), ("elf", content), ("sigstruct", signed))
        unsigned = prepare(content, None)
        yield "sigstruct", unsigned.sigstruct.to_bytes()
        yield "unsigned", json.dumps(unsigned.to_json()).encode()


def _archives() -> Iterator[tuple[str, bytes]]:
    library = (SIGN / "enc_mini.so").read_bytes()
    inner = _zip({"native/libx.so": library})
    for members in ({"a.txt": b"a" * 99, "lib/x.so": library}, {"inner.jar": inner}):
        yield "archive", _zip(members)
        yield "archive", b"#!/usr/bin/env python3\n" + _zip(members, zipfile.ZIP_STORED)
    yield "archive", b"#!/bin/sh -e\nexit\n"
    occlum = "opt/occlum"
    files = {
        f"{occlum}/include/occlum_version.h": _header(),
        **{
            f"{occlum}/build/{name}": b"x"
            for name in (
                "lib/libocclum-libos.so.0.31.0",
                "lib/libocclum-pal.so.0.31.0",
                "bin/occlum-run",
                "bin/init",
            )
        },
        "lib/ld-musl-x86_64.so.1": b"x",
        **{
            f"usr/local/occlum/x86_64-linux-musl/lib/{name}": b"x"
            for name in ("libc.so", "libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1")
        },
        f"{occlum}/etc/template/Occlum.json": b"{}",
    }
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        plain = _tar(files, form)
        yield from (("toolchain", plain), ("toolchain", gzip.compress(plain, mtime=0)))
        yield "toolchain", lzma.compress(plain)
    yield "version_header", _header()


def _header() -> bytes:
    names = (("MAJOR", 0), ("MINOR", 31), ("PATCH", 0))
    return "".join(f"#define OCCLUM_{name}_VERSION {one}\n" for name, one in names).encode()


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def _tar(members: dict[str, bytes], form: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("opt/link")
        link.type, link.linkname = tarfile.SYMTYPE, "occlum"
        archive.addfile(link)
    return stream.getvalue()


def _file_systems() -> Iterator[tuple[str, bytes]]:
    children = [Dirent(3, b"file", FileType.FILE), Dirent(4, b"link", FileType.SYMLINK)]
    below = [*children, Dirent(5, b"dir", FileType.DIR)]
    contents = [
        pack_directory(2, 2, below), b"content" * 9, b"file", pack_directory(5, 2, ()),
    ]  # fmt: skip
    inodes = [
        (2, Inode(0, FileType.DIR, 0o755, 3, 5, disk_filename(2), bytes(16))),
        (3, Inode(63, FileType.FILE, 0o644, 1, 0, disk_filename(3), bytes(16))),
        (4, Inode(4, FileType.SYMLINK, 0o777, 1, 0, disk_filename(4), bytes(16))),
        (5, Inode(0, FileType.DIR, 0o755, 2, 2, disk_filename(5), bytes(16))),
    ]
    yield "sefs", SEPARATOR.join([pack_metadata(inodes), *contents])
    root = [(2, Inode(0, FileType.DIR, 0o755, 2, 2, disk_filename(2), bytes(16)))]
    yield "sefs", SEPARATOR.join([pack_metadata(root), pack_directory(2, 2, ())])


def _texts() -> Iterator[tuple[str, bytes]]:
    digest = "ab" * 32
    pins = [
        Pin("/", DIR),
        Pin("/bin", DIR, 0o755, listing=True),
        Pin("/bin/app", "file", 0o755, 9, digest, True, package="app", version="1:2.3-4~deb12u1"),
        Pin("/lib", "symlink", target="usr/lib"),
    ]
    yield "lock", write_lock(Lock({pin.path: pin for pin in pins}))
    entries = [
        {"path": "/", "type": "dir", "mode": "0755"},
        {"path": "/a", "type": "file", "mode": "0644", "size": 1, "sha256": digest},
        {
            "path": "/l",
            "type": "symlink",
            "mode": "0777",
            "target": "a",
            "provenance": {"bom": "b"},
        },
    ]
    yield "manifest", json.dumps({"schema": 1, "entries": entries}).encode()
    inputs = {
        "image": {"type": "encrypted", "digest": f"sha256:{digest}"},
        "initfs": {"/bin/init": f"file 0755 {digest}"},
        "config": {"$.mount[0].type": "unionfs"},
        "toolchain": {"version": "0.31.0", "libos": f"sha256:{digest}"},
        "settings": {"sgx_mode": "HW", "edmm": False, "builtin_config_bytes": 48},
    }
    record = {"schema": 1, "mrenclave": digest, "mrsigner": None, "inputs": inputs}
    yield "measurement", json.dumps(record, indent=1).encode()
    expected = {**record, "debuggable": True, "image_entries": {"/bin/a": f"file 0755 {digest}"}}
    yield "measurement", json.dumps(expected, indent=1).encode()
    yield "oci_settings", _OCI
    yield "dpkg", SEPARATOR.join(_DPKG)
    yield "loader", SEPARATOR.join([*_LOADER, ld_so_cache((0x303, 0, "libx.so", "/lib/libx.so"))])
    yield "loader", SEPARATOR.join([*_LOADER, b"", b"/lib:/usr/lib\n/usr/local/lib"])
    row = [1, 2, 3, 4, 5, digest, True]
    yield "hash_memo", json.dumps(["/bin/app", row]).encode() + b'\n["/bin/app",null]'
    files = {"app": [1, 2, 3, 4, 33261, digest]}
    yield "dist_index", f'"a"\t{json.dumps(files)}\n""\t{{}}\n'.encode()
    yield "image_files", SEPARATOR.join(_IMAGE)
    yield "bom", SEPARATOR.join(_BOM)
    yield "json", json.dumps({"a": [1, 2.5, None, True, "é\u20ac", {"b": []}], "c": -0.0}).encode()
    yield "json", rb'{"a": "\u00e9\ud83d\ude00", "b": 1e5, "c": 12345678901234567890}'


_OCI = b"""\
runtime occlum
arg /bin/app
arg --option
e PATH=/bin
e OCCLUM_RELEASE_ENCLAVE=1
e ENCLAVE_TYPE=intelSgx
a org.example=value
a enclave.runtime.loglevel=info
cwd /run/rune
path /opt/occlum/build/lib/libocclum-pal.so
pal occlum_instance
log debug
ra epidLinkable
spid 0123
"""
_DPKG = (
    b"Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.3-4+b1\n\n"
    b"Package: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0~rc1-2\n",
    b"/bin/app\n/bin/app.distrib\na\n",
    b"/.\n/bin\n/bin/app\n/lib/x\n",
)
_LOADER = (
    b"# loaders\n/opt/occlum/glibc/lib/ld-linux-x86-64.so.2 /opt/occlum/glibc/lib:/usr/lib\n",
    b"include /etc/ld.so.conf.d/*.conf\n/usr/local/lib\nhwcap 1 x\n",
    b"# more\n/opt/lib=libc6\ninclude b*.conf\n",
)
_IMAGE = (
    b"#!/usr/bin/env -S python3 -u\nprint()\n",
    b"user www;\ninclude /etc/nginx/conf.d/*.conf;\nload_module modules/x.so;\n"
    b"extension=redis.so\nLoadModule x_module modules/mod_x.so\nDriver = /usr/lib/x.so\n",
    b"dir /var/lib/redis\nloadmodule /usr/lib/m.so\nhosts: files dns\n!includedir /etc/my.d\n",
)
_BOM = (
    b"includes: [more.yaml]\nexcludes: ['*.o', 'dir/*']\ntargets:\n- target: /bin\n  mkdirs: [a]\n"
    b"  createlinks: [{src: ../a, linkname: l}]\n  copy:\n  - from: $A/${B:-c}\n"
    b"    files: [{name: a, hash: ab, rename: b, autodep: false}, '*']\n    dirs: [dir, dir/]\n",
    b"targets:\n- {target: /, copy: [{files: [/bin/app]}, {from: link}]}\n",
    b"/lib64/ld-linux-x86-64.so.2 /usr/lib:/lib\n",
)
