"""What can be chosen, dragged and looked back at in the views, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import (
    fill,
    press,
    table,
    traces,
    wait_for_maps,
    wait_for_step,
    wait_for_whole_ahead,
)

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
#: Two moons at 2 bits: a small run that still has stairs and levels; its maps take a moment.
SMALL = "?scenario=moons&bits=2&slice_resolution=9&map_resolution=5"
CHARTS = ("ahead", "strips", "edge", "slice", "map", "damping", "spectrum")

#: From now on `window.slices` notes every slice that is drawn, and how much of it is known.
RECORD_SLICES = """
() => {
  window.slices = [];
  const chart = document.querySelector('[data-panel="slice"] .cs-chart');
  chart.on("plotly_afterplot", () => {
    const heat = chart._fullData.find((t) => t.type === "heatmap");
    const rows = heat ? Array.from(heat.z, (row) => Array.from(row)) : [];
    window.slices.push({ points: heat?.x.length, low: heat?.x[0],
      known: rows.flat().filter(Number.isFinite).length });
  });
}
"""


def chart(panel: str) -> str:
    """A panel's chart, in the page's own language."""
    return f"""(document.querySelector('[data-panel="{panel}"] .cs-chart') ?? {{}})"""


def choose(page: Page, panel: str, option: str) -> None:
    """Choose in a panel's head."""
    page.locator(f'[data-panel="{panel}"] select').select_option(option)


def train(page: Page, steps: int) -> None:
    """Run until all of the experiment's steps are taken."""
    press(page, "Run")
    expect(page.locator(".cs-rate")).to_have_text("finished", timeout=120_000)
    wait_for_view(page, f"Live: step {steps}")


def wait_for_view(page: Page, text: str) -> None:
    """Until the charts show the step that the scrubber's text names."""
    expect(page.locator(".cs-at")).to_have_text(text, timeout=60_000)
    page.wait_for_function("document.querySelector('.cs-grid').ariaBusy === 'false'")


def look(page: Page, at: int) -> None:
    """Move the scrubber and wait until every view of lines has followed."""
    page.evaluate(
        """(at) => {
          const slider = document.querySelector(".cs-slider");
          slider.value = at;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        at,
    )
    expect(page.locator(".cs-at")).to_contain_text(f"View: step {at} of")


def titles(page: Page, panel: str) -> tuple[str, str]:
    return tuple(
        page.evaluate(f"['xaxis', 'yaxis'].map(a => {chart(panel)}._fullLayout[a].title.text)")
    )


def place(page: Page, panel: str, name: str) -> np.ndarray:
    """Where an optimizer's marker stands on the plane."""
    marker = next(t for t in traces(page, panel) if t["mode"] == "markers" and t["name"] == name)
    return np.array([marker["x"][0], marker["y"][0]])


def pixels(page: Page, panel: str, x: float, y: float) -> tuple[float, float]:
    """The place in the window of a place in a chart's coordinates."""
    return tuple(
        page.evaluate(
            f"""([x, y]) => {{
              const chart = {chart(panel)}, box = chart.getBoundingClientRect();
              const {{ xaxis, yaxis }} = chart._fullLayout;
              return [box.x + xaxis._offset + xaxis.l2p(x), box.y + yaxis._offset + yaxis.l2p(y)];
            }}""",
            [x, y],
        )
    )


def figures(page: Page) -> list[dict[str, float]]:
    """The table's rows: the title of a column -> its number."""
    columns = page.locator(".cs-table tr").first.locator("th").all_inner_texts()[1:]
    rows = [
        [float(cell.split()[0].replace("−", "-").replace("–", "nan")) for cell in row]
        for row in table(page).values()
    ]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=8)
    page.mouse.up()


