"""The page Score in a real browser: the kept table as it is, and its protocol beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.score import kept
from app.score.protocol import SCORES
from tests.browser.conftest import SCREENSHOTS

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

RESULT: dict[str, Any] = json.loads(Path(kept.RESULT).read_text(encoding="utf-8"))
SETTINGS = [(size, t) for size in (2, 200) for t in (0.0, 0.5, None)]
NAMES = {0.0: "0", 0.5: "½", None: "random"}
#: Every row's cells, and for each AUC its class and the ends of its drawn interval.
READ = """
() => [...document.querySelectorAll(".score-large tbody tr")].map((row) => ({
  score: row.dataset.score,
  cells: [...row.querySelectorAll("td")].map((cell) => cell.innerText.replace(/\\s+/g, " ").trim()),
  strips: [...row.querySelectorAll(".strip")].map((strip) => {
    const whole = strip.getBoundingClientRect();
    const share = (x) => (x - whole.left) / whole.width;
    const line = strip.querySelector("i").getBoundingClientRect();
    const dot = strip.querySelector("em").getBoundingClientRect();
    return [share(line.left), share((dot.left + dot.right) / 2), share(line.right)];
  }),
  sides: [...row.querySelectorAll(".strip")].map((strip) => strip.classList[1]),
}))
"""


#: Whether the page's ground is light and its table's ink dark, or the other way round.
LIGHT_IS = """
(light) => {
  const red = (name, what) =>
    Number(getComputedStyle(document.querySelector(name))[what].match(/\\d+/g)[0]);
  const [ground, ink] = [red(".stApp", "backgroundColor"), red(".score-large b", "color")];
  return light ? ground > 200 && ink < 80 : ground < 80 && ink > 200;
}
"""


def open_score(open_page: OpenPage, **look: Any) -> Page:
    page = open_page("stationarity", **look)  # nothing runs there by itself
    page.get_by_role("link", name="Score").click()
    page.wait_for_selector(".score-large tbody tr", timeout=60_000)
    return page


def rows(seed: int, size: int, distance: float | None) -> dict[str, dict[str, Any]]:
    """One setting's rows as the file has them."""
    return {
        row["score"]: row
        for row in RESULT["rows"]
        if (row["seed"], row["size"], row["distance"]) == (seed, size, distance)
    }


def side(auc: dict[str, float]) -> str:
    return "above" if auc["low"] > 0.5 else "below" if auc["high"] < 0.5 else "coin"


def assert_table_is(page: Page, expected: dict[str, dict[str, Any]]) -> None:
    shown = page.evaluate(READ)
    assert [row["score"] for row in shown] == [score.key for score in SCORES] == list(expected)
    for row in shown:
        truth = expected[row["score"]]
        _, *aucs, unresolved, draws, forwards, milliseconds = row["cells"]
        for text, auc in zip(aucs, truth["aucs"], strict=True):
            assert text == f"{auc['value']:.2f} {auc['low']:.2f} to {auc['high']:.2f}"
        assert unresolved == ", ".join(f"{100 * share:.3g}" for share in truth["unresolved"])
        assert (draws, forwards) == (str(truth["draws"]), str(truth["forwards"]))
        assert milliseconds == f"{truth['milliseconds']:.2f}"
        assert row["sides"] == [side(auc) for auc in truth["aucs"]]
        for drawn, auc in zip(row["strips"], truth["aucs"], strict=True):
            assert drawn == pytest.approx([auc["low"], auc["value"], auc["high"]], abs=0.01)


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
    first = page.evaluate(READ)
    choose(page, "seed", "seed 1")
    page.wait_for_function(
        "old => document.querySelector('.score-large tbody tr td.auc b').innerText !== old",
        arg=first[0]["cells"][1].split()[0],
    )
    assert_table_is(page, rows(1, 200, None))


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
    large, beside = page.locator(".score-large").bounding_box(), listed.bounding_box()
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
        for place in (":root", ".stMain", ".score-both > div", ".score-wide"):
            wide = page.evaluate(
                "name => [...document.querySelectorAll(name)].map("
                "(node) => node.scrollWidth - node.clientWidth)",
                place,
            )
            assert wide, f"{place} is not there"
            assert max(wide) <= 0, f"{place} scrolls sideways at {width} px"
        for place in (".score-large", ".score-wide", ".score-protocol", ".score-sentence"):
            box = page.locator(place).bounding_box()
            assert box is not None
            assert box["x"] >= 0, place
            assert box["x"] + box["width"] <= width + 1, place
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(LIGHT_IS, arg=scheme == "light")
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"score-{scheme}-{width}.png")
