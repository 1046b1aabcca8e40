"""Mistakes of users: ./pants tells the line, the target and what to do, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pants_runner import PantsResult, PantsRunner, pants_runner
from sysroot_of_app import make_sysroot

BUILD = """
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
files(name="files", sources=["*.sh"])
"""


@dataclass(frozen=True)
class Mistake:
    """A BOM in a directory with hello.sh and other.sh; `place` is what follows `bom.yaml:`."""

    bom: str
    place: str
    message: str
    hint: str = ""
    options: tuple[str, ...] = ()


MISTAKES = {
    "wrong_file_name": Mistake(
        "targets:\n- target: /bin\n  copy:\n  - files: [../helo.sh]\n",
        "4:13",
        "there is no file mistakes/wrong_file_name/helo.sh",
    ),
    "file_without_owner": Mistake(
        "targets:\n- target: /bin\n  copy:\n  - files: [../BUILD]\n",
        "4:13",
        "there is no file mistakes/file_without_owner/BUILD",
        # The BUILD file has a target `files` already.
        'add files(name="files2", sources=["BUILD"]) to mistakes/file_without_owner/BUILD',
    ),
    "undefined_variable": Mistake(
        'targets:\n- target: /bin\n  copy:\n  - files: ["${HOME_OF_APP}/hello.sh"]\n',
        "4:13",
        "variable 'HOME_OF_APP' is not defined",
        "${HOME_OF_APP:-value}",
    ),
    "unknown_key": Mistake(
        "targets:\n- target: /bin\n  cpoy: [{files: [../hello.sh]}]\n",
        "3:3",
        "unknown key 'cpoy'",
        "did you mean 'copy'?",
    ),
    "override": Mistake(
        "targets:\n- target: /bin\n  copy:\n  - files: [../hello.sh]\n"
        "  - files: [{name: ../other.sh, rename: hello.sh}]\n",
        "5:20",
        "overrides what mistakes/override/bom.yaml:4:13 puts at /bin/hello.sh",
        options=("--occlum-conflicts=error",),
    ),
    "conflict_of_types": Mistake(
        "targets:\n- target: /bin\n  mkdirs: [hello.sh]\n  copy:\n  - files: [../hello.sh]\n",
        "5:13",
        "the file /bin/hello.sh cannot take the place of the directory at "
        "mistakes/conflict_of_types/bom.yaml:3:12",
        "give one of them another path",
    ),
    "missing_include": Mistake(
        "includes: [../common/bom.yaml]\n",
        "1:12",
        "include '../common/bom.yaml' was not found",
        "searched: mistakes/common",
    ),
}


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants")) as runner:
        yield runner


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(pants: PantsRunner, name: str) -> None:
    mistake = MISTAKES[name]
    result = _package(pants, name, mistake.bom, *mistake.options)

    _expect_error(result, f"mistakes/{name}:image")
    (line,) = (line for line in result.stderr.splitlines() if mistake.message in line)
    assert line.startswith(f"mistakes/{name}/bom.yaml:{mistake.place}: ")
    hint = result.stderr.partition(line)[2].splitlines()[1]
    assert not mistake.hint or mistake.hint in hint.partition("  hint: ")[2]


def test_override_is_a_warning_by_default(pants: PantsRunner) -> None:
    mistake = MISTAKES["override"]
    result = _package(pants, "warned", mistake.bom).expect(0)

    (line,) = (line for line in result.stderr.splitlines() if "overrides" in line)
    assert "[WARN] mistakes/warned:image: mistakes/warned/bom.yaml:5:20: overrides what" in line


def test_missing_library(pants: PantsRunner) -> None:
    sysroot = make_sysroot(pants.top / "sysroot")
    sysroot.library.unlink()
    name, bom = "missing_library", "targets:\n- {target: /bin, copy: [{files: [/bin/app]}]}\n"
    result = _package(pants, name, bom, f"--occlum-sysroot={sysroot.top}")

    _expect_error(result, f"mistakes/{name}:image")
    place = f"mistakes/{name}/bom.yaml:2:34"
    assert (
        f"{place}: /bin/app: library libapp.so is missing\n  needed by: /bin/app" in result.stderr
    )
    assert "  searched:\n    1. /lib/libapp.so (" in result.stderr


def _package(pants: PantsRunner, name: str, bom: str, *options: str) -> PantsResult:
    directory = f"mistakes/{name}"
    pants.write(f"{directory}/BUILD", BUILD)
    pants.write(f"{directory}/bom.yaml", bom)
    pants.write(f"{directory}/hello.sh", "#!/bin/sh\necho hello\n")
    pants.write(f"{directory}/other.sh", "#!/bin/sh\necho other\n")
    return pants.run(*options, "package", f"{directory}:image")


def _expect_error(result: PantsResult, address: str) -> None:
    result.expect(1)
    assert f"{address} cannot be built, " in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
