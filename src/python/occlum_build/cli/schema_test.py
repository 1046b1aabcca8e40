from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema.validators import validator_for

import occlum_build
from occlum_build.cli.main import main
from occlum_build.cli.schema import SCHEMAS, read_schema

LIBRARY = Path(occlum_build.__file__).parent


def test_all_schemas_are_listed() -> None:
    listed = {f"{one.package.replace('.', '/')}/{one.file}" for one in SCHEMAS.values()}
    there = {str(path.relative_to(LIBRARY)) for path in LIBRARY.rglob("*.schema.json")}
    assert listed == there and len(SCHEMAS) == len(there)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    printed = capsys.readouterr().out
    assert printed.encode() == read_schema(name)
    schema = json.loads(printed)
    validator_for(schema).check_schema(schema)
    assert schema["title"]


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SCHEMAS)
    assert lines[0] == "bom            bom.yaml, *.bom.yaml   a BOM"


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schema", "bmo"])
    assert ended.value.code == 2
    assert "invalid choice: 'bmo'" in capsys.readouterr().err
