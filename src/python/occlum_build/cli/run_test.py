from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.run.testing import make_image, write_config


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("run"))


def run(*arguments: object) -> int:
    """The exit code of the verb; a program's own comes by SystemExit."""
    try:
        return main(["run", *map(str, arguments)])
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


def test_a_program_and_what_is_said_once(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(image, "--env", "A=b c", "--", "/bin/bash", "-c", "echo $A; exit 9") == 9
    told = capfd.readouterr()
    assert told.out == "b c\n"
    assert told.err == (
        "note: this is no enclave: /bin/bash runs on the kernel of this machine, in the open, and "
        "with the image read-only (--writable: what is written is thrown away)\n"
    )


def test_options_of_the_program_are_its_own(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(image, "--", "/bin/greet", "--help", "--", "-x") == 0
    assert capfd.readouterr().out == "hello --help\n"


def test_writable(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = "echo x > /new && cat /new"
    assert run(image, "--writable", "--", "/bin/bash", "-c", f"PATH=/bin; {script}") == 0
    assert capfd.readouterr().out == "x\n"
    assert not (image / "new").exists()


def test_a_configuration_holds(
    image: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXAMPLE", "outside")
    monkeypatch.setenv("OTHER", "outside")
    (tmp_path / "seen").write_text("")
    env = {"default": ["PATH=/bin"], "untrusted": ["EXAMPLE"]}
    config = write_config(tmp_path / "Occlum.json", env=env)
    script = "ls /host; ulimit -v; echo $EXAMPLE/$OTHER/$OCCLUM"
    assert run("--config", config, image, "--", "/bin/bash", "-c", script) == 0
    assert capfd.readouterr().out == f"Occlum.json\nseen\n{300 << 10}\noutside//\n"
    assert run(image, "--config", config, "--env", "OTHER=x", "--", "/bin/bash") == 1
    assert "the enclave takes no OTHER from outside" in capfd.readouterr().err
    config = write_config(tmp_path / "other.json", entry_points=["/opt"])
    assert run(image, "--config", config, "--", "/bin/ls") == 1
    assert "below no entry point: /opt" in capfd.readouterr().err


def test_a_program_that_cannot_be_loaded_in_its_memory(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = {
        "user_space_size": "2MB",
        "kernel_space_heap_size": "1MB",
        "kernel_space_stack_size": "64KB",
        "max_num_of_threads": 4,
    }
    config = write_config(tmp_path / "Occlum.json", resource_limits=limits)
    assert run(image, "--config", config, "--", "/bin/bash", "-c", ":") == 127
    assert capfd.readouterr().err.endswith(
        "note: /bin/bash ended with 127, as what cannot be loaded; it had an address space of "
        "2,097,152 bytes\n"
        "  hint: if that is too little, make the user space larger in `resource_limits` of "
        "Occlum.json\n"
    )


def test_an_instance_has_its_configuration(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.symlink(image, tmp_path / "image")
    write_config(tmp_path / "Occlum.json")
    (tmp_path / "given").write_text("x\n")
    assert run(tmp_path, "--", "/bin/cat", "/host/given") == 0
    assert capfd.readouterr().out == "x\n"


def test_what_the_image_lacks_is_told(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mounts = json.loads(write_config(tmp_path / "default.json").read_text())["mount"]
    mounts.append({"type": "ramfs", "target": "/absent"})
    config = write_config(tmp_path / "Occlum.json", mount=mounts)
    assert run(image, "--config", config, "--", "/bin/ls", "/absent") == 2
    assert (
        "warning: the image lacks directories to mount on, so this is not mounted: /absent\n"
        in (capfd.readouterr().err)
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["IMAGE"], 1, "no program is named after `--`\n  hint: occlum-build run IMAGE -- /bin/"),
        (["IMAGE", "/bin/ls"], 2, "unrecognized arguments: /bin/ls"),
        (["--", "/bin/ls"], 2, "the following arguments are required: IMAGE"),
        (["IMAGE", "--env", "=x", "--", "/bin/ls"], 1, "--env takes NAME=VALUE, not =x"),
        (["/gone", "--", "/bin/ls"], 1, "there is no /gone"),
        (["IMAGE", "--root", "/x", "--", "/bin/ls"], 1, "--root and --alone go with --trace"),
        (["IMAGE", "--alone", "--", "/bin/ls"], 1, "--root and --alone go with --trace"),
        (["IMAGE", "--", "/bin/sleeep"], 248, "hint: did you mean /bin/sleep?"),
        (["IMAGE", "--", "/bin/ls", "a\0b"], 2, "a character that no name of a file can have"),
        (["IMAGE", "--config", "/gone", "--", "/bin/ls"], 1, "/gone cannot be read"),
    ],
)
def test_mistakes(
    image: Path,
    arguments: list[str],
    code: int,
    told: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = [str(image) if one == "IMAGE" else one for one in arguments]
    assert run(*given) == code
    assert told in capfd.readouterr().err
