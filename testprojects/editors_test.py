"""The JSON Schemas in real language servers: what they complete, and what they find wrong.

`editors/` pins the servers that VS Code, neovim and others run; npm installs them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from language_server import LanguageServer
from occlum_build.sgx.config import default_config
from occlum_build.sgx.config.jsontext import plain
from system_tools import tool

DOCUMENT = Path("docs/editors.md").resolve()
PINNED = ("package.json", "package-lock.json")
BOM = """\
includes: [base.yaml]
excludes: ["*.pyc"]
targets:
  - target: /
    mkdirs: [var/lib, {path: tmp, mode: "1777"}]
    createlinks:
      - {src: bash, linkname: bin/sh}
    copy:
      - from: ../build
        dirs: [conf, www/]
        files:
          - app
          - {name: plugin.so, autodep: false}
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which both servers are installed."""
    npm = tool("npm")
    tool("node")
    folder = tmp_path_factory.mktemp("servers")
    for name in PINNED:
        shutil.copy(Path("testprojects/editors") / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder / "node_modules/.bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the schemas in it, as the command prints them."""
    folder = tmp_path_factory.mktemp("project").resolve()
    (folder / ".schemas").mkdir()
    for name in ("bom", "occlum-json"):
        command = [sys.executable, "-m", "occlum_build.cli.main", "schema", name]
        with (folder / f".schemas/{name}.schema.json").open("wb") as file:
            env = {"PYTHONPATH": ":".join(sys.path)}
            subprocess.run(command, check=True, stdout=file, env=env)
    return folder


def documented_settings() -> Any:
    """Those of docs/editors.md for VS Code."""
    _, _, after = DOCUMENT.read_text().partition("```json\n")
    return json.loads(after.partition("```")[0])


@pytest.fixture(scope="module")
def yaml(servers: Path, folder: Path) -> Iterator[LanguageServer]:
    schemas = documented_settings()["yaml.schemas"]
    settings = {
        "yaml": {
            "schemas": schemas,
            "schemaStore": {"enable": False},
            "validate": True,
            "completion": True,
        }
    }
    command = [str(servers / "yaml-language-server"), "--stdio"]
    with LanguageServer(command, folder, settings) as server:
        yield server


@pytest.fixture(scope="module")
def json_server(servers: Path, folder: Path) -> Iterator[LanguageServer]:
    (bound,) = documented_settings()["json.schemas"]
    bound = {**bound, "url": (folder / bound["url"]).as_uri()}  # VS Code's part
    command = [str(servers / "vscode-json-languageserver"), "--stdio"]
    with LanguageServer(command, folder, {"json": {"schemas": [bound]}}) as server:
        yield server


def written(folder: Path, name: str, text: str) -> Path:
    """A file in a directory of its own: a server may still be at the last one of the name."""
    path = Path(tempfile.mkdtemp(dir=folder)) / name
    path.write_text(text)
    return path


def told(found: list[Any]) -> list[tuple[int, int, str]]:
    """Line and column, from 1, and the message."""
    return [
        (one["range"]["start"]["line"] + 1, one["range"]["start"]["character"] + 1, one["message"])
        for one in found
    ]


def test_a_bom_without_mistakes(yaml: LanguageServer, folder: Path) -> None:
    assert yaml.open(written(folder, "a.bom.yaml", BOM), "yaml") == []


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message"),
    [
        ("excludes:", "exclude:", 2, "Property exclude is not allowed."),
        ("mkdirs:", "mkdir:", 5, "Property mkdir is not allowed."),
        ("autodep: false", "autodpe: false", 13, "Property autodpe is not allowed."),
        ("autodep: false", "autodep: 1", 13, "Incorrect type. Expected one of boolean, null."),
        (", linkname: bin/sh", "", 7, 'Missing property "linkname".'),
        ("- app", "- app/", 12, "This is no name of a file: directories go under `dirs`."),
        ("bin/sh", "/bin/sh", 7, "This is relative to `target` of the item: put it under"),
        ('"1777"', '"1888"', 5, 'Write three or four octal digits, as "1777" or "0755".'),
    ],
)
def test_a_mistake_in_a_bom(
    yaml: LanguageServer, folder: Path, right: str, wrong: str, line: int, message: str
) -> None:
    path = written(folder, "bom.yaml", BOM.replace(right, wrong))
    found = told(yaml.open(path, "yaml"))
    assert [one[0] for one in found] == [line] and found[0][2].startswith(message), found


def test_an_item_of_copy_with_nothing(yaml: LanguageServer, folder: Path) -> None:
    text = "targets:\n  - target: /\n    copy:\n      - {}\n"
    found = told(yaml.open(written(folder, "bom.yaml", text), "yaml"))
    assert found == [(4, 9, 'Missing property "from".')]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"includes", "excludes", "targets"}),
        ("targets:\n  - ", {"target", "mkdirs", "createlinks", "copy"}),
        ("targets:\n  - target: /\n    ", {"mkdirs", "createlinks", "copy"}),
        ("targets:\n  - target: /\n    copy:\n      - ", {"from", "dirs", "files"}),
        (
            "targets:\n  - target: /\n    copy:\n      - files:\n          - name: a\n            ",
            {"hash", "autodep", "rename"},
        ),
        ("targets:\n  - target: /\n    mkdirs:\n      - path: a\n        ", {"mode"}),
    ],
)
def test_keys_of_a_bom_are_completed(
    yaml: LanguageServer, folder: Path, text: str, expected: set[str]
) -> None:
    path = written(folder, "bom.yaml", text)
    yaml.open(path, "yaml")
    lines = text.split("\n")
    assert expected <= set(yaml.completions(path, len(lines) - 1, len(lines[-1])))


def test_a_line_in_a_bom_names_the_schema(yaml: LanguageServer, folder: Path) -> None:
    line = "# yaml-language-server: $schema=../.schemas/bom.schema.json\n"
    path = written(folder, "other.yaml", f"{line}target: []\n")
    assert told(yaml.open(path, "yaml")) == [(2, 1, "Property target is not allowed.")]


def test_a_configuration(json_server: LanguageServer, folder: Path) -> None:
    text = json.dumps(plain(default_config()), indent=1)
    path = written(folder, "Occlum.json", text)
    assert json_server.open(path, "json") == []
    wrong = text.replace('"300MB"', '"300M"').replace('"enable_edmm"', '"enable_emdm"')
    path = written(folder, "Occlum.json", wrong)
    size, key = (wrong[: wrong.index(word)].count("\n") + 1 for word in ('"300M"', "emdm"))
    assert told(json_server.open(path, "json")) == [
        (size, 22, 'A size is a whole number and KB, MB, GB, TB or B, as in "300MB".'),
        (key, 3, "Property enable_emdm is not allowed."),
    ]


def test_keys_of_a_configuration_are_completed(json_server: LanguageServer, folder: Path) -> None:
    text = '{\n "resource_limits": {\n  \n }\n}\n'
    path = written(folder, "Occlum.json", text)
    json_server.open(path, "json")
    offered = json_server.completions(path, 2, 2)
    assert set(offered) >= {"user_space_size", "kernel_space_heap_max_size", "init_num_of_threads"}
