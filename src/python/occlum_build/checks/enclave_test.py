"""What of an image and an Occlum.json together the libOS refuses, and what it takes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from occlum_build.checks.enclave import check_enclave, entry_points_of, start_problem
from occlum_build.checks.image import check_image
from occlum_build.checks.root import Root
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER
from occlum_build.errors import ERROR, NOTE, WARNING, Problem
from occlum_build.image.testing import Files, library, program
from occlum_build.sgx.config import check, default_config, merge, parse_json

DIRECTORIES: Files = dict.fromkeys(
    ("/bin", "/dev", "/etc", "/host", "/lib", "/proc", "/root", "/tmp"), None
)
MUSL = program(interpreter=MUSL_LOADER)
GLIBC = program("libc.so.6")
STATIC = ElfFacts("ET_EXEC", "EM_X86_64", 64)
IMAGE: Files = {**DIRECTORIES, MUSL_LOADER: library(), "/bin/app": MUSL}
ROOT_MOUNT = {
    "type": "unionfs",
    "target": "/",
    "options": {
        "layers": [
            {"type": "sefs", "target": "/", "source": "image", "options": {"MAC": ""}},
            {"type": "sefs", "target": "/", "source": "changes"},
        ]
    },
}


def image(files: Files, *left_out: str, modes: Mapping[str, int] | None = None) -> Root:
    kept = {path: entry for path, entry in {**IMAGE, **files}.items() if path not in left_out}
    return root_of(kept, {**dict.fromkeys(kept, 0o755), **(modes or {})})


def found(
    root: Root,
    patch: Mapping[str, Any] | None = None,
    *,
    mounts_image: bool = True,
    strict: bool = False,
    of_image: Collection[Problem] | None = None,
) -> list[Problem]:
    document = merge(default_config(), parse_json(json.dumps(patch or {}).encode(), "p"))
    config = check(document).config
    return check_enclave(
        root, document, config, mounts_image=mounts_image, strict=strict, of_image=of_image
    )


def with_mounts(*mounts: Mapping[str, Any]) -> dict[str, Any]:
    return {"mount": [ROOT_MOUNT, *mounts]}


def test_a_whole_image_is_taken() -> None:
    assert found(image({})) == []
    assert found(image({"/bin": "-> usr/bin", "/usr/bin/x": MUSL}, "/bin/app")) == []
    assert found(image({"/host": "-> mnt", "/mnt": None})) == []


def test_directories_that_the_boot_needs_are_told_in_one_line() -> None:
    (problem,) = found(image({}, "/dev", "/proc", "/host", "/etc"))
    assert (problem.code, problem.severity) == ("libos-mount", WARNING)
    assert problem.message == (
        "the libOS fails at boot, as the image lacks directories for it: /proc (procfs), "
        "/dev (devfs), /host (hostfs of $.mount[1]), /etc (hosts and resolv.conf)"
    )
    assert "`mkdirs: [proc, dev, host, etc]`" in problem.hint
    assert str(problem.place).startswith("(default Occlum.json):")
    (strict,) = found(image({}, "/dev"), strict=True)
    assert strict.severity == ERROR


@pytest.mark.parametrize("kind", ["ramfs", "hostfs", "sefs", "ext2"])
def test_mount_points_that_are_none(kind: str) -> None:
    options = {"options": {"disk_size": "5GB"}} if kind == "ext2" else {}
    mount = {"type": kind, "source": "s", **options}
    root = image({"/sbin/mke2fs": MUSL, "/loop": "-> loop"})
    for target, lacking in (("/nosuch/dir", "/nosuch/dir"), ("/tmp/x/", "/tmp/x"), ("/loop",) * 2):
        (problem,) = found(root, with_mounts({**mount, "target": target}))
        assert f"directories for it: {lacking} ({kind} of $.mount[1])" in problem.message
        assert str(problem.place).startswith("p:1:")
    (problem,) = found(root, with_mounts({**mount, "target": "/bin/app"}))
    assert problem.message == (
        "$.mount[1].target: '/bin/app' is a file of the image, and no directory to mount on: "
        "the boot fails"
    )


def test_mount_points_in_other_mounts() -> None:
    def mounts(*targets: tuple[str, str]) -> dict[str, Any]:
        return with_mounts(*({"type": t, "target": at, "source": "s"} for t, at in targets))

    # Only what is in an empty file system is certain to be absent.
    (problem,) = found(image({}), mounts(("ramfs", "/tmp"), ("hostfs", "/tmp/in")))
    assert "'/tmp/in' lies in the ramfs on /tmp, which is empty at boot" in problem.message
    for kind in ("hostfs", "sefs"):
        assert found(image({}), mounts((kind, "/tmp"), ("ramfs", "/tmp/in"))) == []
    assert found(image({}), mounts(("ramfs", "/dev/shm"), ("ramfs", "/dev/shm/x"))) == []
    assert found(image({}), mounts(("ramfs", "/tmp"), ("ramfs", "/tmp"))) == []
    assert len(found(image({}), mounts(("hostfs", "/tmp/in"), ("ramfs", "/tmp")))) == 1


def test_entry_points_that_the_image_lacks() -> None:
    (problem,) = found(image({}), {"entry_points": ["/nowhere"]})
    assert (problem.severity, problem.code) == (ERROR, "libos-entry-point")
    assert problem.message == "$.entry_points: the image has no '/nowhere': nothing can be run"
    (problem,) = found(image({}), {"entry_points": ["/bin", "/nowhere", "/opt"]})
    assert problem.severity == WARNING
    assert problem.message == "$.entry_points: the image has no '/nowhere', '/opt'"
    # The default is nobody's choice, and programs may be elsewhere.
    (problem,) = found(image({"/usr/bin/app": MUSL}, "/bin", "/bin/app"))
    assert problem.severity == WARNING
    assert problem.message.endswith("the image has no '/bin': nothing can be run")
    # What will be in a file system of the host is not known.
    assert found(image({}), {"entry_points": ["/host/bin"]}) == []
    (problem,) = found(image({}), {"entry_points": ["/nowhere"]}, mounts_image=False)
    assert problem.severity == WARNING


def test_an_entry_point_that_is_refused() -> None:
    root = image({"/app/static": STATIC, "/app/run": b"#!/bin/app -x\n"})
    problems = found(root, {"entry_points": ["/app/static", "/bin/app", "/app/run"]})
    assert [(one.severity, one.code) for one in problems] == [(ERROR, "libos-program")] * 2
    assert problems[0].message.startswith(
        "$.entry_points[0]: '/app/static' is not position-independent"
    )
    assert problems[1].message.startswith("$.entry_points[2]: '/app/run' starts with")


def test_programs_that_are_refused_are_told_once_for_each_reason() -> None:
    files: Files = {
        "/bin/a": STATIC,
        "/bin/b": STATIC,
        "/bin/c": b"#!/bin/app -x\n",
        "/bin/d": b"#!/usr/bin/env python3\n",
        "/bin/data": b"data",
        "/bin/lib.so": replace(library(), soname="lib.so"),
        "/bin/plugin": library("libc.so"),
        "/bin/off": STATIC,
        "/usr/env": MUSL,
        "/usr/bin/env": MUSL,
        "/opt/static": STATIC,
    }
    problems = found(image(files, modes={"/bin/off": 0o644}))
    assert [(one.severity, one.code) for one in problems] == [(WARNING, "libos-program")] * 2
    assert problems[0].message == (
        "/bin/a is not position-independent (ET_EXEC), and the libOS starts only what is; "
        "likewise 1 more: /bin/b"
    )
    assert problems[1].message.startswith("/bin/c starts with `#!/bin/app -x`: the libOS takes all")


def test_scripts_of_another_place_are_a_note() -> None:
    files: Files = {f"/bin/{name}": b"#!/build/bin/python\n" for name in ("pip", "wheel")}
    (problem,) = found(image(files))
    assert (problem.severity, problem.code) == (NOTE, "interpreter")
    assert problem.message == (
        "/bin/pip starts with `#!/build/bin/python`, but /build/bin/python is not in the image; "
        "likewise 1 more: /bin/wheel"
    )
    (problem,) = found(image({"/bin/x": program(interpreter="/lib/ld.so")}))
    assert (problem.severity, problem.code) == (WARNING, "interpreter")


def test_programs_of_another_glibc() -> None:
    files: Files = {"/bin/cat": GLIBC, GLIBC_LOADER: library()}
    (problem,) = found(image(files))
    assert (problem.code, problem.severity) == ("loader", WARNING)
    assert "as /bin/cat does" in problem.message
    assert found(image({**files, "/opt/occlum/glibc/lib/libc.so.6": library()})) == []


ARM = replace(MUSL, machine="EM_AARCH64")


@pytest.mark.parametrize(
    ("files", "code"),
    [({"/bin/arm": ARM}, "program"), ({"/bin/run": b"#!\n"}, "interpreter")],
)
def test_what_is_told_of_the_image_is_not_told_again(files: Files, code: str) -> None:
    root = image(files)
    of_image = check_image(root)
    assert [one.code for one in of_image] == [code]
    assert [one.code for one in found(root)] == [code]
    assert found(root, of_image=of_image) == []


def test_what_is_not_told_of_the_image_is_told() -> None:
    loop: Files = {"/bin/run": b"#!/bin/run\n"}
    (problem,) = found(image(loop), of_image=[])
    assert problem.code == "interpreter"
    glibc: Files = {"/bin/cat": GLIBC, GLIBC_LOADER: library()}
    (problem,) = found(image(glibc), of_image=[])  # planned with a loader config
    assert problem.code == "loader"
    assert found(image(glibc), of_image=[problem]) == []
    patch = {"entry_points": ["/bin/app"]}
    no_bit = image({}, modes={"/bin/app": 0o644})
    (problem,) = found(no_bit, patch, of_image=check_image(no_bit), mounts_image=False)
    assert (problem.code, problem.severity) == ("program", WARNING)


def test_ext2_needs_a_program_that_makes_it() -> None:
    mount = {"type": "ext2", "target": "/tmp", "options": {"disk_size": "5GB"}}
    (problem,) = found(image({}), with_mounts(mount))
    assert problem.code == "ext2"
    assert problem.message.endswith("the program to make it, /sbin/mke2fs, is not in the image")
    assert found(image({"/sbin/mke2fs": MUSL}), with_mounts(mount)) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/bin/app", ""),
        ("/bin//./app", ""),
        ("/bin/static", "the program /bin/static is not position-independent (ET_EXEC)"),
        ("/bin/gone", "there is no program /bin/gone in the image"),
        ("/usr/app", "the program /usr/app is below no entry point: /bin, /opt/x"),
        ("/binary/app", "the program /binary/app is below no entry point: /bin, /opt/x"),
        ("/opt/x", ""),
        ("/bin/../bin/app", "the program /bin/../bin/app has `..` in its path"),
    ],
)
def test_the_program_that_is_started(path: str, message: str) -> None:
    root = image({"/bin/static": STATIC, "/usr/app": MUSL, "/binary/app": MUSL, "/opt/x": MUSL})
    problem = start_problem(root, path, ["/bin", "/opt/x"])
    assert (problem.message if problem else "").startswith(message)
    assert bool(problem) == bool(message)


def test_entry_points_of_any_json() -> None:
    config = check(default_config()).config
    for text, expected in (
        (b'["/bin", "x", 5]', ["/bin"]),
        (b"7", []),
        (b"{}", []),
        (b"null", []),
    ):
        node = parse_json(text, "p")
        assert entry_points_of(replace(config, entry_points=node)) == expected
        check_enclave(image({}), node, replace(config, entry_points=node), mounts_image=True)


def test_libraries_that_only_the_environment_leads_to() -> None:
    files: Files = {
        "/bin/app": program("libx.so", interpreter=MUSL_LOADER),
        "/opt/libx.so": library(),
    }
    (problem,) = found(image(files))
    assert (problem.code, problem.severity) == ("library-elsewhere", WARNING)
    env = {"env": {"default": ["LD_LIBRARY_PATH=/opt"], "untrusted": []}}
    assert found(image(files), env) == []


def test_what_the_environment_names_and_the_image_lacks() -> None:
    env = {"env": {"default": ["TZ=Europe/Berlin", "no variable"], "untrusted": []}}
    (problem,) = found(image({}), env)
    assert (problem.code, problem.severity) == ("runtime-timezone", WARNING)
    assert found(image({"/usr/share/zoneinfo/Europe/Berlin": b"TZif"}), env) == []


def test_entry_points_that_a_mount_hides() -> None:
    for target, is_told in (("/bin", True), ("/bin/sub", False), ("/tmp", False)):
        root = image({"/bin/sub": None})
        told = found(root, with_mounts({"type": "ramfs", "target": target}))
        assert [one.code for one in told] == ["libos-entry-point"] * is_told
    (problem,) = found(image({}), with_mounts({"type": "ramfs", "target": "/bin"}))
    assert "'/bin' lies in the ramfs on '/bin', which is empty at boot" in problem.message
