"""What the plugin uses of Pants is there, and takes what it is given, in all recorded versions."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pants_api import Api, problems
from pants_occlum.compat.versions import SINCE
from pants_uses import read_flags, uses_of_pants

PACKAGE = Path("rules/pants_occlum")

VERSIONS = "SINCE: Final = {'NATIVE': (2, 23), 'MOVED': (2, 28)}\n"
API = Api.of(
    {"2.22.0": "a", "2.23.0": "b", "2.34.0.dev3": "c"},
    {
        "pants.fs.Digest": {
            "2.22.0": "(fingerprint, size)",
            "2.23.0": "(fingerprint, size)",
            "2.34.0.dev3": "(fingerprint, *, size)",
        },
        "pants.fs.create": {"2.22.0": "missing", "2.23.0": "(first, /, second)"},
        "pants.fs.rule": {"2.22.0": "(*args, **kwargs)"},
        "pants.fs.Process": {"2.22.0": "(argv, *, description, level=...)"},
        "pants.fs.Scope": {"2.22.0": None},
        "pants.fs.Scope.ALWAYS": {"2.22.0": None, "2.34.0.dev3": "missing"},
        "pants.fs.Scope.of": {"2.22.0": "(name)"},
        "pants.old.Field": {"2.22.0": None, "2.34.0.dev3": "missing"},
        "pants.new.Field": {"2.22.0": "missing", "2.34.0.dev3": None},
    },
)


def _problems(root: Path, **modules: str) -> list[str]:
    package = root / "pants_occlum"
    (package / "compat").mkdir(parents=True)
    (package / "compat/versions.py").write_text(VERSIONS)
    for name, text in modules.items():
        (package / f"{name}.py").write_text(textwrap.dedent(text).strip())
    return problems(uses_of_pants(package), API, read_flags(package))


def test_the_plugin_uses_what_is_recorded() -> None:
    api = Api.read(Path(".ci/pants_api.json").read_text())

    assert problems(uses_of_pants(PACKAGE), api, SINCE) == []


def test_the_flags_are_those_that_the_plugin_runs_with() -> None:
    assert read_flags(PACKAGE) == SINCE


def test_calls_of_all_rules_by_name_are_among_the_uses() -> None:
    calls = [use.symbol for use in uses_of_pants(PACKAGE) if use.call]

    assert calls.count("pants.engine.intrinsics.create_digest") > 20
    assert calls.count("pants.engine.rules.implicitly") > 50


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("from pants.fs import Digest, Scope, rule", None),
        (
            "from pants.fs import Nothing",
            "pants.fs.Nothing is not in pants_api.json, see docs/pants-versions.md"
            " (Pants 2.22.0, 2.23.0, 2.34.0.dev3)",
        ),
        (
            "import pants.fs",
            "pants.fs is not in pants_api.json, see docs/pants-versions.md"
            " (Pants 2.22.0, 2.23.0, 2.34.0.dev3)",
        ),
        ("from pants.fs import create", "pants.fs.create is not there (Pants 2.22.0)"),
        ("from pants.old import Field", "pants.old.Field is not there (Pants 2.34.0.dev3)"),
    ],
)
def test_imports(tmp_path: Path, line: str, wrong: str | None) -> None:
    found = _problems(tmp_path, user=line)

    assert found == ([f"pants_occlum/user.py:1: {wrong}"] if wrong else [])


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("Process(['ls'], description='x')", None),
        ("Process(*command, **options)", None),
        ("Process(['ls'], **options)", None),
        (
            "Process(['ls'])",
            "pants.fs.Process (argv, *, description, level=...) does not fit this call:"
            " missing a required argument: 'description' (Pants 2.22.0, 2.23.0, 2.34.0.dev3)",
        ),
        (
            "print(Process(['ls'], description='x', cached=True))",
            "pants.fs.Process (argv, *, description, level=...) does not fit this call:"
            " got an unexpected keyword argument 'cached' (Pants 2.22.0, 2.23.0, 2.34.0.dev3)",
        ),
        (
            "Process(['ls'], 'x', **options)",
            "pants.fs.Process (argv, *, description, level=...) does not fit this call:"
            " too many positional arguments (Pants 2.22.0, 2.23.0, 2.34.0.dev3)",
        ),
        (
            "Digest('', 0)",
            "pants.fs.Digest (fingerprint, *, size) does not fit this call:"
            " too many positional arguments (Pants 2.34.0.dev3)",
        ),
        ("Scope.ALWAYS", "pants.fs.Scope.ALWAYS is not there (Pants 2.34.0.dev3)"),
        ("Scope.ALWAYS.value()", "pants.fs.Scope.ALWAYS is not there (Pants 2.34.0.dev3)"),
        ("Scope(1, 2, 3)", None),
        ("Scope.of('x')", None),
        (
            "Scope.of()",
            "pants.fs.Scope.of (name) does not fit this call:"
            " missing a required argument: 'name' (Pants 2.22.0, 2.23.0, 2.34.0.dev3)",
        ),
    ],
)
def test_calls_and_attributes(tmp_path: Path, line: str, wrong: str | None) -> None:
    found = _problems(tmp_path, user=f"from pants.fs import Digest, Process, Scope\n{line}")

    assert found == ([f"pants_occlum/user.py:2: {wrong}"] if wrong else [])


def test_a_flag_chooses_the_versions(tmp_path: Path) -> None:
    found = _problems(
        tmp_path,
        good="""
            if MOVED:
                from pants.new import Field
            elif NATIVE:
                from pants.old import Field
            if not NATIVE:
                pass
            else:
                from pants.fs import create
        """,
        wrong="""
            if NATIVE:
                from pants.old import Field
            else:
                from pants.new import Field
        """,
    )

    assert found == [
        "pants_occlum/wrong.py:2: pants.old.Field is not there (Pants 2.34.0.dev3)",
        "pants_occlum/wrong.py:4: pants.new.Field is not there (Pants 2.22.0)",
    ]


def test_calls_through_a_module_of_the_plugin(tmp_path: Path) -> None:
    found = _problems(
        tmp_path,
        by_name="""
            if NATIVE:
                from pants.fs import create as make
            else:
                from pants_occlum.polyfill import make
        """,
        polyfill="from pants.fs import Nothing",
        user="""
            from pants_occlum.by_name import make
            make(1, 2)
            make(1, **implicitly())
            make(first=1, second=2)
        """,
    )

    assert len(found) == 1
    assert found[0].startswith("pants_occlum/user.py:4: pants.fs.create (first, /, second) does")
    assert found[0].endswith("(Pants 2.23.0, 2.34.0.dev3)")


def test_the_list_is_written_as_it_is_read() -> None:
    assert Api.read(API.text()) == API
    assert API.symbols["pants.fs.Digest"] == {
        "2.22.0": "(fingerprint, size)",
        "2.34.0.dev3": "(fingerprint, *, size)",
    }
