"""What a script does is followed to where it does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.switch.plan import Plan, plan
from occlum_build.switch.tree import look

BOM = "targets: [{target: /bin, copy: [{from: ../build, files: [hello]}]}]\n"
NEW = "occlum new occlum_instance\ncd occlum_instance\nrm -rf image\n"
FILL = "copy_bom -f ../bom.yaml --root image\n"


def planned(root: Path, script: str) -> Plan:
    (root / "build").mkdir(exist_ok=True)
    (root / "build/hello").write_text("")
    (root / "bom.yaml").write_text(BOM)
    (root / "run.sh").write_text(script)
    return plan(look(root, root))


def build_file(found: Plan) -> str:
    (one,) = found.files
    return one.text


def told(found: Plan) -> list[tuple[int, str]]:
    return [(one.line, one.why) for one in found.told]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "(cd src && make)",
        "( cd src; case $1 in a) make;; esac; )",
        'x="$(cd src && jq . a.json)"',
        "pushd src; (cd other; pushd more); popd",
    ],
)
def test_a_subshell_leaves_the_working_directory(tmp_path: Path, elsewhere: str) -> None:
    found = planned(tmp_path, f"{elsewhere}\n{NEW}{FILL}")
    assert 'occlum_bom(name="bom", source="bom.yaml")\n' in build_file(found)
    assert 'sources=["build/hello"]' in build_file(found)
    assert told(found) == []


def test_functions_of_bash_get_their_arguments(tmp_path: Path) -> None:
    script = f"function make {{\nocclum new $1\ncd $1\nrm -rf image\n{FILL}cd ..\n}}\nmake one\nmake two\n"
    (instances,) = ([one.line for one in found.enclaves] for found in [planned(tmp_path, script)])
    assert instances == [2]


@pytest.mark.parametrize("directory", ["$1", "${1:-occlum_instance}", "/root/occlum_instance"])
def test_an_instance_whose_directory_cannot_be_told(tmp_path: Path, directory: str) -> None:
    script = f"""D={directory}
occlum new $D
cd $D
rm -rf image
mkdir -p image/tmp
cp ../hello image/bin
echo a > image/etc/a
cp ../b.json Occlum.json
{FILL}"""
    found = planned(tmp_path, script)
    assert 'occlum_files(name="image_directories", target="/", mkdirs=["tmp"])' in build_file(found)
    assert told(found) == [
        (6, "it changes the image"),
        (7, "it writes into the image"),
        (8, "the file is not there, or no Occlum.json"),
    ]


def test_a_project_in_a_directory_that_is_called_image(tmp_path: Path) -> None:
    script = f"mkdir image && cd image\n{NEW}mkdir -p image/tmp\ncopy_bom -f ../../bom.yaml --root image\n"
    assert 'mkdirs=["tmp"]' in build_file(planned(tmp_path, script))
