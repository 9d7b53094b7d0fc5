"""A first visit opens on a run that finishes by itself; the next one finds it finished."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app.live.first_run import FIRST_STEPS
from tests.browser.conftest import Server, wait_until
from tests.browser.lab import pause, press, step, table, traces, wait_for_maps, wait_for_step

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

#: Holds once the progress of the first run is shown and stands between its ends.
UNDER_WAY = """
() => {
  const bar = document.querySelector(".cs-status progress");
  return bar && bar.value > 0 && bar.value < 1
    && document.querySelector(".cs-rate")?.textContent === "first run";
}
"""


def assert_every_chart_is_filled(page: Page) -> None:
    """All traces of a default run at its first run's end, whole and finite."""
    wait_for_maps(page)
    ahead = [t for t in traces(page, "ahead") if t["mode"] == "lines" and len(t["x"]) > 2]
    assert len(ahead) == 3
    for line in ahead:
        assert len(line["x"]) >= 240
        assert np.isfinite(line["y"]).all()
    for trace in traces(page, "strips"):
        assert trace["x"] == list(range(FIRST_STEPS + 1))
        assert np.isfinite(trace["y"]).all()
    for trace in traces(page, "edge"):
        assert trace["x"] == list(range(FIRST_STEPS - 100, FIRST_STEPS + 1))
    for panel, points in (("slice", 33), ("map", 15)):
        z = np.array(traces(page, panel)[0]["z"], dtype=float)
        assert z.shape == (points, points)
        assert np.isfinite(z).all(), panel
        lines = [t for t in traces(page, panel) if t["mode"] == "lines"]
        assert {len(t["x"]) for t in lines} == {FIRST_STEPS + 1}, panel
    for trace in traces(page, "damping"):
        assert (trace["x"][0], trace["x"][-1]) == (0, FIRST_STEPS)
    spectra = traces(page, "spectrum")
    assert len(spectra) == 3
    for trace in spectra:
        assert (np.array(trace["y"]) > 0).all()


def test_a_first_visit_finishes_a_run_and_the_next_one_finds_it(
    open_page: OpenPage, server: Server
) -> None:
    page = open_page("")
    assert step(page) < FIRST_STEPS
    page.wait_for_function(UNDER_WAY, timeout=60_000)
    expect(page.locator(".cs-rate")).to_have_text("paused", timeout=90_000)
    assert step(page) == FIRST_STEPS
    expect(page.locator(".cs-status progress")).to_have_count(0)
    assert_every_chart_is_filled(page)
    shown = table(page)
    wait_until(lambda: list(server.cache.glob("first-view-*.json")), 30, "keeping the first view")
    press(page, "Step")
    wait_for_step(page, FIRST_STEPS + 1)
    page.wait_for_function(
        "last => document.querySelector('.cs-at')?.textContent === `Live: step ${last}`",
        arg=FIRST_STEPS + 1,
    )
    next_shown = table(page)
    page.close()

    logged = len(server.log())
    page = open_page("")
    assert step(page) == FIRST_STEPS, "it opens on the kept run"
    wait_for_maps(page)
    expect(page.locator(".cs-rate")).to_have_text("paused")
    assert_every_chart_is_filled(page)
    assert table(page) == shown
    assert step(page) == FIRST_STEPS
    log = server.log()[logged:]
    assert "trainer started" in log
    assert "paused at step" not in log.split("trainer started")[-1], "nothing was trained"

    loss = traces(page, "strips")[0]["y"]
    press(page, "Step")
    wait_for_step(page, FIRST_STEPS + 1)
    page.wait_for_function(
        "last => document.querySelector('.cs-at')?.textContent === `Live: step ${last}`",
        arg=FIRST_STEPS + 1,
    )
    assert table(page) == next_shown, "it goes on as the first one would have"
    press(page, "Run")
    wait_for_step(page, FIRST_STEPS + 5)
    pause(page)
    assert traces(page, "strips")[0]["y"][: len(loss)] == loss
    press(page, "Reset")
    page.wait_for_function("document.querySelector('.cs-step')?.textContent === '0'")
    page.wait_for_function(
        """() => document.querySelector(
             '[data-panel="strips"] .cs-chart')?._fullData?.[0].x.length === 1"""
    )
