"""Links and lessons in the browser: what is copied opens again, and a lesson is one click away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page, expect

from app.experiment import Experiment
from app.lessons.lesson import lessons
from app.link import Link, read_link, versioned
from app.setup import Setup
from app.theory import Study
from tests.browser.conftest import wait_until
from tests.browser.lab import fill, pause, press, step, table, traces, wait_for_step

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def copied(page: Page) -> str:
    """Press Copy link and read the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press(page, "Copy link")
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible(timeout=30_000)
    return page.evaluate("navigator.clipboard.readText()")


def controls(page: Page) -> dict[str, str]:
    """Every control's name and what it shows, at the side and in the grid."""
    return page.evaluate(
        """() => {
          const shown = {};
          for (const field of document.querySelectorAll(".stNumberInput input, .stSelectbox input"))
            shown[field.getAttribute("aria-label")] = field.value;
          for (const select of document.querySelectorAll(".cs-choice"))
            shown[select.getAttribute("aria-label")] = select.value;
          for (const box of document.querySelectorAll(".stSelectbox"))
            shown[box.querySelector("label")?.innerText] = box.innerText;
          for (const kind of ["stBaseButton-pillsActive", "stBaseButton-segmented_controlActive"])
            shown[kind] = [...document.querySelectorAll(`[data-testid="${kind}"]`)]
              .map((button) => button.innerText).join();
          return shown;
        }"""
    )


def test_a_copied_link_opens_the_same_controls_at_the_same_step(open_page: OpenPage) -> None:
    page = open_page("?scenario=quadratic&lanes=adamw,sadam&steps=100000&seeds=2&measure=variance")
    fill(page, "Start y", "0.5")
    page.wait_for_function("location.search.includes('y0=0.5')")
    fill(page, "Momentum β1", "0.5")
    page.wait_for_function("location.search.includes('beta1=0.5')")
    page.locator('.cs-choice[aria-label="Figures"]').select_option("cost")
    page.wait_for_function("location.search.includes('table=cost')")
    press(page, "Run")
    wait_for_step(page, 60)
    pause(page)
    at = step(page)
    link = copied(page)
    assert query_of(link)["v"] == "1"
    assert read_link(query_of(link)) == Link(
        Experiment()
        .change(scenario="quadratic")
        .change(lanes=("adamw", "sadam"), steps=100_000, seeds=2, measure="variance")
        .change(y0=0.5, beta1=0.5, table="cost"),
        at,
    )
    expect(page.get_by_label("Spectrum of", exact=True)).to_be_visible()  # the last chart's menu
    before, figures = controls(page), table(page)
    assert before["Momentum β1"] == "0.5"
    other = open_page("?" + link.partition("?")[2])
    wait_for_step(other, at)
    expect(other.locator(".cs-rate")).to_have_text("paused")
    expect(other.get_by_role("button", name="Run", exact=True)).to_be_visible()
    assert step(other) == at
    wait_until(lambda: controls(other) == before, 60, "the same controls")
    wait_until(lambda: table(other) == figures, 60, "the same figures")
    # Its own address goes on naming the step, until a person trains on.
    assert query_of(other.url)["step"] == str(at)
    press(other, "Step")
    wait_for_step(other, at + 1)
    other.wait_for_function("!location.search.includes('step=')")


def test_a_link_made_while_looking_back_opens_at_that_step(open_page: OpenPage) -> None:
    page = open_page("?v=1&scenario=quadratic&step=50")
    wait_for_step(page, 50)
    expect(page.locator(".cs-rate")).to_have_text("paused")
    page.locator(".cs-slider").fill("20")
    page.wait_for_function("document.querySelector('.cs-scrubber').textContent.includes('20')")
    assert query_of(copied(page))["step"] == "20"


def test_hidden_controls_are_not_there(open_page: OpenPage) -> None:
    page = open_page("?v=1&scenario=abs-l1&hide=seeds,plane,measure,strips,buttons")
    field = page.get_by_role("spinbutton")
    expect(field.filter(visible=True).first).to_be_visible()
    names = [item.get_attribute("aria-label") for item in field.all()]
    assert "Learning rate" in names
    assert "Seeds" not in names
    assert page.get_by_role("button", name="Run", exact=True).count() == 0
    for label in ("Measure", "Shown"):
        expect(page.locator(f'.cs-choice[aria-label="{label}"]')).to_be_hidden()
    expect(page.locator('.cs-choice[aria-label="Figures"]')).to_be_visible()
    assert query_of(page.url)["hide"] == "seeds,plane,measure,strips,buttons"
    bare = open_page("?v=1&scenario=abs-l1&hide=sidebar")
    expect(bare.get_by_test_id("stSidebar")).to_be_hidden()
    expect(bare.get_by_role("button", name="Run", exact=True)).to_be_visible()


