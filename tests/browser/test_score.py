"""The page Score in a real browser: the kept table as it is, and its protocol beside it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.score import kept
from app.score.protocol import SCORES
from tests.browser.conftest import SCREENSHOTS
from tests.browser.lab import traces
from tests.browser.test_export import saved

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

RESULT: dict[str, Any] = json.loads(Path(kept.RESULT).read_text(encoding="utf-8"))
SETTINGS = [(size, t) for size in (2, 200) for t in (0.0, 0.5, None)]
NAMES = {0.0: "0", 0.5: "½", None: "random"}
#: Every row's cells.
READ = """
() => [...document.querySelectorAll("[data-table=scores] tr[data-row]")].map((row) => ({
  score: row.dataset.row, cells: [...row.querySelectorAll("td")].map((cell) => cell.innerText),
}))
"""
#: Whether the page's ground is light and its table's ink dark, or the other way round.
LIGHT_IS = """
(light) => {
  const red = (name, what) =>
    Number(getComputedStyle(document.querySelector(name))[what].match(/\\d+/g)[0]);
  const [ground, ink] = [red(".stApp", "backgroundColor"), red("[data-table=scores] td", "color")];
  return light ? ground > 200 && ink < 80 : ground < 80 && ink > 200;
}
"""


def open_score(open_page: OpenPage, **look: Any) -> Page:
    page = open_page("stationarity", **look)  # nothing runs there by itself
    page.get_by_role("link", name="Score").click()
    page.wait_for_selector("[data-table=scores] tr[data-row]", timeout=60_000)
    return page


def rows(seed: int, size: int, distance: float | None) -> dict[str, dict[str, Any]]:
    """One setting's rows as the file has them."""
    return {
        row["score"]: row
        for row in RESULT["rows"]
        if (row["seed"], row["size"], row["distance"]) == (seed, size, distance)
    }


def assert_table_is(page: Page, expected: dict[str, dict[str, Any]]) -> None:
    """The table and the chart have the figures of the file."""
    assert list(expected) == [score.key for score in SCORES]
    first = next(iter(expected.values()))["aucs"][0]["value"]
    cell = page.locator("[data-table=scores] tr[data-row] td:nth-child(3)").first
    expect(cell).to_have_text(re.compile(f"^{first:.2f} "))
    shown = page.evaluate(READ)
    assert [row["score"] for row in shown] == list(expected)
    for row in shown:
        truth = expected[row["score"]]
        _, _rough, *aucs, unresolved, draws, forwards, milliseconds = row["cells"]
        for text, auc in zip(aucs, truth["aucs"], strict=True):
            assert text == f"{auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f})"
        assert unresolved == ", ".join(f"{100 * share:.3g}" for share in truth["unresolved"])
        assert (draws, forwards) == (str(truth["draws"]), str(truth["forwards"]))
        assert milliseconds == f"{truth['milliseconds']:.2f}"
    page.wait_for_function(
        """([name, first]) => document.querySelector(`[data-panel="${name}"] .cs-chart`)
          ?._fullData?.[1]?.x[0] === first""",
        arg=["chart-auc", first],
    )
    drawn = [trace for trace in traces(page, "chart-auc") if trace["mode"] == "markers"]
    for at, trace in enumerate(drawn):
        assert trace["x"] == [row["aucs"][at]["value"] for row in expected.values()]


def choose(page: Page, name: str, text: str) -> None:
    group = page.locator(f".st-key-score-{name}")
    group.get_by_text(text, exact=True).click()


def test_the_table_is_the_kept_file_in_every_setting(open_page: OpenPage) -> None:
    page = open_score(open_page)
    assert_table_is(page, rows(0, 200, None))
    assert_small_tables_are_the_kept_file(page)
    assert_the_protocol_is_beside_the_table(page)
    for size, distance in SETTINGS:
        choose(page, "size", f"P = {size}")
        choose(page, "distance", f"t {NAMES[distance]}")
        words = f"P = {size}, distance {NAMES[distance]}. Highest against smooth:"
        expect(page.locator(".score-sentence")).to_contain_text(words)
        assert_table_is(page, rows(0, size, distance))
    choose(page, "seed", "seed 1")
    assert_table_is(page, rows(1, 200, None))


