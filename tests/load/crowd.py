"""A class on one server: pages without a browser and a few in a real one, all training at once."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from playwright.async_api import Page, WebSocket, async_playwright

from tests.browser.chromium import FLAGS, find_chromium
from tests.load.served import Served
from tests.load.visitor import Visitor

#: The default scenario, with more steps than anybody takes here.
QUERY = "steps=100000"
#: Seconds that anything may take before the test gives up; not a figure.
PATIENCE = 120.0
#: How often Pause is pressed on each page: of 33 presses the 95th percentile would be the second
#: slowest, which says little.
PRESSES = 3

#: Counts what a person sees change, and times a press of Pause, within the page itself.
WATCH = """
() => {
  const step = document.querySelector(".cs-step");
  window.seen = 0;
  const bar = step.closest(".cs-status") ?? step.parentElement.parentElement;
  let last = step.textContent;
  new MutationObserver(() => {
    const now = document.querySelector(".cs-step")?.textContent;
    if (now !== last) { last = now; window.seen += 1; }
    const state = document.querySelector(".cs-rate")?.textContent;
    if (window.pressed && state === "paused") {
      window.answered = performance.now() - window.pressed;
      window.pressed = 0;
    }
  }).observe(bar, { childList: true, subtree: true, characterData: true });
  document.addEventListener("click", ({ target }) => {
    if (target.closest("button")?.textContent === "Pause") {
      [window.pressed, window.answered] = [performance.now(), 0];
    }
  }, true);
}
"""


@dataclass
class Figures:
    """What a class saw.

    Attributes:
        visitors, browsers: how many pages of each kind.
        seconds: that were measured.
        refreshes: a second, of each page: it is up to date with the server.
        news: of these, those that show another step.
        steps: a second, of each page.
        pauses: milliseconds from the press to the page that stands still.
        memory: MB that the server holds beyond its base, for each page.
        cpu: cores that the server used.
        kilobytes: a refresh of a page without a browser.
    """

    visitors: int
    browsers: int
    seconds: float = 0.0
    refreshes: list[float] = field(default_factory=list)
    news: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    memory: float = 0.0
    cpu: float = 0.0
    kilobytes: float = 0.0

    @property
    def pause(self) -> float:
        """Milliseconds in which 95 of 100 presses of Pause are answered."""
        return float(np.percentile(self.pauses, 95))

    @property
    def unfairness(self) -> float:
        """Steps of the fastest page over those of the slowest."""
        return max(self.steps) / min(self.steps)


class Tab:
    """One page of a real browser, with the few things that are asked of every page here."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.heard = 0
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        if "/chatterscope/line" in socket.url:
            socket.on("framereceived", self._hear)

    def _hear(self, _frame: str | bytes) -> None:
        self.heard += 1

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def run(self) -> None:
        """Press Run and wait for the first steps."""
        await self.press("Run")
        await self.page.wait_for_function(
            "() => Number(document.querySelector('.cs-step')?.textContent) > 0",
            timeout=1e3 * PATIENCE,
        )

    async def seen(self) -> tuple[int, int]:
        """Steps that were shown so far, and the last of them."""
        return await self.page.evaluate(
            "() => [window.seen, Number(document.querySelector('.cs-step').textContent)]"
        )

    async def pause(self) -> float:
        """Milliseconds that Pause takes to be answered."""
        await self.press("Pause")
        await self.page.wait_for_function("() => window.answered > 0", timeout=1e3 * PATIENCE)
        answer = await self.page.evaluate("() => window.answered")
        await self.press("Run")
        return answer


async def run(visitor: Visitor) -> None:
    """Press Run and wait for the first steps."""
    before = visitor.step
    await visitor.press("Run")
    await visitor.until(lambda page: page.step > before, PATIENCE)


async def pause(visitor: Visitor) -> float:
    """Milliseconds that Pause takes to be answered; then the page runs on."""
    pressed = await visitor.press("Pause")
    answered = await visitor.until(lambda page: page.status["state"] == "paused", PATIENCE)
    await run(visitor)
    return 1e3 * (answered - pressed)


@asynccontextmanager
async def tabs(url: str, count: int) -> AsyncIterator[list[Tab]]:
    """Pages of one Chromium, each a session of its own; none starts no browser."""
    if not count:
        yield []
        return
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS])
        opened = []
        for _ in range(count):
            context = await browser.new_context(viewport={"width": 1440, "height": 900})
            tab = Tab(await context.new_page())
            await tab.page.goto(f"{url}/?{QUERY}")
            await tab.page.wait_for_selector(".cs-step", timeout=1e3 * PATIENCE)
            await tab.page.evaluate(WATCH)
            opened.append(tab)
        yield opened
        await browser.close()


@asynccontextmanager
async def pages(url: str, count: int) -> AsyncIterator[list[Visitor]]:
    """Pages without a browser, at the start of the default scenario."""
    opened = [Visitor(url, QUERY) for _ in range(count)]
    try:
        for page in opened:
            await page.open()
        await asyncio.gather(
            *(page.until(lambda page: page.status.get("state") == "paused", PATIENCE)
              for page in opened)
        )  # fmt: skip
        yield opened
    finally:
        for page in opened:
            await page.close()


async def first_visit(url: str, cache: Path) -> None:
    """Until the first run of a bare address is kept, with its charts, and its page closed again."""
    page = Visitor(url)
    await page.open()
    await page.until(lambda _: any(cache.glob("first-view-*.json")), PATIENCE)
    await page.close()


async def measure(server: Served, visitors: int, browsers: int, seconds: float) -> Figures:
    """Let a class train for some seconds, then press Pause on one page after another, thrice.

    Args:
        server: which has had its first visit.
        visitors: pages without a browser.
        browsers: tabs of a real one.
        seconds: of training that are counted.
    """
    base = server.memory
    figures = Figures(visitors, browsers)
    async with tabs(server.url, browsers) as shown, pages(server.url, visitors) as unseen:
        await asyncio.gather(*(run(page) for page in unseen), *(tab.run() for tab in shown))
        await _train(server, unseen, shown, seconds, figures)
        figures.memory = (server.memory - base) / (visitors + browsers)
        for _ in range(PRESSES):
            for page in unseen:
                figures.pauses.append(await pause(page))
            for tab in shown:
                figures.pauses.append(await tab.pause())
    return figures


async def _train(
    server: Served,
    unseen: Sequence[Visitor],
    shown: Sequence[Tab],
    seconds: float,
    figures: Figures,
) -> None:
    """Count what every page sees while all of them train."""

    async def counted() -> list[tuple[int, int, int]]:
        known = [(page.heard, page.shown, page.step) for page in unseen]
        return known + [(tab.heard, *await tab.seen()) for tab in shown]

    clock = asyncio.get_running_loop().time
    begun, cpu, received = clock(), server.cpu, sum(page.bytes for page in unseen)
    before = await counted()
    await asyncio.sleep(seconds)
    after = await counted()
    figures.seconds = clock() - begun
    figures.cpu = (server.cpu - cpu) / figures.seconds
    for a, b in zip(before, after, strict=True):
        heard, news, steps = ((y - x) / figures.seconds for x, y in zip(a, b, strict=True))
        figures.refreshes.append(heard)
        figures.news.append(news)
        figures.steps.append(steps)
    drawn = statistics.mean(figures.refreshes[: len(unseen)]) * figures.seconds * len(unseen)
    figures.kilobytes = (sum(page.bytes for page in unseen) - received) / drawn / 1e3
