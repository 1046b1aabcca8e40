"""Makes a toolchain of stand-ins: `python make_toolchain.py DIR`, the root of a system.

It has the layout of an installed Occlum 0.31.0, but none of Occlum's programs: the libOS is a small
enclave of testprojects/vectors/sign, the signing key is the vectors' test key, all other binaries
are short texts that say that they are stand-ins. Nothing of it can be run; everything can be built.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

VERSION = "0.31.0"
VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "sign"
OCCLUM = Path("opt/occlum")
MUSL = Path("usr/local/occlum/x86_64-linux-musl/lib")
ENCLAVES = {"": "enc_mini.so", "_sim": "enc_mini_tls.so", "_hyper": "enc_mini.so"}

PROGRAMS = [
    *(OCCLUM / "build/bin" / name for name in ("init", "occlum-run")),
    *(OCCLUM / "build/bin" / name for name in ("occlum_exec_client", "occlum_exec_server")),
    *(OCCLUM / f"build/lib/libocclum-pal{suffix}.so.{VERSION}" for suffix in ENCLAVES),
    Path("lib/ld-musl-x86_64.so.1"),
    *(MUSL / name for name in ("libc.so", "libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1")),
]
GLIBC = [
    *(
        OCCLUM / "glibc/lib" / name
        for name in ("ld-linux-x86-64.so.2", "libc.so.6", "libpthread.so.0", "libm.so.6")
    ),
    *(Path("usr/lib/x86_64-linux-gnu") / name for name in ("libstdc++.so.6", "libgcc_s.so.1")),
]
HEADER = """\
#define OCCLUM_MAJOR_VERSION    {}
#define OCCLUM_MINOR_VERSION    {}
#define OCCLUM_PATCH_VERSION    {}
"""
TEMPLATE = {
    "resource_limits": {
        "user_space_size": "4MB",
        "kernel_space_heap_size": "1MB",
        "kernel_space_stack_size": "64KB",
        "max_num_of_threads": 4,
    },
    "process": {
        "default_stack_size": "1MB",
        "default_heap_size": "1MB",
        "default_mmap_size": "2MB",
    },
    "entry_points": ["/bin"],
    "env": {"default": ["OCCLUM=yes"], "untrusted": ["EXAMPLE"]},
    "metadata": {
        "product_id": 0,
        "version_number": 0,
        "debuggable": True,
        "enable_kss": False,
        "family_id": {"high": "0x0", "low": "0x0"},
        "ext_prod_id": {"high": "0x0", "low": "0x0"},
    },
    "feature": {
        "amx": 0,
        "pkru": 0,
        "io_uring": 0,
        "enable_edmm": False,
        "enable_posix_shm": False,
    },
    "mount": [
        {
            "target": "/",
            "type": "unionfs",
            "options": {
                "layers": [
                    {
                        "target": "/",
                        "type": "sefs",
                        "source": "./build/mount/__ROOT",
                        "options": {"MAC": ""},
                    },
                    {"target": "/", "type": "sefs", "source": "./run/mount/__ROOT"},
                ]
            },
        },
        {"target": "/host", "type": "hostfs", "source": "."},
    ],
}


def make_toolchain(root: Path, *, version: str = VERSION, glibc: bool = False) -> Path:
    """Write the stand-ins below `root`, which may be empty or missing; gives Occlum's directory."""
    for path in [*PROGRAMS, *(GLIBC if glibc else [])]:
        _write(root / path, f"stand-in for {path.name}\n".encode(), 0o755)
    for suffix, enclave in ENCLAVES.items():
        name = f"libocclum-libos{suffix}.so.{VERSION}"
        _write(root / OCCLUM / "build/lib" / name, (VECTORS / enclave).read_bytes(), 0o755)
    header = HEADER.format(*version.split("."))
    _write(root / OCCLUM / "include/occlum_version.h", header.encode(), 0o644)
    template = root / OCCLUM / "etc/template"
    _write(template / "Occlum.json", (json.dumps(TEMPLATE, indent=4) + "\n").encode(), 0o644)
    _write(template / "Enclave.pem", (VECTORS / "test_key.pem").read_bytes(), 0o644)
    return root / OCCLUM


def make_archive(root: Path, archive: Path) -> None:
    """A reproducible tar of a directory; compressed when its name ends in `.xz`."""
    mode = "w:xz" if archive.suffix == ".xz" else "w"
    with tarfile.open(archive, mode) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def main() -> None:
    root = Path(sys.argv[1])
    make_toolchain(root)


if __name__ == "__main__":
    main()