def test_chart_and_table_are_saved_with_their_setting(open_page: OpenPage) -> None:
    page = open_score(open_page)
    run = "chatterscope-score-p-200-distance-random-seed-0"
    chart = f"{run}-are-smooth-kink-and-jump-told-apart"
    name, picture = saved(page, "chart-auc", "PNG")
    assert (name, picture[:4]) == (f"{chart}.png", b"\x89PNG")
    name, drawing = saved(page, "chart-auc", "SVG")
    assert name == f"{chart}.svg"
    text = re.sub(r"<[^>]*>", " ", drawing.decode())
    for words in ("Score · P = 200 · distance random · seed 0", "Jump vs smooth", "Hölder r to 4r"):
        assert words in text
    name, content = saved(page, "chart-auc", "CSV")
    assert name == f"{chart}.csv"
    found = list(csv.DictReader(io.StringIO(content.decode())))
    truth = rows(0, 200, None)["roughness"]["aucs"][0]
    for series, values in (
        ("Kink vs smooth", ["value"]),
        ("Kink vs smooth, 90% interval", ["low", "high"]),
    ):
        cells = [r["x"] for r in found if (r["series"], r["y"]) == (series, "Roughness")]
        assert [float(cell) for cell in cells if cell] == [truth[value] for value in values]

    with page.expect_download() as download:
        page.locator("[data-table=scores]").get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == f"{run}-auc-and-what-a-point-costs.csv"
    text = Path(download.value.path()).read_text("utf-8")
    header, *lines = csv.reader(io.StringIO(text))
    assert (header[0], header[-1]) == ("Score", "run")
    assert [line[:-1] for line in lines] == [row["cells"] for row in page.evaluate(READ)]
    assert {line[-1] for line in lines} == {"Score · P = 200 · distance random · seed 0"}


def assert_small_tables_are_the_kept_file(page: Page) -> None:
    for table, size in enumerate((2, 200)):
        small = page.locator(".score-small").nth(table)
        expect(small.locator("th").first).to_have_text(f"P = {size}")
        for at, score in enumerate(SCORES):
            values = small.locator("tbody tr").nth(at).locator("td").all_inner_texts()[1:]
            settings = [rows(0, size, t)[score.key]["aucs"] for t in NAMES]
            assert values == [f"{auc['value']:.2f}" for aucs in settings for auc in aucs]


def assert_the_protocol_is_beside_the_table(page: Page) -> None:
    listed = page.locator(".score-protocol")
    protocol, (overlapping, of) = RESULT["protocol"], kept.load().repeated()
    for words in (
        f"{protocol['functions']} a class and setting",
        f"{protocol['budget']} forward passes a point for every score",
        "90%, bootstrap over functions, 2,000 resamples",
        "counts as lowest",
        f"intervals of seeds 0 and 1 overlap in {overlapping} of {of} AUCs",
        f"{RESULT['date']}, Chatterscope {RESULT['version']}; python ",
    ):
        expect(listed).to_contain_text(words)
    large = page.locator("[data-table=scores]").bounding_box()
    beside = listed.bounding_box()
    assert large is not None
    assert beside is not None
    assert beside["x"] >= large["x"] + large["width"], "beside the table"
    assert beside["y"] < large["y"] + large["height"]


def test_it_fits_both_sizes_and_follows_the_theme(open_page: OpenPage) -> None:
    page = open_score(open_page)
    for width, height in ((1440, 900), (1024, 768)):
        page.set_viewport_size({"width": width, "height": height})
        page.reload()  # as a visitor with a window of this size meets it
        page.wait_for_selector(".score-small tbody tr", timeout=60_000)
        for place in (":root", ".stMain", ".st-key-score-both > *", ".score-wide"):
            wide = page.evaluate(
                "name => [...document.querySelectorAll(name)].map("
                "(node) => node.scrollWidth - node.clientWidth)",
                place,
            )
            assert wide, f"{place} is not there"
            assert max(wide) <= 0, f"{place} scrolls sideways at {width} px"
        for place in ("[data-table=scores]", ".score-wide", ".score-protocol", ".score-sentence"):
            box = page.locator(place).bounding_box()
            assert box is not None
            assert box["x"] >= 0, place
            assert box["x"] + box["width"] <= width + 1, place
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(LIGHT_IS, arg=scheme == "light")
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"score-{scheme}-{width}.png")
