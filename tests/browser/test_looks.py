"""The pages for everybody: what axe-core finds, text for charts, contrast, sizes and keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from app.glossary import TERMS
from app.lessons.lesson import lessons
from tests.app.report_cases import tiny, torch_file
from tests.browser.axe import violations
from tests.browser.lab import pause, press, step, traces, wait_for_maps, wait_for_step

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
#: A run whose maps take no time.
QUICK = "?v=1&scenario=rosenbrock&slice_resolution=9&map_resolution=5"

#: A small projector first, as the sidebar folds there; a tablet held upright; a laptop.
SIZES = ((1024, 768), (820, 1180), (1440, 900))
#: What has a horizontal scroll bar of those that hold the whole page.
WIDER = """
() => [document.documentElement, document.querySelector(".stMain")]
  .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.className)
"""
#: Visible text below so many pixels, other than exponents, which hang on a figure, and icons.
SMALLER = """
(least) => {
  const small = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const owner = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    const apart = "style, script, option, noscript, tspan[dy], " +
      "[data-testid=stIconMaterial], [data-testid=stIconEmoji]";
    if (!text || owner.closest(apart)) continue;
    const { width, height } = owner.getBoundingClientRect();
    const seen = owner.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const size = parseFloat(getComputedStyle(owner).fontSize);
    if (seen && width > 2 && height > 2 && size < least) small.push(`${size}: ${text}`);
  }
  return small;
}
"""
#: How many lines the parts of the bar stand in: a part below another begins a line.
BAR_LINES = """
() => {
  const boxes = [...document.querySelectorAll(".st-key-bar > *")]
    .map((part) => part.getBoundingClientRect()).filter(({ width }) => width > 0);
  const below = (box) => boxes.some((other) => other.bottom <= box.top);
  return 1 + boxes.filter(below).length;
}
"""
#: How many pixels a menu lacks for the longest of its texts.
CUT = """
(label) => {
  const menu = document.querySelector(`.cs-choice[aria-label="${label}"]`);
  const whole = menu.cloneNode(true);
  whole.style.maxWidth = "none";
  menu.after(whole);
  const lacking = whole.getBoundingClientRect().width - menu.getBoundingClientRect().width;
  whole.remove();
  return lacking;
}
"""


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
    drawn(page, "chart-auc")


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
    """Another page's address, in the look of this one."""
    found = urlsplit(page.url)
    look = "look=projector" if "look=projector" in found.query else ""
    return f"http://{found.netloc}/{path}{'&' if '?' in path else '?'}{look}".rstrip("?&")


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


def open_glossary(page: Page) -> None:
    page.goto(address(page, "glossary"))
    expect(page.get_by_role("heading", name="Weights changing level")).to_be_visible()


PAGES: dict[str, Callable[[Page], None]] = {
    "lab": open_lab,
    "instruments": open_instruments,
    "stationarity": open_stationarity,
    "score": open_score,
    "checkpoint": open_report,
    "glossary": open_glossary,
} | {f"lesson-{key}": lambda page, key=key: open_lesson(page, key) for key in lessons()}


#: The pages with charts or tables of ours.
WITH_VIEWS = ("lab", "instruments", "stationarity", "score", "checkpoint")
#: The pages that are no lesson.
OWN = [name for name in PAGES if not name.startswith("lesson-")]


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


def explains_itself(page: Page) -> None:
    """Every view and table has a card with its terms, each with a link to the glossary."""
    open_card = page.locator(".cs-card:popover-open")
    helps = page.locator(".cs-help")
    expect(helps).to_have_count(page.locator(".cs-panel, .cs-report-panel, .cs-table").count())
    for button in helps.all():
        button.click()
        expect(open_card.locator("h3").first).to_be_visible()
        assert open_card.get_by_role("link").count() == open_card.locator("h3").count()
        page.keyboard.press("Escape")
        expect(open_card).to_have_count(0)


