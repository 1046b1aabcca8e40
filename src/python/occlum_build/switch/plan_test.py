"""Scripts for Occlum become targets; what does not is told with its place."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import Any

import pytest

from occlum_build.switch.plan import Plan, plan
from occlum_build.switch.tree import look, root_of

BOM = "includes: [base.yaml]\ntargets: [{target: /bin, copy: [{files: [../hello]}]}]\n"
TEMPLATES = "/opt/occlum/etc/template"
FILL = f"rm -rf image && copy_bom -f ../bom.yaml --root image --include-dir {TEMPLATES} && \\\n"
NEW = "set -e\nrm -rf occlum_instance && occlum new occlum_instance\ncd occlum_instance\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, {"pants.toml": "", "demo/bom.yaml": BOM, "demo/hello": ""})
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def planned(root: Path, script: str = "", **files: str) -> Plan:
    write(root, {"demo/run.sh": script, **files} if script else files)
    return plan(look(root, root_of(root)))


def targets(found: Plan, path: str = "demo/BUILD") -> list[tuple[str, dict[str, Any]]]:
    """The targets of a BUILD file, as Python reads them."""
    (text,) = (one.text for one in found.files if one.path == path)
    calls = [node.value for node in ast.parse(text).body if isinstance(node, ast.Expr)]
    return [
        (call.func.id, {str(one.arg): ast.literal_eval(one.value) for one in call.keywords})
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    ]


def enclave(found: Plan) -> dict[str, Any]:
    (fields,) = (fields for kind, fields in targets(found) if kind == "occlum_enclave")
    return fields


def told(found: Plan) -> list[tuple[int, str]]:
    return [(one.line, one.why) for one in found.told]


def test_the_usual_script(root: Path) -> None:
    found = planned(
        root,
        f"""{NEW}new_json="$(jq '.resource_limits.user_space_size = "1MB" |
    .resource_limits.user_space_max_size = "600MB" |
    .env.default += ["A=b"]' Occlum.json)" && \\
echo "${{new_json}}" > Occlum.json
{FILL}occlum build
occlum run /bin/hello
""",
    )
    assert targets(found) == [
        ("occlum_bom", {"name": "bom", "source": "bom.yaml", "include_dirs": [TEMPLATES]}),
        ("occlum_image", {"name": "image", "boms": [":bom"]}),
        (
            "occlum_enclave",
            {
                "name": "enclave",
                "image": ":image",
                "config": {
                    "resource_limits": {"user_space_size": "1MB", "user_space_max_size": "600MB"},
                    "env": {"default": ["OCCLUM=yes", "A=b"]},
                },
            },
        ),
        ("files", {"name": "files", "sources": ["hello"]}),
    ]
    assert found.told == []
    assert [tuple(one) for one in found.enclaves] == [("demo:enclave", "demo/run.sh", 2)]


def test_a_bom_that_no_script_uses_has_a_target(root: Path) -> None:
    write(root, {"pants.toml": "", "other/x.yaml": BOM})
    assert targets(planned(root), "other/BUILD") == [
        ("occlum_bom", {"name": "x", "source": "x.yaml"})
    ]


@pytest.mark.parametrize(
    "edit",
    [
        "jq '.feature.pkru = 1' Occlum.json >../tmp.json && mv ../tmp.json Occlum.json\n",
        'new="$(cat Occlum.json | jq \'.feature.pkru = 1\')"\necho "$new" > Occlum.json\n',
        "yq -i '.feature.pkru = 1' Occlum.json\n",
        "n=1\nx=$(jq --argjson N $n '.feature.pkru = $N' Occlum.json)\necho \"$x\" >Occlum.json\n",
        "cp ../My.json Occlum.json\n",
    ],
)
def test_ways_to_edit_a_configuration(root: Path, edit: str) -> None:
    write(root, {"demo/My.json": '{"resource_limits": {}}'})
    fields = enclave(planned(root, f"{NEW}{edit}{FILL}occlum build\n"))
    if "My.json" in edit:
        assert fields["config_file"] == "My.json" and "config" not in fields
    else:
        assert fields["config"] == {"feature": {"pkru": 1}}


def test_sed_puts_a_value_into_the_configuration(root: Path) -> None:
    edit = """x=$(jq '.resource_limits.user_space_size = "SIZE"' Occlum.json)
