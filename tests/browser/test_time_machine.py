"""Looking back, replay, rounding, keys and focus, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_until
from tests.browser.lab import pause, press, step, table, traces, wait_for_step

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


def shown(page: Page) -> str:
    return page.locator(".cs-at").inner_text()


def look(page: Page, at: int) -> None:
    """Move the scrubber and wait until every view has followed."""
    page.evaluate(
        """(at) => {
          const slider = document.querySelector(".cs-slider");
          slider.value = at;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        at,
    )
    expect(page.locator(".cs-at")).to_contain_text(f"View: step {at} of")


def wait_for_ahead(page: Page, note: str = "now ◆ after") -> None:
    """Until One step ahead of the very step in view has all its points."""
    page.wait_for_function(
        """(note) => {
          const panel = document.querySelector('[data-panel="ahead"]');
          const data = panel.querySelector(".cs-chart")._fullData ?? [];
          const lines = data.filter((t) => t.mode === "lines" && t.x.length > 2);
          const text = panel.querySelector(".cs-note").textContent;
          return text.includes(note) && !text.includes("of step")
            && panel.ariaBusy === "false" && lines.length === 3;
        }""",
        arg=note,
        timeout=120_000,
    )


def test_looking_back_while_training_goes_on(open_page: OpenPage) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 60)
    whole = {t["name"]: (t["x"], t["y"]) for t in traces(page, "strips")}
    look(page, 40)
    for trace in traces(page, "strips"):
        assert trace["x"][-1] == 40
        x, y = whole[trace["name"]]
        assert trace["y"][-1] == y[x.index(40)]
    for trace in traces(page, "damping"):
        assert trace["x"][-1] == 40
    for trace in traces(page, "edge"):
        assert max(trace["x"]) == 40
    loss = {t["name"]: t["y"][-1] for t in traces(page, "strips")}
    assert float(table(page)["adamw"][0]) == pytest.approx(loss["AdamW"], rel=5e-3)
    wait_for_step(page, step(page) + 30)
    assert traces(page, "strips")[0]["x"][-1] == 40, "the view stays"
    page.get_by_role("button", name="Go live").click()
    expect(page.locator(".cs-at")).to_contain_text("Live: step")
    page.wait_for_function(
        """() => document.querySelector(
             '[data-panel="strips"] .cs-chart')._fullData[0].x.at(-1) > 60"""
    )


def test_one_step_ahead_of_a_past_step_ends_where_that_step_led(open_page: OpenPage) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 30)
    pause(page)
    losses = {t["name"]: t["y"] for t in traces(page, "strips")}
    look(page, 20)
    wait_for_ahead(page)
    data = traces(page, "ahead")
    for name, values in losses.items():
        line = next(t for t in data if t["name"] == name and len(t["x"]) > 2)
        s, change = np.array(line["x"]), np.array(line["y"])
        assert (np.diff(s) > 0).all()
        assert (s[0], s[-1]) == (-2, 3)
        assert change[np.argmin(abs(s))] == 0
        got = change[np.argmin(abs(s - 1))]
        assert got == pytest.approx(values[21] - values[20], abs=2e-5)


def test_replay_advances_without_training(open_page: OpenPage) -> None:
    page = open_page("?scenario=moons")
    press(page, "Run")
    wait_for_step(page, 40)
    pause(page)
    last = step(page)
    page.get_by_role("button", name="Replay").click()
    page.wait_for_function(
        "/View: step ([1-9]|1[0-9]) of/.test(document.querySelector('.cs-at').textContent)"
    )
    first = int(shown(page).split()[2])
    page.wait_for_function(
        "n => Number(document.querySelector('.cs-at').textContent.split(' ')[2]) > n", arg=first
    )
    page.get_by_role("button", name="Stop").click()
    assert step(page) == last


def test_rounding_off_turns_the_stairs_into_a_line(open_page: OpenPage) -> None:
    from probes import StepLine, jumps

    def counted(page: Page) -> list[int]:
        wait_for_ahead(page)
        lines = [t for t in traces(page, "ahead") if len(t["x"]) > 2]
        return [
            jumps(StepLine(np.array(t["x"]), np.array(t["y"]), 0, 0, 0, 0, 1, 1e-6)) for t in lines
        ]

    page = open_page()
    press(page, "Run")
    wait_for_step(page, 120)
    pause(page)
    # Stairs count once they are refined until vertical, which comes after the even points.
    wait_until(lambda: max(counted(page)) > 3, 20, "the fourth stair")
    page.get_by_role("radio", name="off").or_(page.get_by_role("button", name="off")).click()
    page.wait_for_function("document.querySelector('.cs-step').textContent === '0'")
    press(page, "Run")
    wait_for_step(page, 120)
    pause(page)
    wait_for_ahead(page, "what the gradient promises")
    assert max(counted(page)) == 0


def test_keys_run_step_reset_and_look(open_page: OpenPage) -> None:
    page = open_page("?scenario=moons")
    page.locator(".cs-sentence").click()
    page.keyboard.press("Space")
    wait_for_step(page, 10)
    page.locator(".cs-sentence").click()
    page.keyboard.press("Space")
    expect(page.locator(".cs-rate")).to_have_text("paused")
    last = step(page)
    page.keyboard.press("s")
    wait_for_step(page, last + 1)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".cs-at")).to_have_text(f"View: step {last} of {last + 1}")
    page.keyboard.press("r")
    page.wait_for_function("document.querySelector('.cs-step').textContent === '0'")


def test_focus_fills_the_window_with_large_text(open_page: OpenPage) -> None:
    page = open_page()
    page.locator('[data-panel="strips"] .cs-title').click()
    box = page.locator('[data-panel="strips"]').bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (1440, 900)
    corner = "document.elementFromPoint(20, 300).closest('.cs-focus') !== null"
    assert page.evaluate(corner), "nothing lies above it, not even the sidebar"
    page.wait_for_function(
        """() => {
          const tick = document.querySelector('[data-panel="strips"] .x3tick text');
          return tick && parseFloat(getComputedStyle(tick).fontSize) >= 20;
        }"""
    )
    page.keyboard.press("Escape")
    page.wait_for_function(
        """() => document.querySelector(
             '[data-panel="strips"]').getBoundingClientRect().width < 900"""
    )
