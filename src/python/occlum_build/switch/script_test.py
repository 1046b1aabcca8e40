"""What a script does is followed to where it does it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlum_build.sgx.config import default_config
from occlum_build.sgx.config.jsontext import plain
from occlum_build.switch.images import with_braces
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
    body = f"occlum new $1\ncd $1\nrm -rf image\n{FILL}cd ..\n"
    script = f"function make {{\n{body}}}\nmake one\nmake two\n"
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
    fill = "copy_bom -f ../../bom.yaml --root image\n"
    script = f"mkdir image && cd image\n{NEW}mkdir -p image/tmp\n{fill}"
    assert 'mkdirs=["tmp"]' in build_file(planned(tmp_path, script))


def test_braces_and_modes_of_directories(tmp_path: Path) -> None:
    found = planned(
        tmp_path, f"{NEW}mkdir -p image/{{a,b/{{c,d}}}}\nmkdir -m 1777 image/tmp\n{FILL}"
    )
    assert 'mkdirs=["a", "b/c", "b/d", "tmp:1777"]' in build_file(found)
    assert told(found) == []


def test_braces_that_are_too_many_are_left_alone() -> None:
    assert with_braces("{a,b}" * 40) == ["{a,b}" * 40]
    assert with_braces("{a}{,b}c{") == ["{a}bc{", "{a}c{"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("dd if=/dev/zero of=image/zero", "it changes the image"),
        ("find ../build -exec cp {} image/lib \\;", "it changes the image"),
        ("find image -name '*.pyc' -delete", "it changes the image"),
        ("cp ../hello image/$1", "whether it changes the image cannot be told"),
        ("mkdir -p image/$1", "whether it changes the image cannot be told"),
        ("echo a > image/$1", "whether it changes the image cannot be told"),
        ("mkdir -m u=rwx image/a", "the mode of a directory cannot be told"),
    ],
)
def test_changes_that_are_told(tmp_path: Path, line: str, why: str) -> None:
    assert told(planned(tmp_path, f"{NEW}{line}\n{FILL}")) == [(4, why)]


@pytest.mark.parametrize("line", ["cp ../hello $1", "find image -name x", "echo $1 > ../log"])
def test_what_changes_no_image(tmp_path: Path, line: str) -> None:
    assert told(planned(tmp_path, f"{NEW}{line}\n{FILL}")) == []


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("cp ../hello image/bin", '{"target": "/bin", "copy": [{"files": ["../hello"]}]}'),
        ("cp $PWD/../hello image/bin", '{"target": "/bin", "copy": [{"files": ["../hello"]}]}'),
        (
            "cp -r /usr/lib/jvm image/usr",
            '{"target": "/usr", "copy": [{"dirs": ["/usr/lib/jvm"]}]}',
        ),
        ("cp -a ../build/hello image", '{"target": "/", "copy": [{"files": ["../build/hello"]}]}'),
        ("cp -t image ../hello", ""),
    ],
)
def test_a_line_of_a_bom_for_a_copy(tmp_path: Path, line: str, item: str) -> None:
    found = planned(tmp_path, f"{NEW}{line}\n{FILL}")
    due = "name it in a BOM of the image"
    assert [one.todo for one in found.told] == [f"{due}, as `- {item}`" if item else due]


@pytest.mark.parametrize("old", ["32", "false", "heap_size"])
def test_sed_that_changes_more_than_texts(tmp_path: Path, old: str) -> None:
    found = planned(tmp_path, f"{NEW}sed -i 's/{old}/64/g' Occlum.json\n{FILL}")
    assert told(found) == [(4, "sed changes keys or numbers, too")]
    assert "config" not in build_file(found)


def test_links_and_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/.hidden").write_text("")
    (tmp_path / "also").symlink_to("conf")
    (tmp_path / "link").symlink_to("conf/.hidden")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "other.yaml").symlink_to("bom.yaml")
    files = "[conf/.hidden, link, gone, also/.hidden]"
    bom = f"targets: [{{target: /, copy: [{{from: .., dirs: [also], files: {files}}}]}}]\n"
    (tmp_path / "own.yaml").write_text(bom)
    found = planned(tmp_path, f"{NEW}{FILL.replace('bom.yaml', 'own.yaml')}")
    assert 'files(name="files", sources=["conf/.hidden", "link"])' in build_file(found)
    assert "other.yaml" not in build_file(found)
    assert sorted(told(found)) == [
        (1, "also is a link to a directory, or below one"),
        (1, "also/.hidden is a link to a directory, or below one"),
        (1, "gone is not there"),
    ]


@pytest.mark.parametrize(
    "edit",
    [
        "jq '.a = 1' Occlum.json > t1\njq '.b = 2' t1 > Occlum.json",
        "jq '.a = 1' Occlum.json | jq '.b = 2' > t1; mv t1 Occlum.json",
        "x=$(jq '.a = 1' Occlum.json); x=$(echo $x | jq '.b = 2'); echo $x > Occlum.json",
        "jq '.a = 1 | .b = 2' Occlum.json > t1 && cp t1 Occlum.json",
        "jq '.a = 1 | .b = 2' < Occlum.json > t1 && mv -f t1 Occlum.json",
    ],
)
def test_edits_in_steps(tmp_path: Path, edit: str) -> None:
    found = planned(tmp_path, f"{NEW}{edit}\nocclum build\n{FILL}")
    assert 'config={"a": 1, "b": 2}' in build_file(found)
    assert [why for _, why in told(found) if "Occlum.json: " not in why] == []


def test_jq_of_another_file(tmp_path: Path) -> None:
    found = planned(tmp_path, f"{NEW}jq '.b = 2' ../a.json > b.json\njq .c < b.json\n{FILL}")
    assert "config" not in build_file(found) and told(found) == []


@pytest.mark.parametrize("line", ["wc -c < image/bin/a", "cat <<< image/a", "jq . <Occlum.json"])
def test_what_is_read_is_not_written(tmp_path: Path, line: str) -> None:
    assert told(planned(tmp_path, f"{NEW}{line}\n{FILL}")) == []


@pytest.mark.parametrize("there", ["cd - >/dev/null", "cd ~; cd $OLDPWD", "cd"])
def test_ways_to_go_back(tmp_path: Path, there: str) -> None:
    found = planned(tmp_path, f"cd src\n{there}\n{NEW}{FILL}")
    assert 'occlum_bom(name="bom", source="bom.yaml")\n' in build_file(found)


def test_what_is_written_between_the_steps_of_an_edit(tmp_path: Path) -> None:
    script = f"{NEW}jq '.a = 1' Occlum.json > t\necho > image/a\nmv t Occlum.json\n{FILL}"
    found = planned(tmp_path, script)
    assert (5, "it writes into the image") in told(found)


def test_files_beside_the_directory_that_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/a.yaml").write_text(BOM.replace("../build", "../.."))
    (tmp_path / "demo/run.sh").write_text(f"{NEW}{FILL.replace('bom.yaml', 'a.yaml')}")
    (tmp_path / "hello").write_text("")
    found = plan(look(tmp_path / "demo", tmp_path))
    assert told(found) == [(1, "hello is not in demo, which was looked at")]
    assert told(plan(look(tmp_path, tmp_path))) == []
    (tmp_path / "demo/a.yaml").write_text(BOM.replace("../build, files: [hello]", "../.."))
    found = plan(look(tmp_path / "demo", tmp_path))
    assert [one.path for one in found.files] == ["demo/BUILD"] and len(told(found)) == 1


@pytest.mark.parametrize(
    ("build", "is_edmm"),
    [
        ("ENABLE_EDMM=1 occlum build", True),
        ("export ENABLE_EDMM=yes; occlum build", True),
        ("ENABLE_EDMM=on occlum build", False),
        ("occlum build --enable-edmm=yes", True),
        ("occlum build --enable-edmm N", False),
    ],
)
def test_edmm_as_occlum_reads_it(tmp_path: Path, build: str, is_edmm: bool) -> None:
    found = planned(tmp_path, f"{NEW}{FILL}{build}\n")
    assert ("edmm=True" in build_file(found)) is is_edmm


@pytest.mark.parametrize("option", ["--enable-edmm", "--sgx-mode"])
def test_options_of_a_build_that_cannot_be_told(tmp_path: Path, option: str) -> None:
    found = planned(tmp_path, f"{NEW}{FILL}occlum build {option} $1\n")
    assert "edmm" not in build_file(found) and "sgx_mode" not in build_file(found)
    why = f"the value of {option} cannot be told, and was taken as if it were not there"
    assert told(found) == [(5, why)]


@pytest.mark.parametrize(
    "copy",
    ["cp ../Occlum.json .", "cp -f ../Occlum.json ./", "cd ..; cp Occlum.json occlum_instance"],
)
def test_a_configuration_that_is_put_into_the_instance(tmp_path: Path, copy: str) -> None:
    (tmp_path / "Occlum.json").write_text(json.dumps(plain(default_config())))
    fill = "copy_bom -f ../bom.yaml --root image"
    found = planned(tmp_path, f"{NEW}{fill}\n{copy}\n")
    assert 'config_file="Occlum.json"' in build_file(found) and told(found) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("cp -r ../image .", "it changes the image"),
        ("rsync -a ../image/ .", "it changes the image"),
        ("mv ../Occlum.json .", "what it does to Occlum.json cannot be told"),
        ("cp ../other.json ../Occlum.json .", "what it does to Occlum.json cannot be told"),
        ("cp ../gone/Occlum.json .", "the file is not there, or no Occlum.json"),
    ],
)
def test_what_is_put_into_the_instance(tmp_path: Path, line: str, why: str) -> None:
    assert told(planned(tmp_path, f"{NEW}{line}\n{FILL}")) == [(4, why)]
    assert told(planned(tmp_path, f"{NEW}cp ../a.txt .\n{FILL}")) == []
