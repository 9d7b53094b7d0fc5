"""From the start of the server to a title and to charts in a real browser, on a kept first run."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import async_playwright

from tests.browser.chromium import FLAGS, find_chromium
from tests.load.served import free_port, served

#: Milliseconds that anything may take before the test gives up; not a figure.
PATIENCE = 120_000
#: Charts of the first screen that have been drawn.
DRAWN = """
() => {
  const charts = [...document.querySelectorAll("[data-panel] .cs-chart")];
  return charts.length > 0 && charts.every((chart) => chart._fullData?.length > 0);
}
"""


#: Starts after which Chromium keeps the compiled code of a page that it was shown.
UNTIL_KEPT = 2
#: Starts of which the median is taken.
STARTS = 3


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the server's process to what a visitor sees.

    Args:
        title: the page's name in its bar.
        charts: every chart with the first run's data.
    """

    title: float
    charts: float


@dataclass(frozen=True)
class Starts:
    """Medians of some starts.

    Args:
        new: in a browser that never had the page.
        known: in one that had it before, on the same address.
    """

    new: Start
    known: Start


async def starts(cache: Path) -> Starts:
    """Start servers beside an open browser, and go to the page as soon as it answers.

    Args:
        cache: the folder of kept results, with a first run in it.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="chatterscope-") as folder:
        profiles = [Path(folder) / str(n) for n in range(STARTS)]
        new = [await _start(cache, profile, port) for profile in profiles]
        known = [await _start(cache, profiles[0], port) for _ in range(UNTIL_KEPT - 1 + STARTS)]
    return Starts(_median(new), _median(known[-STARTS:]))


def _median(starts: list[Start]) -> Start:
    return Start(
        statistics.median(start.title for start in starts),
        statistics.median(start.charts for start in starts),
    )


async def _start(cache: Path, profile: Path, port: int) -> Start:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=find_chromium(),
            args=[*FLAGS],
            viewport={"width": 1440, "height": 900},
        )
        page = browser.pages[0]
        begun = time.perf_counter()
        with served(cache, port) as server:
            await page.goto(server.url)
            await page.get_by_text("Chatterscope", exact=True).first.wait_for(timeout=PATIENCE)
            title = time.perf_counter() - begun
            await page.wait_for_function(DRAWN, timeout=PATIENCE)
            charts = time.perf_counter() - begun
            # Compiled code is kept once a page is idle.
            await page.evaluate("() => new Promise((kept) => setTimeout(kept, 1500))")
        await browser.close()
    return Start(title, charts)