def wait_for_range(page: Page, panel: str, low: float, high: float) -> None:
    """Until the heatmap reaches from `low` to `high`, to a twentieth of that."""
    page.wait_for_function(
        f"""([low, high]) => {{
          const heat = ({chart(panel)}._fullData ?? []).find((t) => t.type === "heatmap");
          const near = (a, b) => Math.abs(a - b) < (high - low) / 20;
          return heat && near(heat.x[0], low) && near(heat.x[heat.x.length - 1], high);
        }}""",
        arg=[low, high],
        timeout=60_000,
    )


def test_a_slice_grows_finer_and_can_be_stopped(open_page: OpenPage) -> None:
    # A convolutional network: its slice takes longer than a few refreshes on any machine.
    page = open_page("?scenario=cnn-2bit&slice_resolution=129&map_resolution=5")
    press(page, "Step")
    wait_for_view(page, "Live: step 1")
    press(page, "Compute maps")
    page.wait_for_function(f"({chart('slice')}._fullData ?? []).some(t => t.type === 'heatmap')")
    page.locator('[data-panel="slice"] .cs-cancel').click()
    note = page.locator('[data-panel="slice"] .cs-note')
    expect(note).to_have_text(re.compile(r"^Cancelled at \d+%\. "))
    expect(page.locator('[data-panel="map"] .cs-note')).to_contain_text("Cancelled before it began")
    x = traces(page, "slice")[0]["x"]
    page.evaluate(RECORD_SLICES)
    low, high = 0.7 * x[0] + 0.3 * x[-1], 0.3 * x[0] + 0.7 * x[-1]
    y = traces(page, "slice")[0]["y"]
    drag(
        page,
        pixels(page, "slice", low, 0.7 * y[0] + 0.3 * y[-1]),
        pixels(page, "slice", high, 0.3 * y[0] + 0.7 * y[-1]),
    )
    wait_for_range(page, "slice", low, high)
    page.wait_for_function(
        "new Set(window.slices.map(s => s.points + ':' + s.known)).size >= 3", timeout=60_000
    )
    press(page, "Reset")
    seen = [s for s in page.evaluate("window.slices") if s["low"] > x[0] + (low - x[0]) / 2]
    points = [s["points"] for s in seen]
    known = [s["known"] for s in seen]
    assert points == sorted(points)
    assert known == sorted(known)
    assert points[0] < 129


def test_a_slice_is_a_heatmap_a_contour_or_a_surface(open_page: OpenPage) -> None:
    page = open_page("?scenario=rosenbrock&slice_resolution=17&map_resolution=5")
    wait_for_maps(page)
    first = traces(page, "slice")
    for kind in ("contour", "surface", "heatmap"):
        choose(page, "slice", kind)
        page.wait_for_function(f"{chart('slice')}._fullData?.[0].type === '{kind}'")
        shown = traces(page, "slice")
        assert shown[0]["z"] == first[0]["z"]
        assert len(shown) == (1 if kind == "surface" else len(first))
        expect(page).to_have_url(
            re.compile(f"surface={kind}") if kind != "heatmap" else re.compile("^(?!.*surface)")
        )
    assert traces(page, "slice") == first


def test_the_spectrums_mark_can_be_dragged(open_page: OpenPage) -> None:
    page = open_page(SMALL + "&steps=80")
    train(page, 80)
    assert shares(page) == pytest.approx(computed_shares(page, 0.1), abs=0.006)
    _, height = pixels(page, "spectrum", 0.1, 0)
    box = page.locator('[data-panel="spectrum"] .nsewdrag').bounding_box()
    assert box is not None
    height = box["y"] + box["height"] / 2
    start, _ = pixels(page, "spectrum", 0.1, 0)
    end, _ = pixels(page, "spectrum", 0.3, 0)
    drag(page, (start, height), (end, height))
    page.wait_for_url(re.compile(r"mark=0\.(29|30?)"))
    mark = float(parse_qs(urlsplit(page.url).query)["mark"][0])
    assert mark == pytest.approx(0.3, abs=0.01)
    expect(page.locator(".cs-table")).to_contain_text(f"Power above {mark:g}")
    expect(page.locator('[data-panel="spectrum"] .cs-note')).to_contain_text(f"mark at {mark:g}")
    assert shares(page) == pytest.approx(computed_shares(page, mark), abs=0.006)
    assert page.evaluate(f"{chart('spectrum')}._fullLayout.shapes[0].x0") == mark