SIZE=900MB
echo "$x" > Occlum.json
sed -i "s/SIZE/$SIZE/g" Occlum.json
"""
    fields = enclave(planned(root, f"{NEW}{edit}{FILL}occlum build\n"))
    assert fields["config"] == {"resource_limits": {"user_space_size": "900MB"}}


def test_options_of_a_build(root: Path) -> None:
    build = (
        "occlum build --sgx-mode SIM --enable-edmm=Y --image-key ../key --buildin-image-key -f\n"
    )
    found = planned(root, NEW + FILL + build)
    assert enclave(found) == {
        "name": "enclave",
        "image": ":image",
        "sgx_mode": "SIM",
        "edmm": True,
        "encrypt": True,
        "buildin_image_key": True,
    }
    assert told(found) == [(5, "paths of keys are no part of a target")]
    environment = planned(root, NEW + FILL + "SGX_MODE=SIM occlum build\n")
    assert enclave(environment)["sgx_mode"] == "SIM"


def test_an_initfs_of_a_bom_and_directories(root: Path) -> None:
    write(root, {"demo/init.yaml": "targets: [{target: /, mkdirs: [bin]}]\n"})
    more = "rm -rf initfs\ncopy_bom -f ../init.yaml --root initfs\nmkdir -p image/models\n"
    found = planned(root, f"{NEW}{FILL}true\n{more}occlum build\n")
    assert enclave(found)["initfs"] == ":initfs"
    kinds = [(kind, fields["name"]) for kind, fields in targets(found)]
    assert ("occlum_files", "image_directories") in kinds
    assert ("occlum_image", {"name": "initfs", "boms": [":init"]}) in targets(found)
    assert found.told == []


def test_functions_and_variables_are_followed(root: Path) -> None:
    write(root, {"demo/b.yaml": BOM.replace("../hello", "$DIR/$NAME")})
    script = f"""script_dir="$( cd "$( dirname "${{BASH_SOURCE[0]}}" )" >/dev/null 2>&1 && pwd )"
