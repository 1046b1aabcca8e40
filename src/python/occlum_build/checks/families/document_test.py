from __future__ import annotations

from pathlib import Path

from occlum_build.checks.families.document import document
from occlum_build.checks.families.table import FAMILIES

DOCUMENT = Path("docs/runtime-families.md")
AGAIN = "python -m occlum_build.checks.families.document makes the list"


def test_the_document_has_the_table() -> None:
    _, _, listed = DOCUMENT.read_text().partition("## The families\n\n")
    assert listed == document(FAMILIES), AGAIN


def test_a_row_in_words() -> None:
    (perl,) = (family for family in FAMILIES if family.name == "perl")
    lines = document([perl]).splitlines()
    assert lines[0] == "### `runtime-perl`: Perl"
    assert lines[2].startswith("* shown by an ELF file named `perl")
    assert lines[3].startswith("* needs its library (strict.pm), one of `**/strict.pm`: copy ")
