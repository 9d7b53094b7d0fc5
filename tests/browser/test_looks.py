"""The pages for everybody: what axe-core finds, text for charts, contrast, sizes and keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.lessons.lesson import lessons
from tests.app.report_cases import tiny, torch_file
from tests.browser.axe import violations
from tests.browser.lab import pause, press, traces, wait_for_maps, wait_for_step

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
SCHEMES = ("light", "dark")
#: A run whose maps take no time.
QUICK = "?v=1&scenario=rosenbrock&slice_resolution=9&map_resolution=5"


def open_lab(page: Page) -> None:
    """Train until every panel of the lab has something to show."""
    press(page, "Run")
    wait_for_step(page, 40)
    pause(page)
    wait_for_maps(page)


def open_instruments(page: Page) -> None:
    page.goto(address(page, "instruments"))
    for panel in ("slice", "radius", "byk", "histogram", "damping"):
        drawn(page, panel)


def open_stationarity(page: Page) -> None:
    page.goto(address(page, "stationarity?steps=200&seeds=1"))
    page.wait_for_selector('[data-panel="constant"]')
    press(page, "Run")
    for panel in ("constant", "falling"):
        drawn(page, panel)


def open_score(page: Page) -> None:
    page.goto(address(page, "score"))
    expect(page.locator(".score-large tbody tr").first).to_be_visible()


def open_report(page: Page) -> None:
    """Upload a small network and wait for its whole report."""
    from tests.browser.test_checkpoint import drop, finish

    page.goto(address(page, "checkpoint"))
    page.wait_for_selector('[data-testid="stFileUploader"]')
    drop(page, "model.pt", torch_file({"model": dict(tiny(0).state_dict())}))
    finish(page)
    expect(page.locator('[data-panel="chart-slice"] .heatmaplayer image')).to_be_visible()


def open_lesson(page: Page, key: str) -> None:
    """One lesson with its answer unfolded."""
    page.goto(address(page, f"lessons?lesson={key}"))
    expect(page.get_by_role("heading", name=lessons()[key].title, exact=True)).to_be_visible()
    for answer in page.get_by_text("Answer", exact=True).all():
        answer.click()


def address(page: Page, path: str) -> str:
    host = page.url.partition("//")[2].partition("/")[0]
    return f"http://{host}/{path}"


def drawn(page: Page, panel: str) -> None:
    """Until a panel's chart holds a trace."""
    page.wait_for_function(
        """(name) => {
          const chart = document.querySelector(`[data-panel="${name}"] .cs-chart`);
          return (chart?._fullData ?? []).length > 0;
        }""",
        arg=panel,
        timeout=120_000,
    )


PAGES: dict[str, Callable[[Page], None]] = {
    "lab": open_lab,
    "instruments": open_instruments,
    "stationarity": open_stationarity,
    "score": open_score,
    "checkpoint": open_report,
} | {f"lesson-{key}": lambda page, key=key: open_lesson(page, key) for key in lessons()}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious_on_any_page(open_page: OpenPage, scheme: str) -> None:
    page = open_page(QUICK, scheme=scheme)
    for name, show in PAGES.items():
        show(page)
        assert violations(page) == [], name


def told(value: float) -> str:
    """A figure as the text alternatives have it."""
    return f"{float(f'{value:.3g}'):g}".replace("-", "−")


def test_a_chart_is_also_text_with_the_figures_that_it_draws(open_page: OpenPage) -> None:
    page = open_page(QUICK)
    open_lab(page)
    chart = page.get_by_role("figure")
    expect(chart).to_have_count(7)
    lines = [trace for trace in traces(page, "strips") if trace["mode"] == "lines"]
    assert {trace["name"] for trace in lines} == {"AdamW", "S-Adam", "AdamW, smaller step"}
    text = page.locator('[data-panel="strips"] .cs-chart').get_attribute("aria-label") or ""
    for trace in lines:
        end = f"{trace['name']}: {told(trace['y'][-1])} at step {trace['x'][-1]}, "
        ends = f"lowest {told(min(trace['y']))} at step"
        assert text.index(end) < text.index(ends, text.index(end)), text
    (heat,) = [trace for trace in traces(page, "slice") if trace["type"] == "heatmap"]
    values = [value for row in heat["z"] for value in row]
    text = page.locator('[data-panel="slice"] .cs-chart').get_attribute("aria-label") or ""
    assert text.startswith(f"Loss slice. loss: lowest {told(min(values))} at ("), text
    assert f"highest {told(max(values))} at (" in text
    # What is drawn anew is told anew.
    page.locator('.cs-choice[aria-label="Shown"]').select_option("jump")
    changed = page.locator('[data-panel="strips"] .cs-chart[aria-label^="Loss jump per step."]')
    expect(changed).to_be_visible()