def shares(page: Page) -> list[float]:
    """The shares above the mark that the spectrum's labels state."""
    labels = page.evaluate(f"{chart('spectrum')}._fullLayout.annotations.map(a => a.text)")
    return [int(share) / 100 for share in re.findall(r"(\d+)% above", " ".join(labels))]


def computed_shares(page: Page, mark: float) -> list[float]:
    """The same from the drawn lines: each bin is flat over its width, 0 and 0.5 half as wide."""
    found = []
    for trace in traces(page, "spectrum"):
        f, density = np.array(trace["x"]), np.array(trace["y"])
        edges = np.concatenate(([0.0], (f[1:] + f[:-1]) / 2, [0.5]))
        above = np.clip(edges[1:] - np.maximum(edges[:-1], mark), 0, None)
        found.append(float((density * above).sum() / (density * np.diff(edges)).sum()))
    return found


def test_every_strip_shows_what_its_title_says(open_page: OpenPage) -> None:
    page = open_page(SMALL + "&steps=120")
    train(page, 120)
    losses = {t["name"]: np.array(t["y"]) for t in traces(page, "strips")}
    rows = dict(zip(losses, figures(page), strict=True))

    def chosen(quantity: str, title: str) -> dict[str, np.ndarray]:
        choose(page, "strips", quantity)
        expect(page.locator('[data-panel="strips"] .cs-title')).to_have_text(title)
        drawn = traces(page, "strips")
        assert all(t["x"] == list(range(121)) for t in drawn)
        return {t["name"]: np.array(t["y"], dtype=float) for t in drawn}

    for name, jumps in chosen("jump", "Loss jump per step").items():
        np.testing.assert_allclose(jumps[1:], abs(np.diff(losses[name])), atol=1e-6)
        assert rows[name]["Loss jump per step"] == pytest.approx(jumps[-50:].mean(), rel=5e-3)
    for name, relative in chosen("relative", "Loss jump, relative").items():
        loss = losses[name]
        means = [loss[max(0, n - 49) : n + 1].mean() for n in range(len(loss))]
        np.testing.assert_allclose(relative[1:], abs(np.diff(loss)) / means[1:], rtol=1e-3)
    for name, broken in chosen("broken", "Broken promises").items():
        assert ((broken[1:] >= 0) & (broken[1:] <= 1)).all()
        assert rows[name]["Rose though a fall was promised"] / 100 == pytest.approx(
            broken[-1], rel=5e-3
        )
    for name, kept in chosen("kept", "Promise kept").items():
        assert rows[name]["Promise kept"] / 100 == pytest.approx(kept[-1], rel=5e-3)
    for name, levels in chosen("levels", "Weights changing level").items():
        assert (levels == levels.round()).all()
        assert levels[0] == 0
        assert levels.max() > 0
        assert rows[name]["Weights changing level"] == pytest.approx(levels[-50:].mean(), rel=5e-3)
    for name, loss in chosen("loss", "Loss").items():
        assert (loss == losses[name]).all()


def test_the_spectrum_names_what_it_is_of(open_page: OpenPage) -> None:
    page = open_page(SMALL + "&steps=60")
    train(page, 60)
    title = page.locator('[data-panel="spectrum"] .cs-title')
    note = page.locator('[data-panel="spectrum"] .cs-note')
    expect(title).to_have_text("Spectrum of the gradient")
    drawn = [traces(page, "spectrum")]
    for series, text in (
        ("update", "Spectrum of the update, a divided out"),
        ("update-applied", "Spectrum of the update as applied"),
    ):
        choose(page, "spectrum", series)
        expect(title).to_have_text(text)
        drawn.append(traces(page, "spectrum"))
    expect(note).to_contain_text("random damping alone raises")
    gradient, divided, applied = ({t["name"]: t["y"] for t in some} for some in drawn)
    assert gradient["AdamW"] != divided["AdamW"] == applied["AdamW"], "AdamW is not damped"
    assert divided["S-Adam"] != applied["S-Adam"]


