"""Links and mentions in the texts of the repository lead to something that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs_site.hooks import Text, mentioned

TEXTS = sorted([*Path().glob("*.md"), *Path("docs").rglob("*.md"), Path("src/python/README.md")])
# As addresses of the network are written; whether anything answers there is not asked.
ADDRESS = re.compile(r"https://[a-z0-9.-]+(?:/[!-~]*)?$")


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_links_and_mentions_lead_somewhere(path: Path) -> None:
    for target, page, heading in mentioned(path.read_text(encoding="utf-8")):
        if ADDRESS.match(target):
            continue
        name, _, anchor = target.partition("#")
        there = Path(page) if page else path.parent / name if name else path
        assert there.is_file(), f"{path}: {target or page}"
        if there.suffix == ".md":
            text = there.read_text(encoding="utf-8")
            found = Text.of(text).anchors
            assert not anchor or anchor in found.values(), f"{path}: {target}"
            # A paragraph may have a heading of its own, in bold.
            assert not heading or heading in found or f"**{heading}.**" in text, (path, heading)


def test_the_pex_for_machines_without_a_network_is_that_of_this_repository() -> None:
    page = Path("docs/howto/air-gap.md").read_text(encoding="utf-8")
    digests = re.findall(r"linux_x86_64\|[0-9a-f]{64}\|\d+", page)
    assert len(digests) == 1
    assert digests[0] in Path("pants.toml").read_text(encoding="utf-8")


def test_there_are_texts_and_mentions() -> None:
    assert len(TEXTS) > 40
    assert len([page for path in TEXTS for _, page, _ in mentioned(path.read_text())]) > 200