export DIR=$PWD NAME=hello
build() {{
    occlum new $1
    pushd $1
    rm -rf image
    copy_bom -f $2 --root image --include-dir {TEMPLATES}
    occlum build
    popd
}}
build one "$script_dir/bom.yaml"
build two ../b.yaml
"""
    found = planned(root, script)
    assert {one.address for one in found.enclaves} == {"demo:bom_enclave", "demo:b_enclave"}
    (fields,) = (one for kind, one in targets(found) if one["name"] == "b" and kind == "occlum_bom")
    assert fields["env"] == ["DIR=..", "NAME=hello"]
    assert found.told == []


def test_an_instance_that_another_script_makes(root: Path) -> None:
    install = "[ -d occlum_instance ] || occlum new occlum_instance\n"
    script = f"cd occlum_instance && rm -rf image\n{FILL}occlum build\n"
    found = planned(root, script, **{"demo/install.sh": install})
    assert [one.address for one in found.enclaves] == ["demo:enclave"] and found.told == []


def test_one_target_for_instances_that_are_the_same(root: Path) -> None:
    script = NEW + FILL + "occlum build\n"
    found = planned(root, script, **{"demo/again.sh": script})
    assert [(one.address, one.script) for one in found.enclaves] == [
        ("demo:enclave", "demo/again.sh"),
        ("demo:enclave", "demo/run.sh"),
    ]
    assert enclave(found) == {"name": "enclave", "image": ":image"}


def test_a_workspace_elsewhere(root: Path) -> None:
    script = f"mkdir -p ../out && cd ../out && occlum init\n{FILL}true\n".replace(
        "../bom", "../demo/bom"
    )
    found = planned(root, script + "occlum build\n")
    bom = targets(found)[0][1]
    assert bom["workspace"] == "out"
    assert told(found)[0][1] == "hello is not there"


def test_values_that_are_wrong(root: Path) -> None:
    edit = "x=$(jq '.other = 1' Occlum.json)\necho \"$x\" > Occlum.json\n"
    found = planned(root, f"{NEW}{edit}{FILL}occlum build\n")
    assert enclave(found)["strict"] is False
    assert told(found) == [(2, "Occlum.json: $.other: unknown key: it is ignored")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("cp ../hello image/bin", "it changes the image"),
        ("ln -s a image/bin/b", "it changes the image"),
        ("echo x > image/etc/y", "it writes into the image"),
        ("cp x initfs/bin", "it changes the initfs"),
        ("rm -rf image/etc", "what an image has is not removed again"),
        ("python3 edit.py Occlum.json", "what it does to Occlum.json cannot be told"),
        ("echo '{}' > Occlum.json", "what is written to Occlum.json cannot be told"),
        ("cp $GONE Occlum.json", "the file is not there, or no Occlum.json"),
        ("sed -i '/x/d' Occlum.json", "what sed does cannot be told"),
        ("sed -i 's/gone/x/' Occlum.json", "no value of the configuration has that text"),
        ("jq 'map(.)' Occlum.json > x; mv x Occlum.json", "`map(.)` is not understood"),
        ("jq -f x.jq Occlum.json > x; mv x Occlum.json", "the call cannot be told"),
        ("jq '.mount[9] = 1' Occlum.json > x; mv x Occlum.json", "jq fails here: there is no"),
        ("if true; then yq -i '.feature.pkru = 1' Occlum.json; fi", "it is done under a condition"),
        ("copy_bom -f ../gone.yaml --root image", "there is no BOM gone.yaml"),
        ("copy_bom -f $GONE --root image", "which BOM, or where to, cannot be told"),
        ("copy_bom -f ../bom.yaml --root elsewhere", "it fills neither image nor initfs"),
        ("occlum build --other", "`--other` is not known"),
        ("occlum gen-image-key k", "a key is no part of a project"),
    ],
)
def test_what_is_told(root: Path, line: str, why: str) -> None:
    found = planned(root, f"{NEW}{FILL}true\n{line}\nocclum build\n")
    first = found.told[0]
    assert (first.file, first.line, first.text) == ("demo/run.sh", 6, line)
    assert first.why.startswith(why) and first.todo


def test_a_copy_into_the_image_is_told_as_a_line_of_a_bom(root: Path) -> None:
    found = planned(root, f"{NEW}{FILL}true\ncp ../hello image/bin\nocclum build\n")
    assert found.told[0].todo == (
        "name it in a BOM of the image, as "
        '`- {"target": "/bin", "copy": [{"files": ["../hello"]}]}`'
    )


def test_what_is_told_of_boms(root: Path) -> None:
    bom = "includes: [java-11-openjdk-amd64.yaml]\n"
    bom += "targets:\n- target: /\n  copy: [{files: [../gone, $V]}]\n"
    write(root, {"demo/bom.yaml": bom})
    found = planned(root, f"{NEW}{FILL}occlum build\n")
    assert [(one.file, one.line) for one in found.told] == [
        ("demo/run.sh", 2),
        ("demo/bom.yaml", 4),
        ("demo/bom.yaml", 1),
    ]
    assert "needs $V, whose value cannot be told" in found.told[0].why
    assert found.told[1].why == "demo/gone is not there"
    assert "Occlum brings it" in found.told[2].todo


def test_an_instance_that_no_bom_fills(root: Path) -> None:
    found = planned(root, f"{NEW}cp ../hello image/bin\nocclum build\n")
    assert [one.why for one in found.told] == [
        "it changes the image",
        "no BOM fills the image of this instance",
    ]


def test_what_new_puts_into_an_image_is_told(root: Path) -> None:
    copy = f"copy_bom -f ../bom.yaml --root image --include-dir {TEMPLATES}\n"
    found = planned(root, f"{NEW}{copy}occlum build\n")
    assert told(found)[0][1].startswith("what `occlum new` puts into the image stays there")


def test_a_script_that_is_too_long(root: Path) -> None:
    found = planned(
        root, "f() { f2; }; f2() { occlum new i; }\n" + "while true; do\n" * 50 + "occlum\n"
    )
    assert any("too long" in one.why for one in found.told)


def test_instances_builds_and_hidden_directories_are_passed_over(root: Path) -> None:
    script = NEW + FILL + "occlum build\n"
    write(
        root,
        {
            "demo/occlum_instance/.__occlum_status": "built",
            "demo/occlum_instance/x.yaml": BOM,
            ".git/bom.yaml": BOM,
            "dist/bom.yaml": BOM,
            "demo/bad\nname.yaml": BOM,
        },
    )
    assert [one.path for one in planned(root, script).files] == ["demo/BUILD"]


@pytest.mark.parametrize("name", ["BUILD", "BUILD.pants", "BUILD.occlum", "BUILD/x"])
def test_a_build_file_that_is_there(root: Path, name: str) -> None:
    (found,) = planned(root, NEW + FILL, **{f"demo/{name}": ""}).files
    assert found.there == f"demo/{name}".removesuffix("/x")


def test_whatever_a_script_is_there_is_no_error_but_one(root: Path) -> None:
    pieces = [
        *("occlum new i\n", "cd i\n", "cd ..\n", "occlum build\n", "popd\n", "pushd $X\n"),
        *(
            "copy_bom -f ../bom.yaml --root image\n",
            "copy_bom -f",
            "rm -rf image\n",
            "mkdir image/",
        ),
        *("x=$(jq '", ".a.b = [1]", " | ", "del(.a)", ".mount[0] += {}", "' Occlum.json)\n"),
        *(
            "if a; then ",
            "fi\n",
            "for i in a b; do ",
            "done\n",
            "f() { ",
            "}\n",
            "f\n",
            '"',
            "'",
            "$(",
        ),
        *(
            "echo x > Occlum.json\n",
            "sed -i s/a/b/ Occlum.json\n",
            "cp a image/b\n",
            "\0",
            "\\",
            "é",
        ),
    ]
    rng = random.Random(7)
    for _ in range(300):
        script = "".join(rng.choice(pieces) for _ in range(rng.randrange(40)))
        for one in planned(root, script).told:
            assert one.why and one.todo and one.line > 0