def test_every_view_looks_back_at_what_it_was(open_page: OpenPage) -> None:
    # With an extent of one's own the plane of step 30 stays, whoever leaves it.
    page = open_page(SMALL + "&steps=30&extent=-9,9,-9,9")
    train(page, 30)
    press(page, "Compute maps")
    wait_for_maps(page)
    wait_for_whole_ahead(page)
    shown = everything(page)
    fill(page, "Steps", "90")
    train(page, 90)
    look(page, 30)
    wait_for_whole_ahead(page)
    again = everything(page)
    for part, values in shown.items():
        assert values, part
        assert again[part] == values, part
    # The same while training goes on; on its way it has chosen another plane.
    fill(page, "Steps", "100000")
    press(page, "Run")
    wait_for_step(page, 110)
    look(page, 30)
    wait_for_whole_ahead(page)
    expect(page.locator(".cs-rate")).to_contain_text("steps/s")
    again = everything(page)
    for part, values in shown.items():
        if part in ("slice", "map"):
            assert {len(t["x"]) for t in again[part] if t["mode"] == "lines"} == {31}
        else:
            assert again[part] == values, part


def everything(page: Page) -> dict[str, Any]:
    """What every view shows, by its name."""
    words = {"sentence": page.locator(".cs-sentence").inner_text(), "table": table(page)}
    return words | {panel: traces(page, panel) for panel in CHARTS}


def test_the_microscope_measures_in_updates(open_page: OpenPage) -> None:
    page = open_page(SMALL + "&plane=step&steps=60")
    train(page, 60)
    look(page, 12)
    press(page, "Compute maps")
    note = page.locator('[data-panel="slice"] .cs-note')
    expect(note).to_contain_text("Microscope: update and gradient, step 12: ")
    for words in ("% of their variance", "loss off by", "paths up to"):
        expect(note).to_contain_text(words)
    wait_for_maps(page)
    for panel in ("slice", "map"):
        assert titles(page, panel) == ("updates", "along −gradient, across")
        heat = traces(page, panel)[0]
        for axis in "xy":
            assert (heat[axis][0], heat[axis][-1]) == (-3, 3), "a few steps"
        np.testing.assert_allclose(place(page, panel, "AdamW"), [0, 0], atol=1e-3)
    look(page, 13)
    for panel in ("slice", "map"):
        # Step 12 led to step 13: that is one update along the first axis.
        np.testing.assert_allclose(place(page, panel, "AdamW"), [1, 0], atol=1e-3)
    for other in (20, 30):
        look(page, other)
        wait_for_whole_ahead(page)
        assert "step 12: " in note.inner_text(), "the plane that was asked for stays"
        assert page.locator('[data-panel="slice"] .cs-progress').is_hidden()


def test_a_rectangle_drawn_on_the_slice_becomes_its_extent(open_page: OpenPage) -> None:
    page = open_page("?scenario=rosenbrock&slice_resolution=33&map_resolution=5")
    wait_for_maps(page)
    whole = traces(page, "slice")[0]
    x, y = np.array(whole["x"]), np.array(whole["y"])
    start = pixels(page, "slice", 0.8 * x[0] + 0.2 * x[-1], 0.8 * y[0] + 0.2 * y[-1])
    end = pixels(page, "slice", 0.4 * x[0] + 0.6 * x[-1], 0.3 * y[0] + 0.7 * y[-1])
    drag(page, start, end)
    low, high = 0.8 * x[0] + 0.2 * x[-1], 0.4 * x[0] + 0.6 * x[-1]
    wait_for_range(page, "slice", low, high)
    wait_for_range(page, "map", low, high)
    page.wait_for_url(re.compile("extent="))
    address = parse_qs(urlsplit(page.url).query)["extent"][0]
    heat = traces(page, "slice")[0]
    ends = [heat["x"][0], heat["x"][-1], heat["y"][0], heat["y"][-1]]
    np.testing.assert_allclose(ends, [float(part) for part in address.split(",")], rtol=1e-6)
    grid_x, grid_y = np.meshgrid(heat["x"], heat["y"])
    expected = 10 * abs(grid_y - grid_x**2) + abs(1 - grid_x)
    np.testing.assert_allclose(10 ** np.array(heat["z"]), expected, rtol=1e-3)
    middle = (ends[0] + ends[1]) / 2, (ends[2] + ends[3]) / 2
    page.mouse.dblclick(*pixels(page, "slice", *middle))
    wait_for_range(page, "slice", x[0], x[-1])
    wait_for_range(page, "map", x[0], x[-1])
    page.wait_for_function("!location.search.includes('extent=')")


