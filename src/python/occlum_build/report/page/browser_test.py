"""The report in a real Chromium: by mouse and by keyboard, with hostile names, and by axe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import WARNING, Place, Problem
from occlum_build.image.graph import Edge, Graph
from occlum_build.report.diff import compare
from occlum_build.report.model import DIR, FILE, SYMLINK, Item, KnownImage
from occlum_build.report.page.difference import difference_json
from occlum_build.report.page.document import document
from occlum_build.report.page.html import page, template
from occlum_build.report.page.testing_browser import (
    NARROW,
    WIDE,
    Opened,
    chromium,
    opened,
    violations,
)
from occlum_build.report.sides import Side

HOSTILE = '</script><img src=x onerror="window.bad=1">'
FILES = 2_000
ROW = 'div.rows [role="row"]'
RECORD = {
    "mrenclave": "ab" * 32,
    "mrsigner": "cd" * 32,
    "debuggable": True,
    "inputs": {"image": {"type": "integrity-only"}, "initfs": {HOSTILE: HOSTILE}},
}


def image(files: int = FILES) -> KnownImage:
    """Two programs, their libraries, a link, a file with a hostile name, and many files."""
    bom = "app/bom.yaml:5:9"
    libraries = [f"/lib/lib{name}.so" for name in "abc"]
    items = [Item("/", DIR, 0o755), Item("/bin", DIR, 0o755, bom=bom)]
    items += [
        Item(f"/bin/{name}", FILE, 0o755, 9_000, "a" * 64, bom=f"app/bom.yaml:{line}:9")
        for line, name in ((6, "one"), (7, "two"))
    ]
    items += [
        Item(one, FILE, 0o644, 50_000, "b" * 64, bom="app/bom.yaml:6:9",
             needed_by=("/bin/one", f"{one} found by loader"), package="libs", version="1")
        for one in libraries
    ]  # fmt: skip
    items += [Item(f"/data/{HOSTILE}", FILE, 0o644, 70_000, bom=HOSTILE, package=HOSTILE)]
    items += [Item("/link", SYMLINK, 0o777, target=HOSTILE, bom=bom)]
    items += [
        Item(f"/data/f{number:05}", FILE, 0o644, number, "c" * 64, bom=bom, source=f"/s{number}")
        for number in range(files)
    ]
    a, b, c = libraries
    edges = [("/bin/one", a), ("/bin/one", b), ("/bin/two", b), (a, c), (b, c)]
    graph = Graph(tuple(sorted(Edge(*edge, "needed", "lib.so", HOSTILE) for edge in edges)))
    return KnownImage("x", {item.path: item for item in sorted(items)}, graph)


def write(file: Path, made: KnownImage, **more: Any) -> Path:
    file.write_bytes(page(document(made, name=f"app:image {HOSTILE}", **more), template()))
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = image()
    problem = Problem("dynamic", HOSTILE, Place(HOSTILE, 3), HOSTILE, severity=WARNING)
    old = {path: item for path, item in made.items.items() if "bin" not in path}
    difference = compare(Side("old", items=old), Side("new", items=made.items))
    return write(
        tmp_path_factory.mktemp("report") / "report.html",
        made,
        problems=[problem],
        record=RECORD,
        difference=difference_json(difference),
    )


@pytest.fixture
def report(browser: Any, file: Path) -> Iterator[Opened]:
    with opened(browser, file) as found:
        yield found
        assert found.complaints == []
        assert found.requests == [file.as_uri()]
        assert found.page.evaluate("[window.bad, document.images.length]") == [None, 0]


def paths(report: Opened) -> list[str]:
    """The paths of the rows, from the top."""
    rows = report.page.locator(ROW).all()
    found = {int(one.get_attribute("aria-rowindex")): one.locator("button") for one in rows}
    return [found[index].inner_text() for index in sorted(found)]


def test_what_is_shown_of_all(report: Opened) -> None:
    page = report.page
    assert page.title() == f"Report of app:image {HOSTILE}"
    assert page.locator("#problems-body").inner_text().count(HOSTILE) == 3
    assert page.locator("#measurement-body").inner_text().count("ab" * 32) == 2
    assert "its memory can be read" in page.inner_text("#measurement-body")
    assert page.inner_text("#difference-body").count("added") >= 3
    assert page.locator("#links a").count() == 6


def test_table_is_filtered_sorted_and_scrolled(report: Opened) -> None:
    page = report.page
    assert page.inner_text("#count").startswith("2,008 entries of 2,008, ")
    assert page.locator(ROW).count() < 80  # of 2,008
    page.click('[role="columnheader"] button:has-text("Bytes")')
    page.click('[role="columnheader"] button:has-text("Bytes")')
    assert page.get_attribute('[role="columnheader"]:nth-child(4)', "aria-sort") == "descending"
    assert paths(report)[:2] == [f"/data/{HOSTILE}", "/lib/liba.so"]
    page.fill("#filter", "DATA/f s199")
    assert page.inner_text("#count").startswith("11 entries of 2,008")
    assert paths(report)[0] == "/data/f01999"
    page.fill("#filter", "")
    page.select_option("#kind", "2")
    assert paths(report) == ["/link"]
    page.select_option("#kind", "")
    page.evaluate("document.getElementById('scroller').scrollTop = 1e9")
    page.wait_for_selector(f'{ROW}[aria-rowindex="2009"]')
    assert page.locator(ROW).count() < 80


def test_table_by_keyboard(report: Opened) -> None:
    page = report.page
    page.focus("#scroller")
    page.keyboard.press("ArrowDown")
    assert report.focused() == "/bin"
    page.keyboard.press("ArrowDown")
    assert report.focused() == "/bin/one"
    page.keyboard.press("End")
    page.wait_for_selector('button:focus:text-is("/link")')
    page.keyboard.press("Home")
    page.wait_for_selector('button:focus:text-is("/bin")')
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").inner_text().startswith("/bin/one")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert report.focused() == "/bin/one"


def test_entry_tells_why_it_is_there_and_leads_on(report: Opened) -> None:
    page = report.page
    page.fill("#filter", "libb")
    page.click(f"{ROW} button")
    text = page.locator("dialog").inner_text()
    for part in ("app/bom.yaml:6:9", "libs 1", "b" * 64, "/lib/libb.so found by loader"):
        assert part in text
    assert "shared by 2 lines: app/bom.yaml:6:9, app/bom.yaml:7:9" in text
    page.click('dialog button:has-text("Show in the closure")')
    assert report.focused().startswith("/lib/libb.so, needs 1, needed by 2")
    page.click(f"{ROW} button")
    page.click('dialog button:has-text("All of this package")')
    assert page.inner_text("#count").startswith("3 entries")


def test_tiles_by_mouse_and_by_keyboard(report: Opened) -> None:
    page = report.page
    label = page.get_attribute(".tile >> nth=0", "aria-label")
    assert label.startswith("data, 2,069,000 bytes, 92.5 %, 2,000 files")
    page.click(".tile >> nth=0")
    assert page.inner_text("#crumbs").split()[-4:] == ["bytes", "in", "2,000", "files"]
    assert report.focused().startswith("<, 70,000 bytes")  # its name has a slash
    page.keyboard.press("End")
    assert report.focused().startswith("1,851 more, ")
    page.keyboard.press("Enter")
    assert report.focused().startswith("f01851, 1,851 bytes")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    assert report.focused().startswith(HOSTILE.partition("/")[2])
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").inner_text().startswith(f"/data/{HOSTILE}")
    page.keyboard.press("Escape")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    assert report.focused().startswith("data, ")
    page.keyboard.press("ArrowRight")
    assert report.focused().startswith("lib, 150,000 bytes")
    page.check("input[value=owner]")
    labels = [one.get_attribute("aria-label") for one in page.locator(".tile").all()]
    assert any(one.startswith("shared by 2 lines: app/bom.yaml:6:9, ") for one in labels)
    page.check("input[value=package]")
    assert page.locator('.tile[aria-label^="libs 1/lib, 150,000 bytes"]').count() == 1


def test_closure_is_searched_and_walked(report: Opened) -> None:
    page = report.page
    assert page.locator(".node").count() == 5
    assert page.locator(".node.selected").get_attribute("aria-label").startswith("/lib/libb.so")
    page.fill("#find", "two")
    assert page.inner_text("#found") == "1 file found"
    page.keyboard.press("Enter")
    assert report.focused().startswith("/bin/two, needs 1, needed by 0")
    page.keyboard.press("ArrowRight")
    assert report.focused().startswith("/lib/libb.so")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert report.focused().startswith("/lib/libc.so, needs 0, needed by 2")
    assert page.inner_text("#node").count(f"found by {HOSTILE}") == 2
    page.locator('.node[aria-label^="/bin/one"]').click()
    assert report.focused().startswith("/bin/one")
    before = page.get_attribute("#graph > g", "transform")
    page.click("#zoom-in")
    assert page.get_attribute("#graph > g", "transform") != before
    page.click('#node button:has-text("Show the entry")')
    assert page.locator("dialog[open]").inner_text().startswith("/bin/one")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing(browser: Any, file: Path, scheme: str, size: tuple[int, int]) -> None:
    with opened(browser, file, size=size, scheme=scheme) as found:
        page = found.page
        for opening in ("", f"{ROW} button"):
            if opening:
                page.click(opening)
            assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_print_has_a_table_of_the_entries(report: Opened) -> None:
    page = report.page
    page.emulate_media(media="print")
    assert not page.is_visible("#scroller") and page.is_visible("#tiles")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    text = page.inner_text("#printed")
    assert "/lib/liba.so" not in text.split() and "/bin/one" in text and "and 1,008 more" in text
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("#printed").count() == 0


def test_large_closure_is_shown_around_what_is_selected(browser: Any, tmp_path: Path) -> None:
    made = image(0)
    programs = [f"/bin/p{number}" for number in range(300)]
    edges = tuple(Edge(one, "/lib/liba.so", "needed", "liba.so", "r") for one in programs)
    items = {**made.items, **{one: Item(one, FILE, 0o755) for one in programs}}
    large = KnownImage("x", items, Graph(edges))
    with opened(browser, write(tmp_path / "large.html", large)) as found:
        assert found.page.locator(".node").count() == 80
        assert "The 80 nearest of 301 files are shown." in found.page.inner_text("#node")
        found.page.fill("#find", "/bin/p29")
        assert found.page.inner_text("#found") == "11 files found"
        found.page.click("#hits button >> nth=3")
        assert (
            found.page.locator(".node.selected").get_attribute("aria-label").startswith("/bin/p29")
        )
        assert found.complaints == []


def test_names_that_look_the_same_have_a_tile_each(browser: Any, tmp_path: Path) -> None:
    items = {one: Item(one, FILE, 0o644, 1_000) for one in ("/data/a\nb", "/data/a\\nb")}
    alike = KnownImage("x", {"/": Item("/", DIR, 0o755), **items})
    with opened(browser, write(tmp_path / "alike.html", alike)) as found:
        labels = [one.get_attribute("aria-label") for one in found.page.locator(".tile").all()]
        assert labels == ["a\\nb, 1,000 bytes, 50.0 %"] * 2
        assert found.page.inner_text("#crumbs").endswith("2,000 bytes in 2 files")


def test_directory_of_more_files_than_a_call_takes_arguments(browser: Any, tmp_path: Path) -> None:
    paths = (f"/data/{number}" for number in range(150_000))
    many = KnownImage("x", {one: Item(one, FILE, 0o644, 1) for one in paths})
    with opened(browser, write(tmp_path / "many.html", many)) as found:
        assert found.page.inner_text("#crumbs").endswith("150,000 bytes in 150,000 files")
        assert found.complaints == []


def test_all_of_a_package_is_nothing_of_another(browser: Any, tmp_path: Path) -> None:
    items = [Item("/", DIR, 0o755)]
    items += [Item(f"/{one}", FILE, 0o644, 1, package=one, version="1") for one in ("c", "c-dev")]
    two = KnownImage("x", {item.path: item for item in items})
    with opened(browser, write(tmp_path / "two.html", two)) as found:
        page = found.page
        page.click(f"{ROW} button >> nth=0")
        page.click('dialog button:has-text("All of this package")')
        assert page.inner_text("#count").startswith("1 entry of 2")
        page.press("#filter", "Backspace")
        assert page.inner_text("#count").startswith("2 entries of 2")


def test_image_with_nothing_in_it(browser: Any, tmp_path: Path) -> None:
    empty = KnownImage("x", {"/": Item("/", DIR, 0o755)})
    with opened(browser, write(tmp_path / "empty.html", empty)) as found:
        assert "There is no file with content." in found.page.inner_text("#tiles")
        assert "There is no graph of this image." in found.page.inner_text("#closure")
        assert found.page.inner_text("#count") == "0 entries of 0, 0 bytes"
        assert found.complaints == []
