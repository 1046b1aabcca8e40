"""The built site in a real Chromium: every page, wide and narrow, light and dark, and by axe.

Not a test of Pants, as mkdocs is in no resolve: `.ci/run` builds dist/site and runs this by pytest.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

SITE = Path("dist/site").resolve()
PAGES = sorted(
    str(path.relative_to(SITE)) for path in SITE.rglob("*.html") if path.name != "404.html"
)
# Pages with all that pages have: axe takes a second for each.
SAMPLE = ["index.html", "contributing.html", "enclave.html", "howto/ci.html", "pants-versions.html"]
SEARCH = "input.md-search__input"
CHROMIUM = "chromium-headless-shell"
WIDE, NARROW = (1280, 900), (390, 800)
OVERFLOW = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        path = shutil.which(CHROMIUM)
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site by HTTP, from this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def opened(
    browser: Any, base: str, size: tuple[int, int] = WIDE, scheme: str = "light"
) -> Iterator[Any]:
    """A page of playwright; at the end it must have asked for nothing elsewhere, nor complained."""
    width, height = size
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    elsewhere = [one for one in asked if not one.startswith((base, "blob:", "data:"))]
    assert (elsewhere, complaints) == ([], [])


def test_there_are_pages() -> None:
    assert len(PAGES) > 40


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_page_is_wider_than_the_window(
    browser: Any, address: str, size: tuple[int, int]
) -> None:
    with opened(browser, address, size) as page:
        for name in PAGES:
            page.goto(f"{address}/{name}")
            assert page.evaluate(OVERFLOW) <= 0, name


@pytest.mark.parametrize(
    ("size", "scheme", "names"),
    [(WIDE, "light", PAGES), (WIDE, "dark", SAMPLE), (NARROW, "light", SAMPLE)],
    ids=["wide", "dark", "narrow"],
)
def test_axe_finds_nothing_serious(
    browser: Any, address: str, size: tuple[int, int], scheme: str, names: list[str]
) -> None:
    found = []
    with opened(browser, address, size, scheme) as page:
        for name in names:
            page.goto(f"{address}/{name}")
            for one in Axe().run(page).response["violations"]:
                if one["impact"] in ("serious", "critical"):
                    found.append((name, one["id"], one["nodes"][0]["html"][:200]))
    assert found == []


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_without_a_network(browser: Any, address: str, scheme: str) -> None:
    base = address if scheme == "http" else SITE.as_uri()
    with opened(browser, base) as page:
        page.goto(f"{base}/howto/ci.html")
        for text, found in (
            ("sign_key_file", "reference/options.html"),
            ("holds no OpenPGP key", "reference/errors.html"),
        ):
            page.fill(SEARCH, text)
            page.press(SEARCH, "End")  # a search begins when a key comes up
            page.wait_for_selector(f'.md-search-result__link[href*="{found}"]')


def test_light_and_dark(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        page.goto(f"{address}/index.html")
        light = page.evaluate(BACKGROUND)
        page.click('label[title="Switch to dark"]')
        page.wait_for_function(f"{BACKGROUND} !== '{light}'")
        page.click('label[title="Switch to light"]')
        page.wait_for_function(f"{BACKGROUND} === '{light}'")


def test_the_graph_is_there(browser: Any, address: str) -> None:
    with opened(browser, address, NARROW) as page:
        page.goto(f"{address}/index.html")
        assert page.evaluate("[...document.images].map((one) => one.naturalWidth > 0)") == [True]
