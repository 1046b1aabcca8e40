"""The layout of an instance directory: what a build leaves where, and the two status files.

The layout is a plan: `plan_build` and `plan_instance` name parts, which are made elsewhere, and
`assemble` moves the parts to their places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import STATE_BYTES
from occlum_build.files.locks import locked
from occlum_build.files.reading import read_file
from occlum_build.files.recovery import recover, sweep
from occlum_build.occlum.initfs import image_config_json
from occlum_build.occlum.toolchain import check_mode, libos_name, pal_name
from occlum_build.sources.model import DIR, FILE, SYMLINK

STATUS, SGX_MODE = ".__occlum_status", ".sgx_mode"
INITIALIZED, BUILT = "initialized", "built"
SIGNED_LIBOS = "lib/libocclum-libos.signed.so"
TREE = "tree"
# Where Occlum is on the machine that runs the enclave, wherever the toolchain of the build was.
RUNTIME_BIN = "/opt/occlum/build/bin"
RUN_DIRECTORIES = (
    "run",
    *(f"run/{fs}{sub}" for fs in ("initfs", "mount") for sub in ("", "/__ROOT")),
)
_LINKED_PROGRAMS = ("occlum-run", "occlum_exec_client", "occlum_exec_server")


@dataclass(frozen=True)
class InstanceEntry:
    """One path: a directory, a link, or a file or whole tree that is a `part` or has `content`."""

    path: str
    kind: str
    mode: int = 0o644
    part: str = ""
    content: bytes = b""
    target: str = ""


def plan_build(
    version: str, sgx_mode: str, image_type: str, *, signed: bool
) -> tuple[InstanceEntry, ...]:
    """What is in `build/`, parents first.

    Parts: files `libos`, `pal`, `image_mac`, `initfs_mac`, `enclave_xml`, `sys_json`, `protected`;
    trees `image`, `initfs`; `signed`, or when it is not signed `unsigned` and `signing_data`.
    """
    check_mode(sgx_mode)
    planned = [
        *(_directory(path) for path in ("bin", "initfs", "lib", "mount")),
        *(_link(f"bin/{name}", f"{RUNTIME_BIN}/{name}") for name in _LINKED_PROGRAMS),
        *_library("libocclum-libos.so", libos_name(sgx_mode), version, "libos"),
        *_library("libocclum-pal.so", pal_name(sgx_mode), version, "pal"),
        *_secure_fs("mount", "image"),
        *_secure_fs("initfs", "initfs"),
        InstanceEntry("image_config.json", FILE, content=image_config_json(image_type)),
        InstanceEntry("Enclave.xml", FILE, part="enclave_xml"),
        InstanceEntry(".Occlum_sys.json", FILE, part="sys_json"),
        InstanceEntry(".Occlum_sys.json.protected", FILE, part="protected"),
    ]
    if signed:
        planned.append(InstanceEntry(SIGNED_LIBOS, FILE, 0o755, part="signed"))
    else:
        planned.append(InstanceEntry("unsigned.json", FILE, part="unsigned"))
        planned.append(InstanceEntry("signing-data", FILE, part="signing_data"))
    return tuple(sorted(planned, key=lambda entry: entry.path))


def plan_instance(
    version: str, sgx_mode: str, image_type: str, *, signed: bool
) -> tuple[InstanceEntry, ...]:
    """A whole instance directory that can be run; more parts: `config`, and the tree `initfs_tree`.

    It has no `image/`: `build/mount` has it all.
    """
    status = BUILT if signed else INITIALIZED
    planned = [
        InstanceEntry(STATUS, FILE, content=f"{status}\n".encode()),
        InstanceEntry(SGX_MODE, FILE, content=f"{sgx_mode}\n".encode()),
        InstanceEntry("Occlum.json", FILE, part="config"),
        InstanceEntry("initfs", TREE, part="initfs_tree"),
        _directory("build"),
        *(_directory(path) for path in RUN_DIRECTORIES),
        *(
            replace(entry, path=f"build/{entry.path}")
            for entry in plan_build(version, sgx_mode, image_type, signed=signed)
        ),
    ]
    return tuple(sorted(planned, key=lambda entry: entry.path))


def assemble(
    planned: tuple[InstanceEntry, ...], parts: Mapping[str, Path | bytes], out: Path
) -> None:
    """Write a plan into the new directory `out`; trees are moved, files given by path copied."""
    try:
        out.mkdir(mode=0o755)
        out.chmod(0o755)
        for entry in planned:
            _write(entry, parts, out / entry.path)
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("instance", message, place=Place(str(error.filename or out))) from error


def fresh_run_directory(instance: Path) -> None:
    """Make the empty directories where the run-time file systems will be."""
    for path in RUN_DIRECTORIES:
        (instance / path).mkdir(mode=0o755)
        (instance / path).chmod(0o755)


@contextmanager
def writing(instance: Path) -> Iterator[None]:
    """Keep other runs away, after what a killed one was about to do is done.

    Raises OcclumError `instance` when another run builds or packages it, or it cannot be opened.
    """
    with ExitStack() as stack:
        with as_problem(instance):
            stack.enter_context(locked(instance, seconds=0, code="instance"))
            recover(instance)
        yield


@contextmanager
def reading(instance: Path) -> Iterator[None]:
    """As `writing`, but others may read too. Raises OcclumError `instance` as that does."""
    with ExitStack() as stack:
        with as_problem(instance):
            sweep(instance)
            stack.enter_context(locked(instance, shared=True, code="instance"))
        yield


@contextmanager
def as_problem(instance: Path) -> Iterator[None]:
    """OSErrors of the body as OcclumError `instance`."""
    try:
        yield
    except OSError as error:
        message = error.strerror or str(error)
        place = Place(str(error.filename or instance))
        raise OcclumError("instance", message, place=place) from error


def read_status(instance: Path) -> str:
    """The status of an instance; OcclumError `instance` when the directory is none."""
    return _read_line(instance / STATUS, "this is no Occlum instance", "occlum-build init")


def read_mode(instance: Path) -> str:
    """The SGX mode of the last build; OcclumError `instance` when there was none."""
    mode = _read_line(instance / SGX_MODE, "the instance was not built", "occlum-build build")
    check_mode(mode)
    return mode


def _read_line(path: Path, problem: str, command: str) -> str:
    try:
        return read_file(path, STATE_BYTES, code="instance").decode("ascii", "replace").strip()
    except OcclumError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
    message = f"{problem}: there is no {path.name}"
    place = Place(str(path.parent))
    raise OcclumError("instance", message, place=place, hint=f"run `{command}`")


def _write(entry: InstanceEntry, parts: Mapping[str, Path | bytes], path: Path) -> None:
    if entry.kind == DIR:
        path.mkdir(mode=0o755)
        path.chmod(entry.mode)
        return
    if entry.kind == SYMLINK:
        path.symlink_to(entry.target)
        return
    part = parts[entry.part] if entry.part else entry.content
    if entry.kind == TREE:
        if isinstance(part, bytes):
            raise ValueError(f"the part {entry.part} is a tree")
        os.rename(part, path)
        return
    # The parts are our own, as this build made them.
    content = part if isinstance(part, bytes) else part.read_bytes()
    with open(path, "xb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), entry.mode)


def _directory(path: str) -> InstanceEntry:
    return InstanceEntry(path, DIR, 0o755)


def _link(path: str, target: str) -> InstanceEntry:
    return InstanceEntry(path, SYMLINK, 0o777, target=target)


def _library(link: str, name: str, version: str, part: str) -> list[InstanceEntry]:
    """A library under its versioned name, and the two links that lead to it."""
    major = version.split(".")[0]
    return [
        InstanceEntry(f"lib/{name}.{version}", FILE, 0o755, part=part),
        _link(f"lib/{link}.{major}", f"{name}.{version}"),
        _link(f"lib/{link}", f"{link}.{major}"),
    ]


def _secure_fs(folder: str, part: str) -> list[InstanceEntry]:
    return [
        InstanceEntry(f"{folder}/__ROOT", TREE, part=part),
        InstanceEntry(f"{folder}/.ROOT_MAC", FILE, part=f"{part}_mac"),
    ]
