"""The spectrogram in a real browser: chosen in its panel's head, a strip an optimizer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import press, traces

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

#: The ranges of all heatmaps' colours, and the titles of the axes that have one.
LOOK = """
() => {
  const { _fullData, _fullLayout } = document.querySelector(
    '[data-panel="spectrum"] .cs-chart');
  const axes = Object.entries(_fullLayout).filter(([key]) => /^[xy]axis/.test(key));
  const { cmin, cmax, colorbar } = _fullLayout.coloraxis;
  return {
    shared: _fullData.map((t) => t.coloraxis),
    colors: [cmin, cmax], bar: colorbar.title.text,
    titles: axes.map(([, axis]) => axis.title.text).filter((text) => text),
  };
}
"""


def test_the_gradient_over_time_is_a_strip_an_optimizer(open_page: OpenPage) -> None:
    page = open_page("?scenario=moons&bits=2&slice_resolution=9&map_resolution=5&steps=120")
    panel = page.locator('[data-panel="spectrum"]')
    panel.locator("select").select_option("spectrogram")
    expect(panel.locator(".cs-title")).to_have_text("Gradient spectrogram")
    expect(panel.locator(".cs-note")).to_contain_text("Needs 16 steps.")
    assert traces(page, "spectrum") == []
    press(page, "Run")
    expect(page.locator(".cs-rate")).to_have_text("finished", timeout=120_000)
    expect(page.locator(".cs-at")).to_have_text("Live: step 120")
    drawn = traces(page, "spectrum")
    assert [t["name"] for t in drawn] == ["AdamW", "S-Adam", "AdamW, smaller step"]
    for trace in drawn:
        assert trace["type"] == "heatmap"
        # 121 steps: windows of 64, the last of which ends at step 120.
        np.testing.assert_allclose(trace["x"], 88.5 - 8 * np.arange(7, -1, -1))
        np.testing.assert_allclose(trace["y"], np.arange(33) / 64)
        z = np.array(trace["z"])
        assert z.shape == (33, 8)
        assert z.std() > 1
    assert len({t["yaxis"] for t in drawn}) == 3
    look = page.evaluate(LOOK)
    assert look["shared"] == ["coloraxis"] * 3, "one scale for all"
    assert look["colors"][1] >= max(np.max(t["z"]) for t in drawn)
    assert (look["bar"], sorted(look["titles"])) == ("power, dB", ["cycles a step", "step"])
    panel.locator("select").select_option("gradient")
    expect(panel.locator(".cs-title")).to_have_text("Spectrum of the gradient")
    assert {t["type"] for t in traces(page, "spectrum")} == {"scatter"}
