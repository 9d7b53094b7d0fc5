"""A first visit is drawn from what was kept, before torch is loaded, and nothing changes then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.charts.board import line_parts, slow_parts
from app.experiment import Experiment
from app.live import first_view
from app.live.ahead import compute_ahead
from app.live.maps import compute_maps
from app.live.run import Run
from app.live.view import View

ROOT = Path(__file__).parents[2]
PARTS = {
    "status": {"state": "paused", "rate": "paused", "step": 160},
    "strips": {"title": "Loss", "traces": {}},
}

#: Opens the bare address as a server's first visitor does, and prints what the page was sent while
#: torch is not loaded, and again once it may be.
PROGRAM = """
import json, sys
from app.live import warmup
warmup.hold(600)
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("app/script.py", default_timeout=60).run()
lab = page.session_state.lab
first = lab.feed.parts(lab, True)
early = "torch" in sys.modules
lab.trainer.close()  # it loads torch, and trains nothing then
warmup.release()
lab.trainer.join(60)
print(json.dumps([first, early, "torch" in sys.modules]))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHATTERSCOPE_CACHE", str(tmp_path))
    return tmp_path


def visited(cache: Path) -> tuple[dict[str, dict[str, object]], bool, bool]:
    environment = os.environ | {"CHATTERSCOPE_CACHE": str(cache)}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return json.loads(result.stdout.splitlines()[-1])


def test_a_kept_view_is_shown_while_torch_is_not_loaded(cache: Path) -> None:
    first_view.keep(PARTS)
    sent, early, late = visited(cache)
    # It is what was kept, but cannot train yet.
    assert sent == PARTS | {"status": PARTS["status"] | {"rate": "preparing"}}
    assert (early, late) == (False, True)


def test_without_one_the_page_says_that_it_prepares(cache: Path) -> None:
    sent, _, _ = visited(cache)
    assert sorted(sent) == ["status"]


def test_what_is_kept_comes_back_and_takes_the_place_of_other_versions(cache: Path) -> None:
    assert first_view.load() == {}
    (cache / "first-view-0123456789abcdef.json").write_text("{}")
    first_view.keep(PARTS)
    assert first_view.load() == PARTS
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": 1}', "{}", "\x00"])
def test_a_damaged_file_shows_nothing(
    cache: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    first_view.keep(PARTS)
    (file,) = cache.iterdir()
    file.write_text(content)
    assert first_view.load() == {}
    assert "the kept first view is left out: " in caplog.text


def test_a_folder_that_cannot_be_written_is_no_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("CHATTERSCOPE_CACHE", str(cache / "file"))
    first_view.keep(PARTS)
    assert "the first view is not kept: " in caplog.text
    assert list(cache.iterdir()) == [cache / "file"]


def test_the_parts_of_the_grid_survive_a_file() -> None:
    # Else what was drawn from the file would be sent and drawn again once torch is there.
    experiment = Experiment().change(scenario="moons", slice_resolution=9, map_resolution=5)
    run = Run(experiment)
    for _ in range(20):
        run.advance()
        run.record()
    *_, maps = compute_maps(experiment, run, run.step)
    *_, ahead = compute_ahead(run, run.step)
    view = View(experiment, "paused", maps=maps, ahead=ahead, **run.known())
    parts = line_parts(view) | slow_parts(view)
    assert len(parts) > 8
    assert json.loads(json.dumps(parts)) == parts
