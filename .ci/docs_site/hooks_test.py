"""Mentions of pages become links, code and other text stay."""

from __future__ import annotations

import pytest

from docs_site.hooks import Text, linked, slug

BOM = "# BOM files\n\n## `[occlum] lock`, and *why*\n\n    # no heading\n\n```\n# none\n```\n"
PAGES = {
    "bom.md": Text.of(BOM),
    "howto/ci.md": Text.of("# CI\n"),
    "changelog.md": Text.of("# Changelog\n"),
}


def test_headings_of_a_page() -> None:
    page = Text.of(BOM)

    assert page.title == "BOM files"
    assert list(page.anchors) == ["BOM files", "[occlum] lock, and *why*"]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What differs from Occlum", "what-differs-from-occlum"),
        ("`[occlum] lock`", "occlum-lock"),
        ("A  -  b", "a-b"),
        ("2.5 Größe", "25-große".replace("ß", "")),
    ],
)
def test_anchors_are_those_of_markdown(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see docs/bom.md.", "see [BOM files](bom.md)."),
        ("(docs/bom.md)", "([BOM files](bom.md))"),
        ("docs/howto/ci.md", "[CI](howto/ci.md)"),
        ('docs/bom.md, "No such"', '[BOM files](bom.md), "No such"'),
        (
            'docs/bom.md,\n"[occlum] lock, and\n*why*"',
            '[BOM files](bom.md),\n"[[occlum] lock, and *why*](bom.md#occlum-lock-and-why)"',
        ),
        ("CHANGELOG.md", "[Changelog](changelog.md)"),
        ("docs/none.md", "[none.md](none.md)"),
        ("docs/x.md is this one", "docs/x.md is this one"),
        ("`docs/bom.md` ``docs/bom.md ` ``", "`docs/bom.md` ``docs/bom.md ` ``"),
        ("| `a\\|b` | c \\| d |", "| `a|b` | c \\| d |"),
        ("/docs/bom.md x/docs/bom.md src/README.md", "/docs/bom.md x/docs/bom.md src/README.md"),
        ("[that](bom.md)", "[that](bom.md)"),
        ("[that](../CHANGELOG.md#x)", "[that](changelog.md#x)"),
        ("[that](https://example.org/docs/bom.md)", "[that](https://example.org/docs/bom.md)"),
        ("a\n\n    docs/bom.md\n\ndocs/bom.md", "a\n\n    docs/bom.md\n\n[BOM files](bom.md)"),
        ("```\ndocs/bom.md\n```\ndocs/bom.md", "```\ndocs/bom.md\n```\n[BOM files](bom.md)"),
    ],
)
def test_mentions(text: str, expected: str) -> None:
    assert linked(text, "x.md", PAGES) == expected


def test_mentions_from_a_page_in_a_folder() -> None:
    text = "docs/bom.md [that](../bom.md) [that](../../CHANGELOG.md)"

    expected = "[BOM files](../bom.md) [that](../bom.md) [that](../changelog.md)"
    assert linked(text, "howto/ci.md", PAGES) == expected


def test_pages_from_the_top_of_the_repository() -> None:
    text = "docs/bom.md [docs/bom.md](docs/bom.md#x) ![graph](docs/graph.svg) [that](SECURITY.md)"

    expected = "[BOM files](bom.md) [docs/bom.md](bom.md#x) ![graph](graph.svg) [that](security.md)"
    assert linked(text, "changelog.md", PAGES) == expected


def test_links_to_files_that_are_no_pages() -> None:
    assert linked("[LICENSE](LICENSE)", "readme.md", PAGES) == "LICENSE"
    assert linked("[the script](../.ci/run)", "x.md", PAGES) == "the script (`.ci/run`)"
