"""The live page: what a page that is attached costs training, and how soon a slice is on screen.

Both on the default scenario, the 2-bit MLP on digits, in a real server and a real Chromium. Each
server of the page computes on one thread, whatever THREADS says, and all times are wall times.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from app.experiment import PLANES
from tests.browser.chromium import FLAGS, find_chromium
from tests.browser.lab import wait_for_maps

from .harness import FULL, Figure

ROOT = Path(__file__).parents[2]
# More steps than are taken here, and small maps, which the page computes beside the slices.
EXPERIMENT = "steps=20000&slice_resolution=9&map_resolution=5"
# Windows of whole multiples of 2 s, in which the dear charts are sent once.
ROUNDS, SECONDS = (15, 4.0) if FULL else (9, 2.0)
WARM = 2.0
COARSE = 9  # points a side of a slice's first level
#: In turn, so that every choice is of another plane.
OFFERED = ("random-filter", "random-layer")

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)

#: Notes when Enter is pressed, and when a slice of at least so many points that was not there
#: before is drawn; it may already be a finer one.
WATCH = """
(points) => {
  const chart = document.querySelector('[data-panel="slice"] .cs-chart');
  const seen = () => {
    const heat = (chart._fullData ?? []).find((t) => t.type === "heatmap");
    return heat ? Array.from(heat.z, (row) => Array.from(row)).flat().filter(Number.isFinite) : [];
  };
  let before = [];
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      window.chosen = performance.now();
      window.drawn = null;
      before = seen();
    }
  }, true);
  chart.on("plotly_afterplot", () => {
    const now = seen();
    if (window.drawn === null && now.length >= points && now[0] !== before[0])
      window.drawn = performance.now();
  });
}
"""


class Live:
    """A server under measurement and the page that is open on it."""

    def __init__(self, process: subprocess.Popen[str], page: Page) -> None:
        self.page = page
        self._process = process

    def ask(self, what: str, value: object) -> float:
        """The server's answer, see `live_server`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {value}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                return float(line.split()[1])
        raise AssertionError("the server ended")


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("live")
    command = [sys.executable, "-m", "tests.benchmarks.live_server", str(port), EXPERIMENT]
    environment = os.environ | {"CHATTERSCOPE_CACHE": str(folder)}
    with (
        (folder / "log.txt").open("w") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            wait_for_answer(f"http://localhost:{port}/_stcore/health", process)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS])
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.goto(f"http://localhost:{port}/?{EXPERIMENT}")
                page.wait_for_selector(".cs-table tr[data-lane]", timeout=60_000)
                yield Live(process, page)
                browser.close()
        finally:
            process.terminate()


def wait_for_answer(url: str, process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server gave no answer")


def test_steps_with_a_page_attached(live, benchmark, told):
    for kind in ("attached", "alone"):
        live.ask(kind, WARM)
    attached, alone = [], []

    def measure() -> None:
        attached.append(live.ask("attached", SECONDS))
        alone.append(live.ask("alone", SECONDS))

    benchmark.pedantic(measure, rounds=ROUNDS)
    ratios = [a / b for a, b in zip(attached, alone, strict=True)]
    told(
        Figure(
            "Live steps/s, page attached (2 refreshes a second) / not",
            statistics.median(ratios),
            ROUNDS,
            0.85,
            at_least=True,
            note=f"{statistics.median(attached):.0f} / {statistics.median(alone):.0f} steps/s",
        ),
        attached=attached,
        alone=alone,
    )


def test_the_first_slice_after_a_plane_is_chosen(live, benchmark, told):
    page = live.page
    live.ask("attached", 1.0)
    # The script runs once more when the page hears of the pause, and would close a menu.
    expect(page.locator(".cs-rate")).to_have_text("paused")
    page.get_by_role("button", name="Compute maps", exact=True).click()
    wait_for_maps(page)
    page.evaluate(WATCH, COARSE**2)
    plane = page.get_by_role("combobox", name="Plane")
    times: list[float] = []

    def choose() -> None:
        title = PLANES[OFFERED[len(times) % 2]]
        plane.fill(title)
        page.get_by_role("option", name=title, exact=True).wait_for()
        plane.press("Enter")
        page.wait_for_function("window.drawn !== null", timeout=60_000)
        times.append(page.evaluate("window.drawn - window.chosen"))
        wait_for_maps(page)

    benchmark.pedantic(choose, rounds=ROUNDS)
    name = f"First {COARSE} x {COARSE} slice on screen after a plane is chosen"
    told(Figure(name, statistics.median(times), ROUNDS, 300.0, unit="ms"), milliseconds=times)


def test_the_first_slice_in_the_view(live, benchmark, told):
    """The same without browser and refresh: until the next refresh could send it."""
    times: list[float] = []

    def choose() -> None:
        times.append(live.ask("slice", OFFERED[len(times) % 2]))

    benchmark.pedantic(choose, rounds=ROUNDS)
    name = f"First {COARSE} x {COARSE} slice in the view after a plane is chosen"
    told(Figure(name, statistics.median(times), ROUNDS, 300.0, unit="ms"), milliseconds=times)