@pytest.mark.parametrize(("look", "scheme"), [("", "light"), ("&look=projector", "dark")])
def test_every_page_fits_and_explains_itself_and_axe_finds_nothing_serious(
    open_page: OpenPage, look: str, scheme: str
) -> None:
    page = open_page(QUICK + look, size=SIZES[0], scheme=scheme)
    # Lessons differ in their text alone: all of them once, and the longest on a projector.
    every = [name for name in PAGES if not look or name in (*OWN, "lesson-geometry")]
    for name in every:
        show = PAGES[name]
        show(page)
        assert violations(page) == [], name
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator("html")).to_have_js_property("clientWidth", width)
            assert page.evaluate(WIDER) == [], f"{name} at {width} scrolls sideways"
        page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
        if look:
            assert page.evaluate(SMALLER, 16) == [], name
        elif name in WITH_VIEWS:
            explains_itself(page)
        if look and name == "lab":
            lines = [trace for trace in traces(page, "strips") if trace["mode"] == "lines"]
            assert lines
            assert all(3 <= trace["width"] <= 4 for trace in lines)


@pytest.mark.parametrize("look", ["", "&look=projector"])
def test_a_small_window_holds_the_bar_in_a_line_and_the_maps_menu_whole(
    open_page: OpenPage, look: str
) -> None:
    small = "?scenario=moons&bits=2&slice_resolution=9&map_resolution=5&step=105"
    page = open_page(small + look, size=SIZES[0])
    wait_for_maps(page)
    expect(page.get_by_role("button", name="File")).to_be_visible()
    assert page.evaluate(BAR_LINES) == 1
    assert page.evaluate(CUT, "Measure") <= 0


def test_light_dark_and_projector_are_chosen_on_the_page(open_page: OpenPage) -> None:
    page = open_page(QUICK)
    grid = page.locator(".cs-grid")
    expect(grid).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Main menu").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    expect(grid).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    page.get_by_text("Projector", exact=True).click()
    expect(grid).to_have_attribute("data-look", "projector")
    page.wait_for_function("location.search.includes('look=projector')")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Lessons").click()
    expect(page.get_by_role("heading", name="How fast does it chatter?")).to_be_visible()
    expect(page.get_by_role("link", name="|x|, β1 0.9")).to_have_attribute(
        "href", re.compile("&look=projector$")
    )
    page.get_by_text("Projector", exact=True).click()
    page.wait_for_function("!location.search.includes('look')")


def test_the_links_between_pages_stand_alike_on_all_of_them(open_page: OpenPage) -> None:
    page = open_page(QUICK)
    links = page.locator(".st-key-pages a")
    expect(links).to_have_count(7)
    first = [link.bounding_box() for link in links.all()]
    for path in ("instruments", "stationarity", "score", "checkpoint", "glossary", "lessons"):
        page.goto(address(page, path))
        expect(page.locator(f'.st-key-pages a[href$="{path}"]')).to_be_visible()
        page.wait_for_function(
            """(first) => [...document.querySelectorAll(".st-key-pages a")].every((link, i) => {
              const box = link.getBoundingClientRect();
              return ["x", "y", "width", "height"].every((key) => box[key] === first[i]?.[key]);
            })""",
            arg=first,
        )


def test_a_look_that_is_none_is_said(open_page: OpenPage) -> None:
    page = open_page(QUICK + "&look=loud")
    expect(page.locator(".st-key-message")).to_contain_text(
        "The link's look (look) is 'loud'; expected projector or nothing."
    )


def test_a_view_explains_itself_by_mouse_and_by_keys(open_page: OpenPage) -> None:
    page = open_page(QUICK + "&measure=holder")
    view = page.locator('[data-panel="map"]')
    card = view.locator(".cs-card")
    help_button = view.get_by_role("button", name="What map shows")
    help_button.click()
    expect(card).to_contain_text(TERMS["holder"].text)
    expect(card).to_contain_text(TERMS["holder"].formula)
    expect(card).to_contain_text(TERMS["map"].source)
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    help_button.focus()
    page.keyboard.press("Enter")
    expect(card).to_be_visible()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(help_button).to_be_focused()
    assert step(page) == 0, "Enter did not reach the run"


def test_the_table_explains_the_figures_that_it_shows(open_page: OpenPage) -> None:
    page = open_page(QUICK)
    button = page.get_by_role("button", name="What table shows")
    card = page.locator(".cs-table-holder .cs-card")
    button.click()
    expect(card).to_contain_text(TERMS["promise"].formula)
    page.keyboard.press("Escape")
    page.locator('.cs-choice[aria-label="Figures"]').select_option("oscillation")
    expect(page.locator(".cs-table")).to_contain_text("Update cosine")
    button.click()
    expect(card).to_contain_text(TERMS["sharpness"].formula)
    expect(card).not_to_contain_text(TERMS["promise"].formula)
