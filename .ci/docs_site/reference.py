"""Writes the pages of docs/reference/ that are made from the code.

Usage: PYTHONPATH=.ci:rules:src/python .venv/bin/python .ci/docs_site/reference.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from docs_site.commands import commands_page
from docs_site.errors import errors_page
from docs_site.targets import options_page, targets_page

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/targets.md": targets_page,
    "docs/reference/options.md": options_page,
    "docs/reference/commands.md": commands_page,
    "docs/reference/errors.md": errors_page,
}


def main() -> None:
    for name, make in PAGES.items():
        Path(name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
