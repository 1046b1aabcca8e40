"""Scripts as people have them for Occlum, run with our `occlum` and `copy_bom` in place of its own.

Each script in demo_scripts/ is one idiom, in words of our own, and looks at the end whether it came
to what it is for. Around them are stand-ins for the toolchain, and for an installed Occlum's
`occlum`, which only writes down what it is given.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jq_stand_in import JQ
from toolchain.make_toolchain import make_toolchain

SCRIPTS = Path("testprojects/demo_scripts").resolve()
SOURCES = Path("src/python").resolve()
IDIOMS = sorted(path.stem for path in SCRIPTS.glob("*.sh"))
COMMANDS = {"occlum": "occlum_command", "copy_bom": "copy_bom_command"}
GREET_C = 'const char *greeting(void) { return "hello"; }\n'
HELLO_C = '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'
RUNTIME = '#!/bin/sh\necho "$#: $*" >>../runtime.log\n'
ATTESTATION = {
    "etc/ssl/certs/ca-certificates.crt": "",
    "opt/occlum/build/bin/init_grpc_ratls": "stand-in for init_grpc_ratls\n",
    "opt/occlum/etc/template/init_grpc_ratls.json": '{"kms_server": "", "kms_keys": []}\n',
    "opt/occlum/toolchains/grpc_ratls/musl/libgrpc_ratls_client.so": "",
    "opt/occlum/toolchains/grpc_ratls/musl/libhw_grpc_proto.so": "",
    "opt/occlum/toolchains/dcap_lib/musl/libocclum_dcap.so.0.1.0": "",
    "opt/occlum/toolchains/gcc/x86_64-linux-musl/lib/libcjson.so.1": "",
}


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _compile(source: Path, out: Path, *options: str) -> None:
    subprocess.run(["gcc", *options, "-o", out, source], check=True)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine with the commands in `bin`, the toolchain in `system`, and a user's `project`."""
    top = tmp_path_factory.mktemp("machine")
    if shutil.which("gcc") is None or shutil.which("bash") is None:
        pytest.skip("gcc or bash is not installed")
    make_toolchain(top / "system")
    for name, text in ATTESTATION.items():
        _program(top / "system" / name, text)
    _program(top / "system/opt/occlum/build/bin/occlum", RUNTIME)
    for command, module in COMMANDS.items():
        call = f'exec "{sys.executable}" -m occlum_build.cli.{module} "$@"'
        _program(top / "bin" / command, f"#!/bin/sh\n{call}\n")
    _program(top / "bin/jq", f"#!{sys.executable}\n{JQ}")
    project = top / "project"
    project.mkdir()
    for path in SCRIPTS.iterdir():
        shutil.copy2(path, project)
    (project / "hello.c").write_text(HELLO_C)
    (project / "greet.c").write_text(GREET_C)
    prefix = project / "prefix"
    for folder in ("bin", "lib", "share"):
        (prefix / folder).mkdir(parents=True)
    _compile(project / "hello.c", project / "hello")
    _compile(project / "greet.c", prefix / "lib/libgreet.so.1", "-shared", "-fPIC")
    _program(prefix / "bin/run.sh", "#!/bin/sh\nulimit -S -s 8192\nexec true\n")
    (prefix / "share/text").write_text("text\n")
    (prefix / "share/text.orig").write_text("old text\n")
    (prefix / "share/link").symlink_to("text")
    _program(project / "init/init", "#!/bin/sh\n")
    return top


def _run(machine: Path, script: str, work: Path) -> subprocess.CompletedProcess[str]:
    shutil.copytree(machine / "project", work, symlinks=True)
    return subprocess.run(
        ["bash", f"./{script}.sh"],
        cwd=work,
        env={
            "HOME": str(work),
            "LANG": "C.UTF-8",
            "OCCLUM_TOOLCHAIN": str(machine / "system/opt/occlum"),
            "PATH": f"{machine / 'bin'}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join([str(SOURCES), *sys.path]),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


PASSED: list[str] = []


@pytest.mark.parametrize("idiom", IDIOMS)
def test_idiom(idiom: str, machine: Path, tmp_path: Path) -> None:
    done = _run(machine, idiom, tmp_path / "work")
    assert done.returncode == 0, f"--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    assert "Traceback" not in done.stderr
    if idiom not in ("mistakes_end_the_script", "package_of_a_release"):
        assert "error: " not in done.stderr
    PASSED.append(idiom)


def test_a_script_ends_where_a_command_fails(machine: Path, tmp_path: Path) -> None:
    text = "set -e\nocclum new inst\ncd inst\necho x >Occlum.json\nocclum build\ntouch ../late\n"
    (machine / "project/broken.sh").write_text(text)
    done = _run(machine, "broken", tmp_path / "work")
    assert done.returncode == 1 and "error: Occlum.json:1:1: " in done.stderr
    assert not (tmp_path / "work/late").exists()


def test_count(capsys: pytest.CaptureFixture[str]) -> None:
    """The number for people to read; each idiom has a test of its own, and some may be left out."""
    with capsys.disabled():
        print(f"\n{len(PASSED)} of {len(IDIOMS)} idioms of Occlum's scripts")
    assert len(IDIOMS) >= 30
