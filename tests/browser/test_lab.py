"""The lab in a real browser: what a person presses, sees and keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import Server, wait_until
from tests.browser.lab import (
    fill,
    pause,
    press,
    step,
    table,
    traces,
    wait_for_maps,
    wait_for_step,
    wait_for_whole_ahead,
)

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
LANES = {"AdamW", "S-Adam", "AdamW, smaller step"}

#: Resolves with what the step counter shows in each of the next `n` frames.
STEPS_SHOWN = """
(n) => new Promise((resolve) => {
  const shown = [];
  const look = () => {
    shown.push(Number(document.querySelector(".cs-step").textContent));
    if (shown.length < n) requestAnimationFrame(look); else resolve(shown);
  };
  requestAnimationFrame(look);
})
"""

#: Whether the marker of every optimizer's present place lies on the slice.
PRESENT_PLACES_ARE_SHOWN = """
() => {
  const data = document.querySelector('[data-panel="slice"] .cs-chart')?._fullData ?? [];
  const heat = data.find((t) => t.type === "heatmap");
  const places = data.filter((t) => t.mode === "markers");
  const within = (v, axis) => v >= axis[0] && v <= axis[axis.length - 1];
  return heat && places.length === 3
    && places.every((t) => within(t.x.at(-1), heat.x) && within(t.y.at(-1), heat.y));
}
"""

#: Where the bar's buttons end and stand, and where the figures beside them begin.
BAR = """
() => {
  const boxes = [...document.querySelectorAll(".st-key-bar button")]
    .map((button) => button.getBoundingClientRect()).filter((box) => box.height > 0);
  return {
    right: Math.max(...boxes.map((box) => box.right)),
    middles: boxes.map((box) => box.top + box.height / 2),
    status: document.querySelector(".cs-status").getBoundingClientRect().left,
  };
}
"""

#: Counts frames on which some chart had no drawing, until the charts were refreshed `n` times.
BLANK_FRAMES = """
(n) => new Promise((resolve) => {
  const chart = document.querySelector('[data-panel="strips"] .cs-chart');
  let refreshes = 0, blank = 0, frames = 0;
  chart.on("plotly_afterplot", () => { refreshes += 1; });
  const look = () => {
    frames += 1;
    const drawn = chart.isConnected && chart.querySelectorAll(".scatterlayer path.js-line").length;
    if (!drawn) blank += 1;
    if (refreshes < n) requestAnimationFrame(look); else resolve({ blank, frames });
  };
  requestAnimationFrame(look);
})
"""


def test_first_paint_shows_controls_and_the_measured_start(open_page: OpenPage) -> None:
    page = open_page()
    expect(page).to_have_title(re.compile("Lab|Chatterscope"))
    for name in ("Run", "Step", "Reset", "New seed", "Compute maps"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    assert step(page) == 0
    rows = table(page)
    assert set(rows) == {"adamw", "sadam", "smaller"}
    assert len({cells[0] for cells in rows.values()}) == 1, "one start for all"


def test_a_run_fills_every_view_with_its_own_numbers(open_page: OpenPage) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 140)
    pause(page)
    # Only with the step measured is it known whether its path has left the plane.
    wait_for_whole_ahead(page)
    wait_for_maps(page)
    last = step(page)

    loss = traces(page, "strips")
    assert {t["name"] for t in loss} == LANES
    assert len({t["yaxis"] for t in loss}) == 3, "a strip each"
    assert len({t["y"][0] for t in loss}) == 1, "the same initial loss"
    for trace in loss:
        assert trace["x"][0] == 0
        assert trace["x"][-1] == last
        assert np.isfinite(trace["y"]).all()
    cells = table(page)
    for key, trace in zip(("adamw", "sadam", "smaller"), loss, strict=True):
        assert float(cells[key][0]) == pytest.approx(trace["y"][-1], rel=5e-3)
    jumps = {key: float(row[2]) for key, row in cells.items()}
    assert jumps["adamw"] > jumps["sadam"] > 0, "AdamW chatters in the default scenario"

    damping = traces(page, "damping")
    thin = {(t["yaxis"], t["name"]): t for t in damping if t["width"] < 1}
    values = np.array(thin["y", "S-Adam"]["y"])
    assert ((values > 0) & (values <= 1)).all()
    assert values.std() > 0.1, "the damping scatters"
    lgi = np.array(thin["y2", "S-Adam"]["y"])
    assert ((lgi >= 0) & (lgi <= 2 + 1e-5)).all(), "LGI is at most k / (k - 1)"
    adamw = next(t for t in damping if t["yaxis"] == "y" and t["name"] == "AdamW")
    assert set(adamw["y"]) == {1.0}

    heat, *paths = traces(page, "slice")
    z = np.array(heat["z"])
    assert z.shape == (33, 33)
    assert np.isfinite(z).all()
    assert z.std() > 0
    places = {t["name"]: t for t in paths if t["mode"] == "markers"}
    lines = [t for t in paths if t["mode"] == "lines"]
    assert set(places) == LANES
    for line in lines:
        assert len(line["x"]) > 10
        assert line["x"][-1] == places[line["name"]]["x"][0]
    starts = {(t["x"][0], t["y"][0]) for t in lines}
    assert len(starts) == 1, "all paths leave from one point"

    measure = np.array(traces(page, "map")[0]["z"])
    assert measure.shape == (15, 15)
    assert ((measure >= 0) & (measure <= 4 / 3 + 1e-5)).all()

    for trace in traces(page, "spectrum"):
        assert trace["x"][0] == 0
        assert trace["x"][-1] == 0.5
        assert (np.array(trace["y"]) > 0).all()


def test_pause_stops_the_step_counter(open_page: OpenPage) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 5)
    press(page, "Pause")
    expect(page.locator(".cs-rate")).to_have_text("paused")
    shown = page.evaluate(STEPS_SHOWN, 90)
    assert set(shown) == {shown[0]}, "the step that is shown with the word is the last one"


def test_a_changed_learning_rate_reaches_the_run(open_page: OpenPage) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 5)
    fill(page, "Learning rate", "0.0025")
    before = step(page)
    wait_for_step(page, before + 60)
    assert step(page) > before, "no restart"
    rates = next(t for t in traces(page, "damping") if t["yaxis"] == "y3" and t["name"] == "AdamW")
    assert rates["y"][0] == pytest.approx(0.01)
    assert rates["y"][-1] == pytest.approx(0.0025)


def test_a_bad_value_is_a_sentence_and_the_run_goes_on(open_page: OpenPage) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 5)
    fill(page, "Learning rate", "-1")
    expect(page.locator(".st-key-message")).to_contain_text(
        "Learning rate (lr) is -1; expected a number from 1e-06 to 10."
    )
    wait_for_step(page, step(page) + 20)


def test_text_from_a_link_shows_as_text(open_page: OpenPage) -> None:
    attack = "![x](/a.png) [go](https://evil.example) https://evil.example :red[r] $x^2$ *b*"
    page = open_page("?lr=" + quote(attack))
    message = page.locator(".st-key-message")
    expect(message).to_contain_text(attack[:40])
    assert message.locator("img, a, em, strong, .katex, .stMarkdownColoredText").count() == 0


def test_charts_fit_their_panels_from_the_first_paint(open_page: OpenPage) -> None:
    page = open_page()
    for panel in ("ahead", "strips", "edge", "damping"):
        page.wait_for_function(
            """(name) => {
              const chart = document.querySelector(`[data-panel="${name}"] .cs-chart`);
              const drawn = chart.querySelector(".main-svg")?.getBoundingClientRect().height;
              return Math.abs(drawn - chart.getBoundingClientRect().height) < 1;
            }""",
            arg=panel,
            timeout=10_000,
        )


def test_zoom_survives_ten_refreshes_and_no_frame_is_blank(open_page: OpenPage) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 60)
    drag = page.locator('[data-panel="strips"] .cs-chart .nsewdrag').first.bounding_box()
    assert drag is not None
    middle = drag["y"] + drag["height"] / 2
    page.mouse.move(drag["x"] + 0.1 * drag["width"], middle)
    page.mouse.down()
    page.mouse.move(drag["x"] + 0.4 * drag["width"], middle, steps=5)
    page.mouse.up()
    chart = """document.querySelector('[data-panel="strips"] .cs-chart')"""
    zoom = f"{chart}._fullLayout.xaxis.range.slice()"
    page.wait_for_function(f"{zoom}[0] > 1")
    before = page.evaluate(zoom)
    seen = page.evaluate(BLANK_FRAMES, 10)
    assert seen["blank"] == 0, seen
    assert page.evaluate(zoom) == before


def test_closing_the_tab_pauses_training(open_page: OpenPage, server: Server) -> None:
    page = open_page()
    press(page, "Run")
    wait_for_step(page, 5)
    paused = server.log().count("paused at step")
    page.close()
    wait_until(lambda: server.log().count("paused at step") > paused, 30, "the pause")


def test_a_line_that_breaks_is_said_and_tied_again(open_page: OpenPage) -> None:
    page = open_page("?scenario=moons&steps=100000")
    lines: list[WebSocketRoute] = []

    def through(line: WebSocketRoute) -> None:
        lines.append(line)
        if len(lines) != 2:  # the second try fails
            line.connect_to_server()
        else:
            line.close()

    page.route_web_socket(re.compile("/chatterscope/line"), through)
    page.reload()
    page.wait_for_selector(".cs-table tr[data-lane]")
    press(page, "Run")
    wait_for_step(page, 2)
    lines[0].close()
    expect(page.locator(".cs-status")).to_have_text("no connection, trying again")
    wait_for_step(page, 3)
    assert len(lines) == 3
    pause(page)
    assert traces(page, "strips")[0]["x"][-1] == step(page), "nothing is missing"


def test_maps_can_be_cancelled_and_computed_on_demand(open_page: OpenPage) -> None:
    page = open_page("?slice_resolution=129&map_resolution=65&scenario=digits-32bit")
    press(page, "Step")
    wait_for_step(page, 1)
    press(page, "Compute maps")
    cancel = page.locator('[data-panel="slice"] .cs-cancel')
    cancel.click()
    expect(cancel).to_be_hidden()
    expect(page.locator('[data-panel="map"] .cs-progress')).to_be_hidden()


def test_reset_goes_back_to_the_same_initial_loss(open_page: OpenPage) -> None:
    page = open_page("?scenario=moons")
    start = table(page)
    press(page, "Run")
    wait_for_step(page, 20)
    press(page, "Reset")
    page.wait_for_function("document.querySelector('.cs-step').textContent === '0'")
    page.wait_for_function(
        "text => document.querySelector('.cs-table td').textContent === text", arg=start["adamw"][0]
    )
    press(page, "New seed")
    page.wait_for_function(
        "text => document.querySelector('.cs-table td').textContent !== text", arg=start["adamw"][0]
    )


def test_an_analytic_function_is_its_own_plane(open_page: OpenPage) -> None:
    page = open_page("?scenario=rosenbrock")
    wait_for_maps(page)
    heat = traces(page, "slice")[0]
    x, y, z = (np.array(heat[k]) for k in "xyz")
    grid_x, grid_y = np.meshgrid(x, y)
    expected = 10 * abs(grid_y - grid_x**2) + abs(1 - grid_x)
    shown = 10**z if (z < 0).any() or expected.max() > 20 > z.max() else z
    np.testing.assert_allclose(shown, expected, rtol=1e-3, atol=1e-3)
    press(page, "Run")
    wait_for_step(page, 100)


@pytest.mark.parametrize(
    ("size", "scheme"),
    [((1440, 900), "light"), ((1024, 768), "dark")],
    ids=["laptop-light", "small-dark"],
)
def test_both_sizes_and_themes_fit(open_page: OpenPage, size: tuple[int, int], scheme: str) -> None:
    page = open_page(size=size, scheme=scheme)
    press(page, "Run")
    wait_for_step(page, 160)
    pause(page)
    # A path that has left its plane gets a new one, which holds the present places.
    page.wait_for_function(PRESENT_PLACES_ARE_SHOWN, timeout=60_000)
    wait_for_maps(page)
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, "no horizontal scroll bar"
    bar = page.evaluate(BAR)
    assert max(bar["middles"]) - min(bar["middles"]) < 10, "all buttons stand in one line"
    if size == (1440, 900):
        assert bar["status"] > bar["right"], "the figures stand beside the buttons"
    for panel in ("ahead", "strips", "edge", "slice", "map", "damping", "spectrum"):
        box = page.locator(f'[data-panel="{panel}"] .main-svg').first.bounding_box()
        assert box is not None
        assert box["width"] > 150
        assert box["height"] > 90
        if size == (1440, 900):
            assert box["y"] + box["height"] <= size[1] + 1, f"{panel} is below the fold"