def test_a_message_goes_with_its_cause(open_page: OpenPage) -> None:
    page = open_page(SMALL + "&steps=20")
    refused = page.locator(".st-key-message")
    fill(page, "Learning rate", "-1")
    expect(refused).to_contain_text("Learning rate (lr) is -1")
    train(page, 20)
    expect(refused).to_have_count(0)
    ended = page.locator(".cs-failed")
    press(page, "Run")
    expect(ended).to_have_text("All 20 steps are taken: raise Steps, or press Reset.")
    fill(page, "Steps", "25")
    expect(ended).to_have_count(0)
    train(page, 25)
    press(page, "Step")
    expect(ended).to_have_text("All 25 steps are taken: raise Steps, or press Reset.")
    press(page, "Reset")
    wait_for_view(page, "Live: step 0")
    expect(ended).to_have_count(0)


def test_other_map_probes_recompute_the_map_by_themselves(open_page: OpenPage) -> None:
    page = open_page("?scenario=rosenbrock&slice_resolution=9&map_resolution=5")
    wait_for_maps(page)
    note = page.locator('[data-panel="map"] .cs-note')
    expect(note).to_contain_text("k 4, σ 0.1, mean")
    before = traces(page, "map")[0]["z"]
    page.get_by_text("Probes and points of the views").click()
    fill(page, "Map probes k", "8")
    expect(note).to_contain_text("k 8, σ 0.1, mean")
    wait_for_maps(page)
    after = np.array(traces(page, "map")[0]["z"])
    assert after.shape == (5, 5)
    assert (after != np.array(before)).any()
    assert after.max() <= 8 / 7 + 1e-5, "LGI is at most k / (k - 1)"


def test_a_narrow_window_folds_and_keeps_its_bar(open_page: OpenPage) -> None:
    page = open_page(SMALL, size=(1024, 768))
    expect(page.get_by_test_id("stSidebar")).to_have_attribute("data-collapsed", "true")
    assert inside(page, '[data-testid="stExpandSidebarButton"]')
    for place in (".st-key-bar", ".cs-scrubber", ".cs-sentence", ".cs-table-holder"):
        assert inside(page, place), place
    assert inside(page, '[data-panel="ahead"]')
    cut = "e => e.scrollWidth > e.clientWidth + 1"
    assert not page.locator(".cs-table-holder").evaluate(cut), "the table is cut"
    page.locator(".cs-next").scroll_into_view_if_needed()
    assert inside(page, ".cs-next")
    assert not inside(page, ".cs-scrubber"), "the page was scrolled"
    assert inside(page, ".st-key-bar")
    press(page, "Step")
    wait_for_step(page, 1)


def inside(page: Page, place: str) -> bool:
    """Whether all of an element lies in the window."""
    box = page.locator(place).bounding_box()
    size = page.viewport_size
    assert box is not None
    assert size is not None
    return (
        box["x"] >= 0
        and box["y"] >= 0
        and box["x"] + box["width"] <= size["width"] + 1
        and box["y"] + box["height"] <= size["height"] + 1
    )
