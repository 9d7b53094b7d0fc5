"""Reading the page as a person does, and the numbers behind its charts."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

#: A trace's arrays as plain lists, whether plotly holds them typed or still encoded.
_READ = """
([panel, name]) => {
  const chart = document.querySelector(`[data-panel="${panel}"] .cs-chart`);
  const traces = chart?._fullData ?? [];
  const plain = (v) => (v && v.length !== undefined && typeof v !== "string"
    ? Array.from(v, (x) => (x && x.length !== undefined ? Array.from(x) : x)) : v);
  return traces.map((t) => ({name: t.name, type: t.type, mode: t.mode, yaxis: t.yaxis,
    x: plain(t.x), y: plain(t.y), z: plain(t.z), width: t.line?.width, color: t.line?.color}));
}
"""


def traces(page: Page, panel: str) -> list[dict[str, Any]]:
    """All traces of a panel with their arrays, once the grid has drawn what it was sent."""
    page.wait_for_function("document.querySelector('.cs-grid')?.ariaBusy !== 'true'")
    return page.evaluate(_READ, [panel, None])


def step(page: Page) -> int:
    """The step counter in the bar."""
    return int(page.locator(".cs-step").inner_text())


def wait_for_step(page: Page, at_least: int, seconds: float = 120) -> None:
    page.wait_for_function(
        "n => Number(document.querySelector('.cs-step')?.textContent) >= n",
        arg=at_least,
        timeout=seconds * 1000,
    )


def wait_for_maps(page: Page, seconds: float = 90) -> None:
    """Until the slice and the map are there and no longer being computed."""
    page.wait_for_function(
        """() => {
          const ready = (name, trace) => {
            const panel = document.querySelector(`[data-panel="${name}"]`);
            const chart = panel.querySelector(".cs-chart");
            return panel.querySelector(".cs-progress").hidden
              && (chart._fullData ?? []).some((t) => t.type === "heatmap");
          };
          return ready("slice") && ready("map");
        }""",
        timeout=seconds * 1000,
    )


def wait_for_whole_ahead(page: Page) -> None:
    """Until One step ahead is of the very step in view and no longer grows."""
    page.wait_for_function(
        """() => {
          const panel = document.querySelector('[data-panel="ahead"]');
          const data = panel?.querySelector(".cs-chart")._fullData ?? [];
          const lines = data.filter((t) => t.mode === "lines" && t.x.length > 2);
          return panel.ariaBusy === "false" && lines.length > 0
            && !panel.querySelector(".cs-note").textContent.includes("of step");
        }""",
        timeout=120_000,
    )


def press(page: Page, name: str) -> None:
    """Press a button of the bar."""
    page.get_by_role("button", name=name, exact=True).click()


def pause(page: Page) -> None:
    """Press Pause and wait until the grid shows the step it stopped at."""
    press(page, "Pause")
    expect(page.locator(".cs-rate")).to_have_text("paused")


def fill(page: Page, label: str, value: str) -> None:
    """Type a number into the sidebar and leave the field."""
    field = page.get_by_role("spinbutton", name=label, exact=True)
    field.fill(value)
    field.press("Enter")


def table(page: Page) -> dict[str, list[str]]:
    """Lane key -> its cells' text."""
    return page.evaluate(
        """() => Object.fromEntries(
             [...document.querySelectorAll(".cs-table tr[data-lane]")].map((row) =>
               [row.dataset.lane, [...row.querySelectorAll("td")].map((c) => c.textContent)]))"""
    )
