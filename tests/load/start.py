"""From the start of the server to a title and to charts in a real browser, on a kept first run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import async_playwright

from tests.browser.chromium import FLAGS, find_chromium
from tests.load.served import served

#: Milliseconds that anything may take before the test gives up; not a figure.
PATIENCE = 120_000
#: Charts of the first screen that have been drawn.
DRAWN = """
() => {
  const charts = [...document.querySelectorAll("[data-panel] .cs-chart")];
  return charts.length > 0 && charts.every((chart) => chart._fullData?.length > 0);
}
"""


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the server's process to what a visitor sees.

    Args:
        title: the page's name in its bar.
        charts: every chart with the first run's data.
    """

    title: float
    charts: float


async def start(cache: Path) -> Start:
    """Start a server beside an open browser, and go to its page as soon as it answers.

    Args:
        cache: the folder of kept results, with a first run in it.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS])
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        begun = time.perf_counter()
        with served(cache) as server:
            await page.goto(server.url)
            await page.get_by_text("Chatterscope", exact=True).first.wait_for(timeout=PATIENCE)
            title = time.perf_counter() - begun
            await page.wait_for_function(DRAWN, timeout=PATIENCE)
            charts = time.perf_counter() - begun
        await browser.close()
    return Start(title, charts)
