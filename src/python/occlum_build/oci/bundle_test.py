from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from occlum_build.checks.root import Root
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.errors import OcclumError, Report
from occlum_build.image.testing import library, program
from occlum_build.oci.bundle import BundleSpec, container_of
from occlum_build.oci.config import Container
from occlum_build.oci.rootfs import INSTANCE_PATH
from occlum_build.oci.settings import ARGS, LOG_LEVEL, PATH, TYPE

SIGNED = f"{INSTANCE_PATH}/build/lib/libocclum-libos.signed.so"
OCCLUM = root_of({f"/{SIGNED}": b"", "/app": None, "/var/run": "-> ../run"})
PROGRAMS = root_of(
    {
        GLIBC_LOADER: library(),
        "/bin/app": program(),
        "/bin/link": "-> /bin/app",
        "/bin/static": ElfFacts("ET_EXEC", "EM_X86_64", 64),
        "/bin/script": b"#!/bin/app -x\n",
        "/bin/data": b"data",
        "/usr/app": program(),
        "/etc": None,
    },
    {"/bin/script": 0o755},
)
ENTRY_POINTS = ("/bin", "/etc")
SPEC = BundleSpec("occlum", ("/bin/app",))


def _check(spec: BundleSpec, rootfs: Root = OCCLUM) -> tuple[Container, Report]:
    report = Report()
    container = container_of(spec, rootfs, report, programs=PROGRAMS, entry_points=ENTRY_POINTS)
    return container, report


def _container(spec: BundleSpec, rootfs: Root = OCCLUM) -> Container:
    container, report = _check(spec, rootfs)
    report.raise_errors()
    return container


def test_occlum() -> None:
    container = _container(replace(SPEC, env=("A=b",)))
    assert container.cwd == "/run/rune"
    assert container.env == ("A=b",)
    assert container.annotations == {
        TYPE: "intelSgx",
        PATH: "/opt/occlum/build/lib/libocclum-pal.so",
        ARGS: "occlum_instance",
        LOG_LEVEL: "info",
    }


@pytest.mark.parametrize(
    ("cwd", "args"),
    [
        ("/run/rune/occlum_instance", ("./",)),
        ("/var/run/rune", ("occlum_instance",)),
        ("/app", ("/run/rune/occlum_instance",)),
        ("/app", ("../run/rune/occlum_instance",)),
    ],
)
def test_directories_that_lead_to_the_instance(cwd: str, args: tuple[str, ...]) -> None:
    assert _container(replace(SPEC, cwd=cwd, runtime_args=args)).cwd == cwd


def test_variables_of_rune_become_annotations() -> None:
    env = ("ENCLAVE_RUNTIME_LOGLEVEL=trace", "A=b")
    container = _container(replace(SPEC, env=env))
    assert container.annotations[LOG_LEVEL] == "trace"
    assert container.env == ("A=b",)


def test_plain_container() -> None:
    container = _container(BundleSpec("runc", ("/bin/link",), annotations={"a.b": "c"}))
    assert (container.cwd, container.annotations) == ("/", {"a.b": "c"})


@pytest.mark.parametrize(
    ("runtime", "files"),
    [
        ("wamr", ("run/rune/enclave.signed.so", "run/rune/hello.aot")),
        ("skeleton", ("run/rune/encl.bin", "run/rune/encl.ss")),
    ],
)
def test_files_that_a_runtime_needs(runtime: str, files: tuple[str, ...]) -> None:
    spec = BundleSpec(runtime, ("hello",))
    container = _container(spec, root_of({f"/{file}": b"" for file in files}))
    assert container.annotations[ARGS] == "debug"

    _, report = _check(spec, root_of({f"/{files[0]}": b""}))
    (problem,) = report.errors
    assert problem.message.startswith(f"{runtime} needs ")


