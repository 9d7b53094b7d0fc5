"""The page Instruments in a real browser: a point is dragged, and every instrument answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlparse

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from demo_models.known import KNOWN
from tests.browser.lab import fill, table, traces

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

#: Counts frames on which the function or a curve had no drawing, until `window.halt` is set.
WATCH_FRAMES = """
() => {
  window.seen = { frames: 0, blank: 0 };
  const drawn = (name, what) =>
    document.querySelector(`[data-panel="${name}"] .cs-chart ${what}`) !== null;
  const look = () => {
    window.seen.frames += 1;
    const whole = drawn("slice", ".contourlayer path, .heatmaplayer image")
      && drawn("radius", "path.js-line") && drawn("histogram", ".bars path");
    if (!whole) window.seen.blank += 1;
    if (!window.halt) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


def rest(page: Page, seconds: float = 120) -> None:
    """Until everything at the present point is measured."""
    expect(page.locator(".cs-doing")).to_have_text("at rest", timeout=seconds * 1000)


def cell(page: Page, key: str, column: int) -> str:
    return table(page)[key][column]


def wait_for_cell(page: Page, key: str, column: int, condition: str) -> None:
    """Until a cell's text meets a JavaScript condition on `text`."""
    page.wait_for_function(
        f"""([key, column]) => {{
          const row = document.querySelector(`.cs-table tr[data-lane="${{key}}"]`);
          const text = row?.querySelectorAll("td")[column].firstChild?.textContent ?? "";
          return {condition};
        }}""",
        arg=[key, column],
        timeout=120_000,
    )


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the plane is on the screen."""
    left, top = page.evaluate(
        """([x, y]) => {
          const chart = document.querySelector('[data-panel="slice"] .cs-chart');
          const { xaxis, yaxis } = chart._fullLayout;
          const { left, top } = chart.getBoundingClientRect();
          return [left + xaxis._offset + xaxis.l2p(x), top + yaxis._offset + yaxis.l2p(y)];
        }""",
        [x, y],
    )
    return left, top


def knob(page: Page) -> tuple[float, float]:
    """The middle of the handle on the screen."""
    box = page.locator(".cs-handle").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def query(page: Page) -> dict[str, float]:
    """The point in the address."""
    found = parse_qs(urlparse(page.url).query)
    return {name: float(found[name][0]) for name in ("x", "y") if name in found}


def test_the_page_opens_in_time_and_on_one_screen(open_page: OpenPage) -> None:
    open_page("instruments").close()  # the first visit waits for torch
    begun = time.monotonic()
    page = open_page("instruments")
    assert time.monotonic() - begun < 30
    rest(page)
    assert page.evaluate("document.documentElement.scrollHeight - window.innerHeight") <= 0
    assert cell(page, "holder", 0) == "1.00"
    assert cell(page, "diameter-wide", 0) == "≥ 2.00"
    assert cell(page, "diameter-wide", 2) == "2.00"
    x, y = knob(page)
    assert (x, y) == pytest.approx(on_screen(page, 0, 0), abs=1)


def test_every_function_can_be_chosen_and_shows_its_true_answers(open_page: OpenPage) -> None:
    page = open_page("instruments?draws=40")
    for key, known in list(KNOWN.items())[::-1]:
        page.locator(".st-key-field-function [role=combobox], .st-key-field-function input").click()
        page.get_by_role("option", name=known.title, exact=True).click()
        sentence = page.locator(".cs-sentence")
        expect(sentence).to_contain_text(f"{known.title}, {known.places[0][0]}", timeout=20_000)
        truth = known.truth(known.point())
        shown = table(page)
        for row, value in (
            ("lgi", truth.lgi),
            ("holder", truth.holder),
            ("diameter-wide", truth.diameter),
            ("stationarity-narrow", truth.stationarity),
        ):
            text = shown[row][2]
            if value is None:
                assert text.startswith("–"), (key, row, text)
                assert len(text) > 2, "and says why"
            elif value == float("inf"):
                assert text.startswith("∞")
            else:
                assert float(text) == pytest.approx(value, rel=6e-3, abs=1e-9), (key, row)


def test_dragging_the_point_changes_the_numbers_without_a_blank_frame(open_page: OpenPage) -> None:
    page = open_page("instruments")
    rest(page)
    assert cell(page, "holder", 0) == "1.00"
    page.evaluate(WATCH_FRAMES)
    page.mouse.move(*knob(page))
    page.mouse.down()
    page.mouse.move(*on_screen(page, 0.5, 0.5), steps=4)
    page.mouse.move(*on_screen(page, 1, 0.6), steps=4)
    # While it is still held: off the kink the function is linear.
    wait_for_cell(page, "holder", 0, "text === 'not resolved'")
    assert knob(page) == pytest.approx(on_screen(page, 1, 0.6), abs=2), "it is where the hand is"
    page.mouse.up()
    wait_for_cell(page, "gradient", 2, "text === '1.00'")
    rest(page)
    page.evaluate("window.halt = true")
    seen = page.evaluate("window.seen")
    assert seen["frames"] > 5
    assert seen["blank"] == 0, seen
    page.wait_for_function("new URLSearchParams(location.search).has('x')")
    assert query(page) == {"x": pytest.approx(1, abs=0.03), "y": pytest.approx(0.6, abs=0.03)}
    # The address comes first, the fields beside the grid follow.
    page.wait_for_function(
        """x => Math.abs(document.querySelector('input[aria-label="Point x"]').value - x) < 1e-3""",
        arg=query(page)["x"],
    )
    assert cell(page, "roughness", 3) == "not resolved: linear or flat here"


def test_a_drop_close_to_the_kink_lands_on_it(open_page: OpenPage) -> None:
    page = open_page("instruments?x=1&y=0.5")
    rest(page)
    assert cell(page, "holder", 0) == "not resolved"
    page.mouse.click(*on_screen(page, 1.0, -0.505))
    wait_for_cell(page, "holder", 0, "text === '1.00'")
    page.wait_for_function("new URLSearchParams(location.search).get('y')?.startsWith('-0.5')")
    at = query(page)
    assert at["x"] + 2 * at["y"] == pytest.approx(0, abs=1e-12)


def test_arrow_keys_and_named_places_move_the_point(open_page: OpenPage) -> None:
    page = open_page("instruments?function=quadratic&draws=40")
    rest(page)
    page.locator(".cs-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("new URLSearchParams(location.search).get('x') === '1.04'")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("new URLSearchParams(location.search).get('y') === '0.54'")
    page.get_by_role("radio", name="at the minimum").or_(
        page.get_by_role("button", name="at the minimum")
    ).click()
    wait_for_cell(page, "lgi", 0, "Number(text) < 0.001")
    wait_for_cell(page, "asymmetry", 2, "text === '1.00'")


def test_many_draws_at_a_kink_come_near_one_less_two_over_pi(open_page: OpenPage) -> None:
    page = open_page("instruments?size=200&k=16&draws=1000")
    rest(page)
    assert float(cell(page, "lgi", 1)) == pytest.approx(0.363, abs=0.015)
    assert cell(page, "lgi", 2) == "0.362"
    by_k = {t["name"]: t for t in traces(page, "byk")}
    assert by_k["lgi"]["x"][-1] == 64
    assert by_k["lgi"]["y"][-1] == pytest.approx(0.363, abs=0.015)


def test_on_a_slope_the_histogram_follows_the_law(open_page: OpenPage) -> None:
    page = open_page("instruments?function=linear&size=200&k=8&draws=2000")
    rest(page)
    found = {t["name"]: t for t in traces(page, "histogram")}
    bars, law = np.array(found["draws"]["y"]), found["law"]
    share = np.interp(found["draws"]["x"], law["x"], law["y"])
    assert bars.sum() == pytest.approx(1)
    assert np.abs(bars - share).max() < 0.03
    assert np.corrcoef(bars, share)[0, 1] > 0.98
    note = page.locator('[data-panel="damping"] .cs-note').inner_text()
    assert "the law on a slope: 0.145 at k 8." in note
    assert float(note.split("mean ")[1].split(";")[0]) == pytest.approx(0.145, abs=0.005)
    page.locator('[data-panel="histogram"] select').select_option("asymmetry")
    page.wait_for_function("new URLSearchParams(location.search).get('shown') === 'asymmetry'")
    page.wait_for_function(
        """document.querySelector('[data-panel="histogram"] .cs-chart')._fullData.length === 1"""
    )


def test_a_bad_number_is_a_sentence_and_nothing_is_lost(open_page: OpenPage) -> None:
    page = open_page("instruments?size=40")
    fill(page, "Probes k", "1")
    expect(page.locator(".st-key-message")).to_contain_text(
        "Probes k (k) is 1; expected a whole number from 2 to 64."
    )
    assert "size=40" in page.url
    assert cell(page, "holder", 0) == "1.00"


def test_text_from_a_link_to_the_instruments_shows_as_text(open_page: OpenPage) -> None:
    attack = "![x](/a.png) [go](https://evil.example) :red[r] $x^2$ *b*"
    page = open_page("instruments?k=" + quote(attack))
    message = page.locator(".st-key-message")
    expect(message).to_contain_text(attack[:40])
    assert message.locator("img, a, em, strong, .katex, .stMarkdownColoredText").count() == 0


def test_a_rounded_network_names_its_surrogate(open_page: OpenPage) -> None:
    page = open_page("instruments?function=digits-2bit&dtype=float32&draws=20&samples=4")
    rest(page)
    for key in ("diameter-wide", "stationarity-narrow", "gradient"):
        assert cell(page, key, 0).endswith("surrogate")
    assert not cell(page, "lgi", 0).endswith("surrogate")
    heat = np.array(traces(page, "slice")[0]["z"], dtype=float)
    assert heat.shape == (33, 33)
    assert np.isfinite(heat).all()


def test_the_lab_and_the_instruments_lead_to_each_other(open_page: OpenPage) -> None:
    page = open_page("instruments")
    page.get_by_role("link", name="Lab").click()
    page.wait_for_selector('.cs-table tr[data-lane="adamw"]', timeout=60_000)
    page.get_by_role("link", name="Instruments").click()
    page.wait_for_selector('.cs-table tr[data-lane="holder"]', timeout=120_000)
    assert cell(page, "holder", 2) == "1.00"


@pytest.mark.parametrize(("size", "scheme"), [((1440, 900), "light"), ((1024, 768), "dark")])
def test_the_instruments_fit_both_sizes_and_themes(
    open_page: OpenPage, size: tuple[int, int], scheme: str
) -> None:
    page = open_page("instruments?function=rosenbrock&k=8", size=size, scheme=scheme)
    rest(page)
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, "no horizontal scroll bar"
    for panel in ("slice", "radius", "byk", "histogram", "damping"):
        box = page.locator(f'[data-panel="{panel}"] .main-svg').first.bounding_box()
        assert box is not None
        assert box["width"] > 250
        assert box["height"] > 150
        if size == (1440, 900):
            assert box["y"] + box["height"] <= size[1] + 1, f"{panel} is below the fold"
    holder = page.locator(".cs-table-holder")
    assert holder.evaluate("node => node.scrollWidth - node.clientWidth") <= 0
