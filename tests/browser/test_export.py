"""Every chart as a picture and as figures, made in the browser."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import traces, wait_for_maps

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
RUN = "chatterscope-non-smooth-rosenbrock-lr-0-02-seed-0-step-0"
#: The escaping of a file's cells, as the page does it.
CSV = """
async ([traces, name]) =>
  (await import(new URL("chatterscope/export.js", document.baseURI))).csv(traces, name)
"""


def saved(page: Page, panel: str, kind: str) -> tuple[str, bytes]:
    """The name and the content of an export."""
    page.locator(f'[data-panel="{panel}"] .cs-chart').hover()
    button = page.locator(f'[data-panel="{panel}"] .modebar-btn[data-title*="{kind}"]')
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_chart_is_saved_as_pictures_with_its_title_and_as_its_figures(
    open_page: OpenPage,
) -> None:
    page = open_page("?scenario=rosenbrock&slice_resolution=9&map_resolution=5")
    wait_for_maps(page)
    heat = traces(page, "slice")[0]

    name, picture = saved(page, "slice", "PNG")
    assert name == f"{RUN}-loss-slice.png"
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[i : i + 4]) for i in (16, 20))
    box = page.locator('[data-panel="slice"] .cs-chart').bounding_box()
    assert box is not None
    assert width == pytest.approx(2 * box["width"], abs=2), "twice as fine as on the page"
    assert height > 2 * box["height"], "with room for the title"

    name, drawing = saved(page, "slice", "SVG")
    assert name == f"{RUN}-loss-slice.svg"
    text = drawing.decode()
    assert text.startswith("<svg")
    words = re.sub(r"<[^>]*>", " ", text)
    assert "Loss slice" in words
    assert "Non-smooth Rosenbrock · lr 0.02 ·" in words
    assert "The function's own two coordinates" in words

    name, content = saved(page, "slice", "CSV")
    assert name == f"{RUN}-loss-slice.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert {r["run"] for r in rows} == {"Non-smooth Rosenbrock · lr 0.02 · seed 0 · step 0"}
    cells = [(float(r["x"]), float(r["y"]), float(r["z"])) for r in rows if r["z"]]
    shown = [
        (x, y, z)
        for y, row in zip(heat["y"], heat["z"], strict=True)
        for x, z in zip(heat["x"], row, strict=True)
    ]
    assert cells == shown, "81 points, as drawn"


def test_a_name_cannot_become_a_formula(open_page: OpenPage) -> None:
    page = open_page("?scenario=rosenbrock&slice_resolution=9&map_resolution=5")
    names = ["=1+1", "+a", "-a", "@a", "\t=a", "\r=a", 'a,"b"', "plain"]
    made = [{"name": name, "x": [0], "y": [-1.5]} for name in names]
    text = page.evaluate(CSV, [made, "-2+3"])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["series", "x", "y", "z", "run"]
    marked = ["'=1+1", "'+a", "'-a", "'@a", "'\t=a", "'\r=a", 'a,"b"', "plain"]
    assert [row[0] for row in rows[1:]] == marked
    assert {row[2] for row in rows[1:]} == {"-1.5"}, "a number stays a number"
    assert {row[4] for row in rows[1:]} == {"'-2+3"}


@pytest.mark.parametrize(
    ("address", "panels"),
    [
        ("?scenario=abs-l1", ["ahead", "strips", "edge", "slice", "map", "damping", "spectrum"]),
        ("instruments", ["slice", "radius", "byk", "histogram", "damping"]),
        ("stationarity", ["constant", "falling"]),
    ],
)
def test_every_chart_of_a_page_has_the_three_exports(
    open_page: OpenPage, address: str, panels: list[str]
) -> None:
    page = open_page(address)
    for panel in panels:
        buttons = page.locator(f'[data-panel="{panel}"] .modebar-btn[data-title^="Save"]')
        expect(buttons).to_have_count(3)
    there = page.locator(".cs-panel")
    expect(there).to_have_count(len(panels))
    name, content = saved(page, panels[0], "CSV")
    assert name.startswith("chatterscope-")
    (run,) = {row["run"] for row in csv.DictReader(io.StringIO(content.decode()))} or {""}
    assert "seed" in run or address == "stationarity", "not run, nothing drawn"
