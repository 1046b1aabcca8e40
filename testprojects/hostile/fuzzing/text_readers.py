"""Readers of text: BOMs, configurations, lock files, manifests, measurements, package databases.

Each takes an input of any bytes and may raise nothing but OcclumError. Where what was read can be
written again, it must come back the same.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable
from typing import Any

from hostile.fuzzing.workplace import file_of, parts_of, text_of
from occlum_build.bom.load import load_boms, reader_of
from occlum_build.checks.enclave import check_enclave
from occlum_build.checks.image import check_image
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import Archive, ElfFacts, Malformed
from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER, Interpreter
from occlum_build.elf.ld_so_cache import read_cache
from occlum_build.elf.loader_config import parse_loader_config
from occlum_build.elf.system_dirs import other_dirs, system_dirs
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import OcclumError, Problem, Report
from occlum_build.files.json_text import load_json
from occlum_build.image.manifest import canonical_json, manifest_text
from occlum_build.image.plan import BomSet, PlanOptions, plan_image
from occlum_build.image.testing import TreeView, library, program
from occlum_build.occlum.configure import config_keys, mounts_ext2
from occlum_build.occlum.earlier import Earlier, manifest_from_bytes
from occlum_build.occlum.expected import check_measurement, read_expected, with_entries
from occlum_build.occlum.measurement import check_expected
from occlum_build.occlum.toolchain import check_version, parse_version
from occlum_build.oci.bundle import BundleSpec, container_of
from occlum_build.oci.config import config_json
from occlum_build.oci.settings import read_settings
from occlum_build.sefs.manifest import read_manifest
from occlum_build.sgx.config import check, default_config, generate, merge, parse_json
from occlum_build.sources.model import DIR
from occlum_build.sysroot.debian_version import DebianVersion
from occlum_build.sysroot.dpkg import packages_of
from occlum_build.sysroot.lock import read_lock, write_lock
from occlum_build.sysroot.looked import Looked, describe, differences

MAC = "00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-ff"
_SYSTEM: dict[str, bytes | ElfFacts | str | None] = {
    "ws": None,
    "ws/a": b"a",
    "ws/dir/b": b"b",
    "ws/dir/sub/app": program("libc.so.6"),
    "ws/link": "-> dir",
    "/bin/app": program("libc.so.6", "libx.so"),
    "/lib64/ld-linux-x86-64.so.2": library(),
    "/lib/x86_64-linux-gnu/libc.so.6": library(),
    "/usr/lib/libx.so": library("libc.so.6"),
}


def bom(data: bytes) -> None:
    """A BOM and one that it may include as `more.yaml`, planned and written as a manifest."""
    first, second, config = parts_of(data, 3)
    sources = TreeView({**_SYSTEM, "ws/bom.yaml": first, "ws/more.yaml": second})
    report, env = Report(), {"A": "/a", "B": "b"}
    boms = load_boms("ws/bom.yaml", ("ws/dir",), env, reader_of(sources), report)
    loader = parse_loader_config(config.decode("utf-8", "replace"), "config") if config else None
    plan = plan_image([BomSet(boms, "ws", env, loader)], PlanOptions(), sources, report)
    told((*report.errors, *report.warnings))
    json.loads(manifest_text(plan.entries, sources.sha256).full)


def told(problems: Iterable[Problem]) -> None:
    """What is printed of problems, for people and as JSON."""
    for problem in problems:
        str(problem)
        json.dumps(problem.to_json())


def loader(data: bytes) -> None:
    """What a sysroot configures: Occlum's loaders, ld.so.conf and its parts, glibc's cache."""
    config, conf, more, cache, musl = parts_of(data, 5)
    view = MemoryView(
        {
            "/etc/ld.so.conf": conf,
            "/etc/ld.so.conf.d/a.conf": more,
            "/etc/ld.so.conf.d/b.conf": conf,
            "/etc/ld-musl-x86_64.path": musl,
            "/lib/x86_64-linux-gnu/libc.so.6": library(),
        }
    )
    for path in (GLIBC_LOADER, MUSL_LOADER):
        interpreter = Interpreter(path, path, path)
        system_dirs(view, interpreter)
        other_dirs(view, interpreter)
    read_cache(cache)
    parsed = parse_loader_config(config.decode("utf-8", "replace"), "config")
    parsed.for_interpreter(GLIBC_LOADER)


def occlum_json(data: bytes) -> None:
    """An Occlum.json, by itself and merged over the default, and the files made of it."""
    first, image = parts_of(data, 2)
    parsed = parse_json(first, "Occlum.json")
    for document in (parsed, merge(default_config(), parsed)):
        config_keys(document)
        mounts_ext2(document)
        try:
            generated = generate(document, MAC, MAC, edmm=bool(image))
        except OcclumError as error:
            told(error.problems)
            continue
        told(generated.warnings)
        json.loads(generated.sys_json)
        root = root_of({f"/{text_of(image)[:99].strip('/')}": b"x", "/bin/app": program()})
        told(check_enclave(root, document, check(document).config, mounts_image=True))


def json_document(data: bytes) -> None:
    """Any JSON, which can be written again as canonical JSON."""
    value = load_json(data, "x.json")
    if load_json(canonical_json(value), "x.json") != value and "NaN" not in repr(value):
        raise AssertionError("it is another value")


def lock(data: bytes) -> None:
    """A lock file, which is the one text for what it says (but for the schema)."""
    parsed = read_lock(data, "lock")
    text = write_lock(parsed)
    if read_lock(text, "lock").pins.keys() != parsed.pins.keys():
        raise AssertionError("it is another lock")
    seen = Looked({path: pin for path, pin in parsed.pins.items() if pin.type == DIR})
    found = differences(seen, parsed)
    describe(found, parsed, packages_of(MemoryView({}), []))


def manifest(data: bytes) -> None:
    """A manifest that a tree is made into a secure file system by."""
    with file_of(data, "manifest.json") as path:
        read_manifest(path)


@functools.cache
def _measured() -> dict[str, Any]:
    inputs: dict[str, Any] = {"image": {}, "initfs": {}, "config": {}, "toolchain": {}}
    return {"schema": 1, "mrenclave": "00" * 32, "inputs": {**inputs, "settings": {"edmm": False}}}


def measurement(data: bytes) -> None:
    """An earlier or expected measurement, and manifest.json, which explain another MRENCLAVE."""
    first, second = parts_of(data, 2)
    image = manifest_from_bytes(second) if second else None
    old = Earlier(read_expected(first, "m"), image)
    with contextlib.suppress(OcclumError):
        check_measurement(read_expected(first, "m"), with_entries(_measured(), image), "m")
    check_expected("11" * 32, _measured(), lambda: old, {"entries": []})


def oci_settings(data: bytes) -> None:
    """Lines of a bundle: `a NAME=VALUE` annotations, `e NAME=VALUE` variables, and its options."""
    lines = [line.partition(" ") for line in data.decode("utf-8", "replace").split("\n")]
    given = {kind: [text for one, _, text in lines if one == kind] for kind, _, _ in lines}
    annotations = dict(one.split("=", 1) for one in given.get("a", []) if "=" in one)
    env, report = given.get("e", []), Report()
    read_settings(annotations, env, report)

    def last(kind: str, default: str = "") -> str:
        return given.get(kind, [default])[-1]

    spec = BundleSpec(
        last("runtime", "occlum"),
        tuple(given.get("arg", ())),
        tuple(env),
        last("cwd"),
        last("path"),
        tuple(given["pal"]) if "pal" in given else None,
        last("log"),
        last("ra"),
        last("spid"),
        annotations,
    )
    root = root_of({"/run/rune/occlum_instance/build/lib/x.so": b"x", "/bin/app": program()})
    container = container_of(spec, root, report, programs=root, entry_points=["/bin"])
    told((*report.errors, *report.warnings))
    json.loads(config_json(container))


def dpkg(data: bytes) -> None:
    """The database of a sysroot's dpkg, and the order of all versions in it."""
    status, diversions, listed = parts_of(data, 3)
    database = "/var/lib/dpkg"
    view = MemoryView(
        {
            f"{database}/status": status,
            f"{database}/diversions": diversions,
            f"{database}/info/a.list": listed,
            f"{database}/info/b:amd64.list": b"/bin/app\n",
            "/lib": "-> usr/lib",
        }
    )
    found = packages_of(view, ["/bin/app", "/usr/lib/x", "/etc/x"])
    versions = sorted(map(DebianVersion, found.versions.values()))
    if any(later < earlier for earlier, later in zip(versions, versions[1:])):
        raise AssertionError("the order is none")


