"""The initfs of `new --init-ra`: an init of Occlum's that gets the image's key by attestation."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

from occlum_build.errors import OcclumError, Problem
from occlum_build.files.bounds import ENCLAVE_BYTES
from occlum_build.files.reading import read_file
from occlum_build.occlum import entries as tree
from occlum_build.occlum.entries import TreeEntry
from occlum_build.occlum.initfs import musl_libraries
from occlum_build.occlum.toolchain import (
    GLIBC_DIR,
    OCCLUM_DIR,
    OS_LIB_DIRS,
    Toolchain,
    ToolchainDirectory,
)
from occlum_build.occlum.toolchain_content import check_content

GRPC_RATLS, AECS = "grpc_ratls", "aecs"
CONF = "init_ra_conf.json"
_TOOLCHAINS = f"{OCCLUM_DIR}/toolchains"
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_AECS_CLIENT = f"{_TOOLCHAINS}/aecs_client"

# Path in the initfs -> the places in a system of which one must exist.
_Wanted = Mapping[str, tuple[str, ...]]
_OF_RATLS: _Wanted = {
    _CERTIFICATES: (_CERTIFICATES,),
    "lib/libgrpc_ratls_client.so": (f"{_TOOLCHAINS}/grpc_ratls/musl/libgrpc_ratls_client.so",),
    "lib/libhw_grpc_proto.so": (f"{_TOOLCHAINS}/grpc_ratls/musl/libhw_grpc_proto.so",),
    "lib/libocclum_dcap.so.0.1.0": (f"{_TOOLCHAINS}/dcap_lib/musl/libocclum_dcap.so.0.1.0",),
    "lib/libcjson.so.1": (f"{_TOOLCHAINS}/gcc/x86_64-linux-musl/lib/libcjson.so.1",),
}
_OF_AECS: _Wanted = {
    **{
        f"{GLIBC_DIR}/{name}": tuple(f"{folder}/{name}" for folder in OS_LIB_DIRS)
        for name in ("libz.so.1", "libdl.so.2")
    },
    **{
        f"{GLIBC_DIR}/{name}": (f"{GLIBC_DIR}/{name}",)
        for name in ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
    },
}
# Of the system unless the client brings them; and what is taken where it is there.
_OF_AECS_UNLESS_BROUGHT = ("libssl.so.1.1", "libcrypto.so.1.1")
_OF_AECS_IF_THERE = "libprotobuf.so.32"


def attesting_initfs(
    kind: str,
    toolchain: Toolchain,
    root: Path,
    glibc: Iterable[TreeEntry],
    localtime: Path | None = None,
) -> tuple[tuple[TreeEntry, ...], tuple[TreeEntry, ...]]:
    """The initfs, and `init_ra_conf.json` of the instance, as Occlum makes both.

    `glibc`: the entries of Occlum's glibc in the image. Raises one OcclumError `toolchain` of all
    files that the toolchain in `root` lacks.
    """
    files = _Files(ToolchainDirectory(root), kind)
    # Without its init there is nothing of it: that is all to be told.
    init = files.entries({"bin/init": (f"{OCCLUM_DIR}/build/bin/init_{kind}",)})
    files.raise_missing()
    for one in init:
        if one.source is not None:
            content = read_file(one.source, ENCLAVE_BYTES, code="toolchain")
            check_content("init", content, str(one.source))
    conf = files.entries({CONF: (f"{OCCLUM_DIR}/etc/template/init_{kind}.json",)})
    time = [tree.time_zone("etc/localtime", localtime)] if localtime else []
    folders = [tree.directory(path) for path in ("bin", "lib", "dev", "proc", "etc")]
    if kind == GRPC_RATLS:
        parts = [*musl_libraries(toolchain), *files.entries(_OF_RATLS)]
    else:
        folders += [tree.directory("etc/kubetee"), tree.directory("lib64")]
        parts = [*glibc, *files.aecs_client()]
    files.raise_missing()
    return tree.merged(folders, time, parts, init), tuple(conf)


class _Files:
    """Finds files of a toolchain, and collects those that it lacks."""

    def __init__(self, layout: ToolchainDirectory, kind: str) -> None:
        self._layout = layout
        self._kind = kind
        self._missing: list[Problem] = []

    def entries(self, wanted: _Wanted) -> list[TreeEntry]:
        """A copy of each file under its path in the initfs."""
        found = []
        for path, places in wanted.items():
            source = self._layout.file(*places)
            if source is None:
                searched = " nor ".join(str(self._layout.path(place)) for place in places)
                self._missing.append(self._problem(searched))
            else:
                found.append(tree.copy_of(path, source))
        return found

    def aecs_client(self) -> list[TreeEntry]:
        """The client's own files, and what it needs of the system."""
        folder = self._layout.directory(_AECS_CLIENT)
        places = [f"{_AECS_CLIENT}/{name}" for name in sorted(os.listdir(folder) if folder else ())]
        client = [place for place in places if not self._layout.is_directory(place)]
        brought = self.entries({f"{GLIBC_DIR}/{posixpath.basename(one)}": (one,) for one in client})
        if not brought:
            self._missing.append(self._problem(str(self._layout.path(_AECS_CLIENT))))
        wanted = dict(_OF_AECS)
        for name in _OF_AECS_UNLESS_BROUGHT:
            if f"{_AECS_CLIENT}/{name}" not in client:
                wanted[f"{GLIBC_DIR}/{name}"] = tuple(f"{one}/{name}" for one in OS_LIB_DIRS)
        optional = tuple(f"{one}/{_OF_AECS_IF_THERE}" for one in OS_LIB_DIRS)
        if self._layout.file(*optional):
            wanted[f"{GLIBC_DIR}/{_OF_AECS_IF_THERE}"] = optional
        return [*brought, *self.entries(wanted)]

    def raise_missing(self) -> None:
        if self._missing:
            raise OcclumError.of(self._missing)

    def _problem(self, searched: str) -> Problem:
        return Problem(
            "toolchain",
            f"the toolchain cannot make an initfs for --init-ra {self._kind}: "
            f"{searched} does not exist",
            hint="Occlum's own container images have it; or leave --init-ra out, and put your own "
            f"init into initfs/ and {CONF} beside it",
        )
