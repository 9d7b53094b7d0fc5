"""The page Checkpoint in a real browser: from the lab to a file, and from files to reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, expect
from safetensors.torch import save

from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from tests.app.report_cases import tiny, torch_file
from tests.browser.lab import press, wait_for_step

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

SCRIPT = "<script>document.title='owned'</script>"
IMAGE = "![x](/a.png)"


class Payload:
    """Makes a folder if it is ever unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.mkdir, (self.marker,))


def show_page(page: Page) -> None:
    page.get_by_role("link", name="Checkpoint").click()
    page.wait_for_selector('[data-testid="stFileUploader"]', timeout=60_000)


def open_checkpoint(open_page: OpenPage, **look: str) -> Page:
    page = open_page("?scenario=moons", **look)
    show_page(page)
    return page


def drop(page: Page, name: str, data: bytes, which: int = 0) -> None:
    """Put a file into one of the uploaders: checkpoint, data, second checkpoint."""
    uploader = page.locator('[data-testid="stFileUploader"] input[type=file]').nth(which)
    uploader.set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})


def cells(page: Page, row: str) -> list[str]:
    return page.locator(f'[data-row="{row}"] td').all_inner_texts()


def finish(page: Page) -> None:
    """Until everything is measured."""
    expect(page.locator(".st-key-download_html button")).to_be_enabled(timeout=120_000)


def saved_run(page: Page, path: Path) -> dict[str, Any]:
    """Train in the lab, go to the page Checkpoint and save the run of AdamW to a file."""
    press(page, "Run")
    wait_for_step(page, 12)
    press(page, "Pause")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_visible()
    show_page(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save checkpoint").click()
    assert download.value.suggested_filename == "moons-adamw.pt"
    download.value.save_as(path)
    return torch.load(path, weights_only=True)


def test_a_run_that_the_lab_saves_becomes_a_report_that_opens_without_a_network(
    open_page: OpenPage, open_offline: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page("?scenario=moons")
    kept = saved_run(page, tmp_path / "run.pt")
    assert kept["step"] >= 12
    drop(page, "run 1.pt", (tmp_path / "run.pt").read_bytes())
    finish(page)
    assert float(cells(page, "loss")[1]) == pytest.approx(kept["loss"], rel=5e-3)
    assert cells(page, "step")[0] == f"Adam's next step, t {kept['step'] + 1}"
    expect(page.locator(".cs-facts")).to_contain_text("The file names the demo network")
    layers = sum(name.endswith("weight") for name in kept["model_state_dict"])
    assert page.locator('[data-table="layers"] tr[data-row]').count() == layers
    expect(page.locator('[data-panel="chart-slice"] .heatmaplayer image')).to_be_visible()
    assert page.locator(".cs-report-panel .main-svg").count() > 20
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    paths = {}
    for kind in ("HTML", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {kind}").click()
        assert download.value.suggested_filename == f"report.{kind.lower()}"
        paths[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(paths[kind])
    found = json.loads(paths["JSON"].read_text(encoding="utf-8"))
    assert found["loss"] == pytest.approx(kept["loss"], abs=1e-6)
    shown = page.locator(".cs-report .cs-sentence").all_inner_texts()
    assert shown == found["summary"]
    _opens_offline(open_offline(paths["HTML"]), shown)
    press(page, "Train from here")
    page.wait_for_selector(".cs-table tr[data-lane]", timeout=120_000)
    expect(page.locator(".st-key-message")).to_contain_text("weights of 'run 1.pt'; AdamW and")
    press(page, "Step")
    wait_for_step(page, 1)


def _opens_offline(page: Page, summary: list[str]) -> None:
    expect(page.locator('[data-panel="chart-slice"] .heatmaplayer image')).to_be_visible()
    expect(page.locator('[data-panel="chart-ahead"] path.js-line').first).to_be_attached()
    assert page.locator(".cs-report .cs-sentence").all_inner_texts() == summary
    assert page.locator('[data-row="loss"] td').count() == 4
    page.close()


def test_a_hostile_file_is_a_sentence_and_names_show_as_text(
    open_page: OpenPage, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    page = open_checkpoint(open_page)
    title, message = page.title(), page.locator(".st-key-message")
    drop(page, "model.pt", torch_file({"w": torch.zeros(2), "x": Payload(marker)}))
    expect(message).to_contain_text("; expected ", timeout=120_000)
    assert "Traceback" not in message.inner_text()
    assert not marker.exists()
    expect(page.locator(".st-key-download_html button")).to_be_disabled()
    for name in (SCRIPT, IMAGE):
        drop(page, f"{IMAGE}.safetensors", save({f"{name}.weight": torch.zeros(2, 2)}))
        expect(message).to_contain_text(name, timeout=120_000)
        assert message.locator("img, a, script, em, strong").count() == 0
    # The same session goes on: a value that stands in the report itself, and two more files.
    content = {"model": dict(tiny(0).state_dict()), "note": f"{SCRIPT}{IMAGE}"}
    drop(page, "model.pt", torch_file(content))
    expect(page.locator(".cs-facts")).to_contain_text(f"{SCRIPT}{IMAGE}", timeout=60_000)
    expect(page.locator(".cs-banner")).to_contain_text("NOT the model's real loss")
    rows = "\n".join(f"{i / 50},{-i / 70},{i % 3}" for i in range(60))
    drop(page, "data.csv", rows.encode(), which=1)
    expect(page.locator(".cs-facts")).to_contain_text("60 samples of the file", timeout=60_000)
    drop(page, "b.safetensors", save(dict(tiny(1).state_dict())), which=2)
    expect(page.locator('[data-panel="chart-between-plane"] .heatmaplayer image')).to_be_visible(
        timeout=60_000
    )
    finish(page)
    assert message.count() == page.locator(".cs-banner").count() == 0
    assert page.locator(".cs-report script, .cs-report img, .cs-report a").count() == 0
    assert page.title() == title


def test_a_person_chooses_the_network_and_cancels(open_page: OpenPage) -> None:
    page = open_checkpoint(open_page, scheme="dark")
    module = build(SCENARIOS["digits-2bit"]).network(0)
    drop(page, "model.safetensors", save(dict(module.state_dict())))
    expect(page.locator(".cs-facts")).to_contain_text("5 networks have this layout", timeout=60_000)
    page.locator(".st-key-field-network [role=combobox], .st-key-field-network input").first.click()
    page.get_by_role("option", name="Digits, MLP, no batch noise: 4-bit, relu").click()
    facts = page.locator(".cs-facts")
    expect(facts).to_contain_text(
        "demo network “Digits, MLP, no batch noise: 4-bit”", timeout=60_000
    )
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled(timeout=120_000)
    expect(facts).to_contain_text("4-bit")
