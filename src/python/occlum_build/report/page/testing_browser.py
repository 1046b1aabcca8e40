"""A real Chromium without a window for tests, and a page in it that is watched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "chromium-headless-shell"
WIDE, NARROW = (1280, 900), (390, 800)


@dataclass
class Opened:
    """A report in a browser: playwright's page, what it asked for, and what it complained about."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def focused(self) -> str:
        """What a screen reader would call what has the focus."""
        script = "(document.activeElement.ariaLabel || document.activeElement.textContent).trim()"
        return str(self.page.evaluate(script))


@contextmanager
def chromium() -> Iterator[Any]:
    """playwright's browser; skips the test where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.skip("playwright is not installed")
    path = shutil.which(CHROMIUM)
    if path is None:
        pytest.skip(f"there is no {CHROMIUM} on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Any) -> list[tuple[str, str]]:
    """What axe finds in a page of playwright: its rule, and the first element."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ModuleNotFoundError:
        pytest.skip("axe-playwright-python is not installed")
    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


@contextmanager
def opened(
    browser: Any, file: Path, *, size: tuple[int, int] = WIDE, scheme: str = "light"
) -> Iterator[Opened]:
    """The report in the file, when it has shown its data."""
    width, height = size
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    page = context.new_page()
    found = Opened(page)
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("[data-ready]", state="attached")
    try:
        yield found
    finally:
        context.close()