def version_header(data: bytes) -> None:
    """The header of a toolchain that names its version."""
    check_version(parse_version(data.decode("utf-8", "replace")), "")


def image_files(data: bytes) -> None:
    """Text files of an image that the checks read: scripts and configurations of run times."""
    first, second, third = parts_of(data, 3)
    paths: dict[str, bytes | ElfFacts | Malformed | Archive | str | None] = {
        "/bin/script": first,
        "/usr/bin/other": third,
        "/etc/nginx/nginx.conf": second,
        "/etc/odbcinst.ini": second,
        "/etc/php/8.2/cli/php.ini": second,
        "/etc/my.cnf": third,
        "/etc/redis/redis.conf": third,
        "/etc/ssl/openssl.cnf": second,
        "/etc/nsswitch.conf": third,
        "/etc/apache2/apache2.conf": second,
        "/usr/sbin/nginx": program("libc.so.6"),
        "/usr/bin/php8.2": program("libc.so.6"),
        "/usr/bin/python3.11": program("libc.so.6"),
        "/usr/bin/redis-server": program("libc.so.6"),
        "/usr/sbin/apache2": program("libc.so.6"),
        "/lib/x86_64-linux-gnu/libc.so.6": library(),
    }
    told(check_image(root_of(paths, {"/bin/script": 0o755})))
