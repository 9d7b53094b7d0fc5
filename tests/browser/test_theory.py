"""The page Stationarity: curves, guides and slopes come alive, and Cancel keeps what is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import press, table, traces

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

#: Thinned and short: twelve runs, 24 measured points each.
SHORT = "stationarity?scenario=abs-l1&steps=64&seeds=4&thinning=thinned"


def by_name(page: Page, panel: str) -> dict[str, dict]:
    return {trace["name"]: trace for trace in traces(page, panel)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_curves_guides_and_slopes_appear(open_page: OpenPage, scheme: str) -> None:
    page = open_page(SHORT, scheme=scheme)
    expect(page.locator(".cs-doing")).to_have_text("press Run")
    expect(page.locator(".cs-sentence")).to_contain_text("Illustration, not a test. L1 norm.")
    press(page, "Run")
    expect(page.locator(".cs-doing")).to_have_text("finished at T 64", timeout=90_000)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_visible()
    for panel in ("constant", "falling"):
        drawn = by_name(page, panel)
        assert len(drawn) == 7
        guide = drawn["guide: slope −1/2"]
        assert guide["x"] == [1, 64]
        np.testing.assert_allclose(guide["y"], [2.0, 0.25], rtol=1e-6)  # L1 starts at |g|^2 = 2
        lines = [t for t in drawn.values() if t["mode"] == "lines+markers"]
        assert len(lines) == 3
        for line in lines:
            assert (line["x"][0], line["x"][-1]) == (1, 64)
            assert line["y"][0] == pytest.approx(2.0)
    cells = table(page)["adamw-inverse-sqrt"]
    assert cells[0].startswith("−")
    assert cells[0].endswith("4 seeds")
    assert cells[1] == "−1/2"
    # Everything is on one screen.
    assert page.evaluate("document.querySelector('.cs-grid').getBoundingClientRect().bottom") <= 900
    page.get_by_role("radio", name="Norm").click()
    expect(page.locator(".cs-table td").nth(1)).to_have_text("−1/4")
    np.testing.assert_allclose(
        by_name(page, "falling")["guide: slope −1/4"]["y"], [2**0.5, 0.5], rtol=1e-6
    )


def test_cancel_keeps_what_was_found(open_page: OpenPage) -> None:
    page = open_page("stationarity?scenario=quadratic&steps=20000")
    chart = page.locator('[data-panel="constant"] .cs-chart').element_handle()
    press(page, "Run")
    page.wait_for_function(
        """() => (document.querySelector('[data-panel="constant"] .cs-chart')._fullData ?? [])
             .some((t) => t.name?.startsWith("AdamW") && t.x.length > 3)""",
        timeout=90_000,
    )
    page.locator('[data-panel="constant"] .cs-cancel').click()
    expect(page.locator(".cs-doing")).to_contain_text("cancelled at T", timeout=120_000)
    expect(page.locator('[data-panel="constant"] .cs-progress')).to_be_hidden()
    assert len(by_name(page, "falling")) == 7
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_visible()
    # The chart was redrawn in place, never put there anew.
    assert chart.evaluate("node => node.isConnected")


def test_a_surrogate_is_called_one(open_page: OpenPage) -> None:
    page = open_page("stationarity?scenario=digits-2bit&steps=16&samples=4&lanes=adamw")
    words = "urrogate; f is discontinuous, the theorem does not apply"
    expect(page.locator(".cs-sentence")).to_contain_text(words)
    expect(page.locator('[data-panel="falling"] .cs-title')).to_contain_text(words)
    press(page, "Run")
    expect(page.locator(".cs-doing")).to_have_text("finished at T 16", timeout=90_000)
    assert "one seed: no interval" in table(page)["adamw-constant"][0]
