"""The pages that are made from the code are what the code says now."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from docs_site import commands, raised, targets
from docs_site.reference import PAGES
from docs_site.text import bullet, escaped
from occlum_build.cli.main import EXIT_CODES, VERBS
from pants_occlum.register import target_types

HOW = "PYTHONPATH=.ci:rules:src/python .venv/bin/python .ci/docs_site/reference.py"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_code_says(name: str) -> None:
    assert Path(name).read_text(encoding="utf-8") == PAGES[name](), f"write it anew: {HOW}"


def test_help_and_page_say_the_same_of_where_a_root_file_system_lies() -> None:
    said = "where `occlum run` starts it, and need not be where another program does"
    for name in ("docs/reference/targets.md", "docs/runtime-boot.md"):
        assert said in " ".join(Path(name).read_text(encoding="utf-8").split()), name


def test_each_target_is_there_with_its_fields() -> None:
    page = targets.targets_page()
    for target in target_types():
        section = page.partition(f"\n## `{target.alias}`\n")[2].partition("\n## ")[0]
        for field in target.core_fields:
            ours = field.alias[0] != "_" and field.alias not in ("tags", "description")
            assert (f"* **`{field.alias}`** (" in section) == ours, (target.alias, field.alias)


def test_each_scope_is_there_with_its_options() -> None:
    scopes = [one.options_scope for one in targets.scopes()]
    assert {"occlum", "occlum-diff", "occlum-run", "occlum-size", "occlum-why", "skopeo"} <= {
        *scopes
    }
    assert "* **`sign_key_file`** (`str`): The PEM key (RSA-3072" in targets.options_page()
    assert (
        "* **`lock`** (`off` or `verify` or `require`, default `'off'`)" in targets.options_page()
    )


def test_each_verb_is_there() -> None:
    names = [parser.prog for parser, _ in commands.verbs()]
    assert {f"occlum-build {verb}" for verb in VERBS} <= {*names}
    assert {"occlum-build sefs zip", "occlum-build packages lock"} <= {*names}


def test_arguments_and_options_of_a_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser(prog="x verb", description="Does *it*.")
    parser.add_argument("first", metavar="FIRST", help="the first")
    parser.add_argument("more", nargs="*")
    parser.add_argument("-f", "--file", metavar="FILE", required=True, help="a file_name")
    parser.add_argument("--mode", choices=["a", "b"])
    parser.add_argument("--all", action="store_true", help="all <of> it")
    monkeypatch.setattr(commands, "verbs", lambda: [(parser, "does it")])

    assert commands.commands_page().partition("\n## ")[2] == "\n".join([
        "`x verb`\n",
        "```\nx verb [OPTIONS] FIRST [MORE ...]\n```\n",
        "Does \\*it\\*.\n",
        "* **`FIRST`**: the first",
        "* **`MORE`**",
        "* **`-f FILE`, `--file FILE`** (required): a file_name",
        "* **`--mode a|b`**",
        "* **`--all`**: all \\<of\\> it\n",
    ])  # fmt: skip


def test_errors_of_the_sources() -> None:
    found = {(one.code, one.message) for one in raised.raised()}
    assert ("bom-missing", "there is no BOM file …") in found
    assert {*EXIT_CODES} <= {name for name, _ in found}
    assert len({name for name, _ in found}) > 120


def test_what_is_seen_of_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/x.py").write_text(
        "CODE = 'one'\n"
        "def f(a, report):\n"
        "    message = f'no {a}' if a else 'none'\n"
        "    message += '!'\n"
        "    report.error(CODE, message)\n"
        "    report.warn('two', 'not this')\n"
        "    Problem('three', 'nor this', severity=WARNING)\n"
        "    raise OcclumError('four', Lines(f'the {a}' + ' end', a), hint='do')\n"
    )
    (tmp_path / "room/x_test.py").write_text("OcclumError('five', 'of a test')\n")
    monkeypatch.setattr(raised, "ROOTS", (str(tmp_path),))

    assert raised.raised() == [
        raised.Raised("room", "four", "the … end"),
        raised.Raised("room", "one", "no …"),
        raised.Raised("room", "one", "no …!"),
        raised.Raised("room", "one", "none"),
        raised.Raised("room", "one", "none!"),
    ]


def test_text_is_no_markup() -> None:
    assert escaped("a_b _c_ *d* `*_<` <e> [f]") == "a_b \\_c\\_ \\*d\\* `*_<` \\<e\\> \\[f\\]"
    assert bullet("x", "  one\n\n  two\n") == "* x: one\n\n    two"
    assert bullet("x", "") == "* x"
