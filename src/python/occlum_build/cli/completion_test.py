"""The scripts are those of the command line as it is, and real shells complete by them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from occlum_build.cli import main
from occlum_build.cli.completion import SHELLS, read_script
from occlum_build.cli.testing_completion import SCRIPTS, script

# Calls what bash calls at a tab, and prints what it would offer.
BASH = """
source "$1"
shift
read -r -a registered <<<"$(complete -p occlum-build)"
function=${registered[-2]}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
"$function" occlum-build "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_made_of_the_command_line(shell: str) -> None:
    """Where it fails: python -m occlum_build.cli.testing_completion"""
    assert (SCRIPTS / f"occlum-build.{shell}").read_text(encoding="utf-8") == script(shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed_as_it_is(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    assert capsys.readouterr().out.encode() == read_script(shell)


def offered(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    path = folder / "script"
    path.write_bytes(read_script("bash"))
    command = [bash, "--norc", "-c", BASH, "bash", str(path), "occlum-build", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_completes_every_verb(tmp_path: Path) -> None:
    assert sorted(offered(tmp_path, "")) == sorted(main.VERBS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ver"], ["verify"]),
        (["sefs", ""], ["zip", "unzip", "ls", "verify"]),
        (["schema", "occ"], ["occlum-json"]),
        (["completion", ""], list(SHELLS)),
        (["copy-bom", "--lo"], ["--loader-config"]),
        (["copy-bom", "--cpu-level", "v"], ["v2", "v3", "v4"]),
        (["copy-bom", "-f", "bo"], ["bom.yaml"]),
        (["copy-bom", "--root", ""], ["image"]),
        (["verify", "ima"], ["image"]),
        (["packages", "lock", "--d"], ["--diff"]),
    ],
)
def test_bash_completes_options_choices_and_files(
    tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    (tmp_path / "bom.yaml").touch()
    (tmp_path / "image").mkdir()
    assert offered(tmp_path, *words) == expected