def test_nitro() -> None:
    args = ("image=/root/hello.eif", "memory=256", "vcpus=2")
    container = _container(BundleSpec("nitro", ("hello",), runtime_args=args))
    assert container.annotations[TYPE] == "AwsNitroEnclaves"
    assert container.annotations[ARGS] == "image=/root/hello.eif,memory=256,vcpus=2"

    _, report = _check(BundleSpec("nitro", ("hello",)))
    assert not report.errors
    assert [problem.message for problem in report.warnings] == ["nitro is given no arguments"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cwd": "run"}, "the working directory run must be absolute"),
        ({"cwd": "/app"}, "no instance with a signed enclave in /app/occlum_instance"),
        ({"cwd": "/nowhere"}, "there is no working directory /nowhere"),
        ({"runtime_args": ("a,b",)}, "'a,b' would not arrive as one"),
        ({"runtime_args": ("a b",)}, "'a b' would not arrive as one"),
        ({"runtime_args": ("",)}, "'' would not arrive as one"),
        ({"runtime_args": ("occlum_instance", "debug")}, "must be the instance directory alone"),
        ({"runtime_args": ()}, "must be the instance directory alone"),
        ({"args": ()}, "there is no program to run"),
        ({"args": ("app",)}, "must be an absolute path inside the enclave"),
        ({"args": ("/bin/other",)}, "there is no program /bin/other in the image"),
        ({"args": ("/etc",)}, "the program /etc is a directory"),
        ({"args": ("/bin/data",)}, "the program /bin/data has no execute bit"),
        ({"args": ("/bin/static",)}, "the program /bin/static is not position-independent"),
        ({"args": ("/bin/script",)}, "the program /bin/script starts with `#!/bin/app -x`: the"),
        ({"args": ("/usr/app",)}, "the program /usr/app is below no entry point: /bin, /etc"),
        ({"env": ("A",)}, "the variable 'A' must be written as NAME=value"),
        ({"env": ("A=1", "A=2")}, "the variable A is set twice"),
        ({"env": ("ENCLAVE_TYPE=Jailhouse",)}, "sets ENCLAVE_TYPE to 'Jailhouse'"),
        ({"annotations": {TYPE: "intelSgx"}}, "made from the bundle's own settings"),
        ({"log_level": "verbose"}, "the log level verbose is unknown"),
        ({"ra_type": "epidLinkable"}, "needs an SPID"),
    ],
)
def test_refused(changed: dict[str, Any], message: str) -> None:
    _, report = _check(replace(SPEC, **changed))
    assert any(message in problem.message for problem in report.errors), report.errors


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("/bin/static", ""),
        ("/bin/script", ""),
        ("/usr/app", ""),
        ("app", ""),
        ("/bin/other", "there is no program /bin/other in the image"),
        ("/bin/data", "the program /bin/data has no execute bit"),
    ],
)
def test_the_program_of_a_plain_container(program: str, message: str) -> None:
    _, report = _check(BundleSpec("runc", (program,)))
    assert [one.message.startswith(message) for one in report.errors] == [True] * bool(message)


def test_a_log_level_that_occlum_may_not_know() -> None:
    _, report = _check(replace(SPEC, log_level="warning"))
    assert [problem.message for problem in report.warnings] == [
        "the log level warning is rune's; Occlum may know it by another name"
    ]


@pytest.mark.parametrize("env", [(), ("OCCLUM_RELEASE_ENCLAVE=1",)])
def test_a_release_enclave(env: tuple[str, ...]) -> None:
    report = Report()
    spec = replace(SPEC, env=env)
    container_of(
        spec, OCCLUM, report, programs=PROGRAMS, entry_points=ENTRY_POINTS, is_release=True
    )
    assert bool(report.warnings) == (not env)


def test_an_unknown_runtime() -> None:
    with pytest.raises(OcclumError, match="graphene is no runtime") as error:
        _check(replace(SPEC, runtime="graphene"))
    assert error.value.code == "usage"
