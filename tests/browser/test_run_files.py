"""A run saved from the File menu: the page without a network, the numbers, and the slice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app.experiment import Experiment
from app.glossary import TERMS
from tests.browser.lab import (
    pause,
    press,
    step,
    table,
    traces,
    wait_for_maps,
    wait_for_step,
    wait_for_whole_ahead,
)
from tests.browser.test_export import saved

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
PANELS = ["ahead", "strips", "edge", "slice", "map", "damping", "spectrum"]
SMALL = "?scenario=moons&bits=2&seeds=2&slice_resolution=9&map_resolution=5&steps=100000"
NAME = "chatterscope-two-moons-mlp-with-tanh-2-bit-lr-0-01-seeds-0-to-1"


def save(page: Page, label: str, folder: Path) -> Path:
    """Press a button of the open File menu; the file that comes."""
    button = page.get_by_role("button", name=label, exact=True)
    expect(button).to_be_enabled()
    with page.expect_download() as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_run_is_saved_as_a_page_that_shows_the_same_without_a_network(
    open_page: OpenPage, open_offline: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page(SMALL)
    press(page, "Run")
    wait_for_step(page, 110)
    pause(page)
    wait_for_maps(page)
    at = step(page)
    wait_for_whole_ahead(page)
    shown = {panel: traces(page, panel) for panel in PANELS}
    press(page, "File")
    path = save(page, "Save run as a page", tmp_path)
    assert path.name == f"{NAME}-step-{at}.html"
    assert path.stat().st_size < 6e6
    for panel in PANELS:
        assert traces(page, panel) == shown[panel], "nothing has changed meanwhile"

    away = open_offline(path)
    expect(away.locator(".cs-report h1")).to_contain_text(
        f"Two moons, MLP with tanh · 2 bit · lr 0.01 · seeds 0 to 1 · step {at}"
    )
    for panel in PANELS:
        chart = f"chart-{panel}"
        away.wait_for_function(
            '([name, count]) => document.querySelector(`[data-panel="${name}"] .cs-chart`)'
            "?._fullData?.length === count",
            arg=[chart, len(shown[panel])],
        )
        # Colours are the light page's in both; all else is numbers.
        assert traces(away, chart) == shown[panel]
    sentence = page.locator(".cs-sentence").evaluate(
        "node => [...node.childNodes].filter((n) => !n.classList?.contains('cs-verdict'))"
        ".map((n) => n.textContent).join('')"
    )
    lines = away.locator(".cs-report .cs-sentence").all_inner_texts()
    assert lines[0] == sentence
    assert lines[1] == page.locator(".cs-verdict").inner_text()
    held = away.locator('[data-table="lanes"] tr[data-row]')
    cells = {
        row.get_attribute("data-row"): row.locator("td").all_inner_texts() for row in held.all()
    }
    for lane, figures in table(page).items():
        own = [cell.replace(" (", "", 1).removesuffix(")") for cell in cells[lane][1:]]
        assert own == [figure.replace(" (", "", 1).removesuffix(")") for figure in figures]
    facts = away.locator(".cs-facts").inner_text()
    assert f"step={at}" in facts
    assert "torch" in facts
    away.get_by_role("button", name="What map shows").click()
    card = away.locator(".cs-card:popover-open")
    expect(card).to_contain_text(TERMS["map"].text)
    expect(card.locator("a")).to_have_count(0)
    away.keyboard.press("Escape")
    # Its charts can be saved from there.
    name, picture = saved(away, "chart-slice", "PNG")
    assert name.endswith(f"step-{at}-loss-slice.png")
    assert picture.startswith(b"\x89PNG")


def test_the_numbers_open_again_and_the_slice_is_numpy_s(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(SMALL)
    press(page, "File")
    expect(page.get_by_role("button", name="Save slice", exact=True)).to_be_disabled()
    page.keyboard.press("Escape")
    press(page, "Run")
    wait_for_step(page, 105)
    # A run goes on while its menu is open: the file is of the step in its name.
    then = {"step": 0}
    while then["step"] == 0:  # a menu shows what it was opened with until the server has answered
        press(page, "File")
        early = save(page, "Save run as JSON", tmp_path)
        then = json.loads(early.read_text("utf-8"))
        assert early.name == f"{NAME}-step-{then['step']}.json"
        if then["step"] == 0:
            page.keyboard.press("Escape")
    assert f"step={then['step']}" in then["link"]
    assert then["steps"][-1] == then["step"] <= step(page)
    page.keyboard.press("Escape")
    pause(page)
    wait_for_maps(page)
    at = step(page)
    press(page, "File")
    expect(page.get_by_role("button", name="Save run as JSON")).to_be_visible()
    text = save(page, "Save run as JSON", tmp_path)
    held = json.loads(text.read_text("utf-8"))
    assert text.name == f"{NAME}-step-{at}.json"
    assert held["step"] == held["steps"][-1] == at
    # The last one; its band over seeds has the same name.
    line = [t for t in traces(page, "strips") if t["name"] == "AdamW"][-1]
    losses = [np.mean(row[:2]) for row in held["columns"]["probe_loss"]]
    assert line["y"][-1] == pytest.approx(losses[-1], rel=1e-6)

    path = save(page, "Save slice", tmp_path)
    assert path.name == f"{NAME}-step-{at}-slice.npz"
    with np.load(path, allow_pickle=False) as found:
        heat = traces(page, "slice")[0]
        np.testing.assert_allclose(heat["x"], found["a"], rtol=1e-6)
        np.testing.assert_allclose(heat["z"], np.log10(found["losses"]), rtol=1e-5, atol=1e-6)
        cells = next(t for t in traces(page, "map") if t["type"] == "heatmap")["z"]
        np.testing.assert_allclose(cells, found["map_lgi"], rtol=1e-6)
        end = next(t for t in traces(page, "slice") if t["mode"] == "markers")
        np.testing.assert_allclose([end["x"][0], end["y"][0]], found["paths"][-1, 0], rtol=1e-5)
        assert int(found["path_steps"][-1]) == at

    other = open_page("?scenario=abs-l1")
    press(other, "File")
    other.locator('input[type="file"]').set_input_files(text)
    other.wait_for_function("location.search.includes('scenario=moons')", timeout=60_000)
    assert other.locator(".st-key-message").count() == 0
    assert Experiment.from_json(text.read_bytes()) == Experiment().change(
        scenario="moons", bits=2, seeds=2, slice_resolution=9, map_resolution=5, steps=100_000
    )