def test_an_experiment_is_saved_and_opened_as_a_file(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("?scenario=quadratic&lr=0.125")
    press(page, "File")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save experiment").click()
    text = Path(download.value.path()).read_text("utf-8")
    assert Experiment.from_json(text) == Experiment().change(scenario="quadratic", lr=0.125)
    damaged = tmp_path / "experiment.json"
    damaged.write_text(json.dumps(json.loads(text) | {"lr": 0.25, "k": "<b>many</b>"}))
    other = open_page("?scenario=abs-l1")
    press(other, "File")
    other.locator('input[type="file"]').set_input_files(damaged)
    message = other.locator(".st-key-message")
    expect(message).to_contain_text(
        "Probes k (k) is '<b>many</b>'; expected a whole number", timeout=30_000
    )
    expect(other.get_by_role("spinbutton", name="Learning rate", exact=True)).to_have_value("0.25")
    assert query_of(other.url)["scenario"] == "quadratic"
    # The maps of the old experiment are taken away before the new ones come.
    other.wait_for_function(
        """() => {
          const { _fullData: data } = document.querySelector('[data-panel="slice"] .cs-chart');
          return data?.[0]?.type === "heatmap" && data[0].x[0] === -2;
        }""",
        timeout=90_000,
    )


def test_a_lesson_opens_its_preset_with_one_click(open_page: OpenPage) -> None:
    page = open_page("?steps=1000")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Lessons").click()
    expect(page.get_by_role("heading", name="How fast does it chatter?")).to_be_visible()
    answer = page.get_by_text("Without momentum every step crosses the kink")
    expect(answer).to_be_hidden()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="|x|, β1 0.5").click()
    lab = opened.value
    lab.wait_for_selector(".cs-table tr[data-lane]", timeout=120_000)
    wait_for_step(lab, 400)
    expect(lab.locator(".cs-rate")).to_have_text("finished")
    assert lab.locator('.stNumberInput input[aria-label="Momentum β1"]').input_value() == "0.5"
    assert {t["name"] for t in traces(lab, "spectrum")} == {"AdamW"}
    assert lab.locator('.stNumberInput input[aria-label="Strength λ"]').count() == 0
    flips = table(lab)["adamw"][7]
    lab.close()
    page.get_by_text("Answer", exact=True).click()
    expect(answer).to_be_visible()
    said = page.get_by_test_id("stExpander").locator("strong").all_inner_texts()
    assert round(float(flips.split()[0])) == float(said[1].removesuffix("%"))


def test_every_lesson_and_the_instruments_preset_open(open_page: OpenPage) -> None:
    page = open_page("?steps=1000")
    base = page.url.partition("?")[0]
    for key, lesson in lessons().items():
        page.goto(f"{base}lessons?lesson={key}")
        expect(page.get_by_role("heading", name=lesson.title, exact=True)).to_be_visible()
        shown = page.locator(".stLinkButton a, [data-testid=stLinkButton] a")
        expect(shown).to_have_count(len(lesson.presets))
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "no horizontal scroll bar"
        assert query_of(page.url) == {"lesson": key}
    page.goto(f"{base}lessons?lesson=lgi")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="On one kink").click()
    bench = opened.value
    expect(bench.get_by_role("spinbutton", name="Point y", exact=True)).to_have_value("1")
    expect(bench.get_by_role("spinbutton", name="Probes k", exact=True)).to_have_value("8")
    assert bench.locator(".st-key-message").count() == 0


@pytest.mark.parametrize(
    ("address", "changed", "state"),
    [
        (
            "instruments?function=l1&draws=40",
            ("Radius σ", "0.25"),
            Setup().change(function="l1", draws=40, sigma=0.25),
        ),
        (
            "stationarity?scenario=abs-l1&steps=64",
            ("Radius δ", "0.25"),
            Study().change(scenario="abs-l1", steps=64, delta=0.25),
        ),
    ],
)
def test_the_other_pages_copy_a_link_too(
    open_page: OpenPage, address: str, changed: tuple[str, str], state: Setup | Study
) -> None:
    page = open_page(address)
    fill(page, *changed)
    page.wait_for_function("location.search.includes('0.25')")
    link = copied(page)
    assert link.startswith(page.url.partition("?")[0] + "?")
    assert query_of(link) == versioned(state.to_query()) == query_of(page.url)
    before = controls(page)
    other = open_page(link.rpartition("/")[2])
    expect(other.get_by_role("spinbutton", name=changed[0], exact=True)).to_have_value("0.25")
    assert other.locator(".st-key-message").count() == 0
    assert controls(other) == before
