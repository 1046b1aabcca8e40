"""Measures the page about an image of many entries: how long it takes to make, to open, to scroll.

The image is that of `insight`. The page is opened from a file in chromium-headless-shell, without
graphics hardware; `open` ends when a frame was drawn after all data were shown. The table is then
scrolled by ten rows in each frame. CPU is that of the thread of the page. Without playwright,
which 3rdparty/python/test.txt has, or without Chromium these columns are empty.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

from insight import ENTRIES, FEW_ENTRIES, measure, write_image
from tables import Cell, Column, Table, options, report

CHROMIUM = "chromium-headless-shell"
FRAMES = 240
SCROLL = """async (frames) => {
    const box = document.getElementById("scroller");
    box.scrollIntoView();
    const frame = () => new Promise(requestAnimationFrame);
    for (let count = 0; count < 20; count++) await frame();
    const gaps = [];
    let last = await frame();
    for (let count = 0; count < frames; count++) {
        box.scrollTop += 280;
        const now = await frame();
        gaps.push(now - last);
        last = now;
    }
    return gaps.sort((a, b) => a - b);
}"""
OPENED = """() => new Promise((done) => {
    requestAnimationFrame(() => setTimeout(() => done(performance.now())));
})"""
COLUMNS = (
    *(Column("entries"), Column("make", "{:.1f} s"), Column("CPU", "{:.1f} s")),
    *(Column("page", "{:.1f} MB"), Column("open", "{:.2f} s"), Column("open, CPU", "{:.2f} s")),
    *(Column("filter", "{:.0f} ms"), Column("frame, CPU", "{:.1f} ms")),
    *(Column("median frame", "{:.0f} ms"), Column("longest frame", "{:.0f} ms")),
)
FILTER = """() => {
    const [start, field] = [performance.now(), document.getElementById("filter")];
    field.value = "lib29";
    field.dispatchEvent(new Event("input"));
    return performance.now() - start;
}"""


def in_browser(file: Path) -> tuple[Cell, ...]:
    """Seconds to open; milliseconds of a filter, of a frame's CPU, the median and longest frame."""
    path = shutil.which(CHROMIUM)
    if path is None or importlib.util.find_spec("playwright") is None:
        return (None,) * 6
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def cpu() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")

        page.goto(file.as_uri())
        open_seconds, open_cpu = page.evaluate(OPENED) / 1000, cpu()
        gaps = page.evaluate(SCROLL, FRAMES)
        frame_cpu = (cpu() - open_cpu) * 1000 / len(gaps)
        filter_millis = page.evaluate(FILTER)
        browser.close()
    return open_seconds, open_cpu, filter_millis, frame_cpu, gaps[len(gaps) // 2], gaps[-1]


def main() -> None:
    args = options(__doc__).parse_args()
    count, runs = (FEW_ENTRIES, 1) if args.quick else (ENTRIES, 3)
    with tempfile.TemporaryDirectory() as directory:
        image, file = Path(directory, "image"), Path(directory, "report.html")
        write_image(image, count, "1.0")
        seconds, cpu = min(measure("report", image, "--output", file) for _ in range(runs))
        made = file.stat().st_size / 1e6
        tried = [in_browser(file) for _ in range(runs)]
        best = [None if None in one else min(one) for one in zip(*tried)]
    report([Table("report", COLUMNS, ((count, seconds, cpu, made, *best),))], args.json)


if __name__ == "__main__":
    main()
