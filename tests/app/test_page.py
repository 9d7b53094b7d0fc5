"""The page's controls, driven without a browser; the grid itself is tested in one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.grid import component
from app.live.view import Maps, View
from app.views import lab as lab_page
from demo_models.scenarios import SCENARIOS
from probes import Plane

SCRIPT = Path(__file__).parents[2] / "app" / "script.py"


@pytest.fixture
def page() -> AppTest:
    page = AppTest.from_file(str(SCRIPT), default_timeout=60)
    page.query_params["steps"] = "1000"  # a bare address would open on the first run
    page.run()
    assert not page.exception
    return page


def lab(page: AppTest):
    return page.session_state.lab


def wait_until(condition: Callable[[], object]) -> None:
    """Poll, and leave the interpreter to the trainer in between."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_page_has_every_control(page: AppTest) -> None:
    assert [b.label for b in page.button] == ["Compute maps"]
    labels = [n.label for n in page.number_input]
    for label in ("Learning rate", "Strength λ", "Probes k", "Radius σ", "Batch", "Steps", "Seeds"):
        assert label in labels
    names = page.selectbox("field-scenario").options
    assert sorted(names) == sorted({s.name for s in SCENARIOS.values()}), "one of each name"
    assert page.button_group("field-lanes").value == ["adamw", "sadam", "smaller"]


def test_the_menu_names_a_scenario_that_differs_in_rounding_alone(page: AppTest) -> None:
    page.selectbox("field-scenario").set_value("moons").run()
    assert lab(page).experiment.scenario == "moons"
    names = page.selectbox("field-scenario").options
    fresh = AppTest.from_file(str(SCRIPT), default_timeout=60)
    fresh.query_params["scenario"] = "digits-4bit"
    fresh.run()
    assert (
        lab(fresh).experiment.scenario == "digits-4bit" == fresh.selectbox("field-scenario").value
    )
    assert fresh.selectbox("field-scenario").options == names


def test_a_number_reaches_the_experiment_and_the_address(page: AppTest) -> None:
    page.number_input("field-lr").set_value(0.02).run()
    assert lab(page).experiment.lr == 0.02
    assert page.query_params["lr"] == "0.02"
    assert not page.text


def test_a_browser_that_missed_the_first_run_begins_with_what_is_held() -> None:
    # The server hands a value over once; where a second run overtakes it, the defaults are all
    # that a browser has, and it reports them as if a person had set them.
    page = AppTest.from_file(str(SCRIPT), default_timeout=60)
    for name, value in {"scenario": "moons", "bits": "32", "plane": "step", "k": "5"}.items():
        page.query_params[name] = value
    page.run().run()
    held = lab(page).experiment
    for widget in page.number_input:
        name = str(widget.key).removeprefix("field-")
        assert (widget.proto.default, widget.proto.set_value) == (getattr(held, name), False), name
    for name, at in {"plane": 2, "map_draws": 0}.items():
        assert page.selectbox(f"field-{name}").proto.default == at, name
    assert list(page.button_group("field-lanes").proto.default) == [0, 1, 2]
    assert list(page.button_group("field-bits").proto.default) == [2]
    assert not page.exception


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("lr", -1.0, "Learning rate (lr) is -1; expected a number from 1e-06 to 10."),
        ("k", 0, "Probes k (k) is 0; expected a whole number from 1 to 64."),
        (
            "batch",
            513,
            (
                "Batch (batch) is 513; expected a whole number from 1 to 512, "
                "the samples of this scenario."
            ),
        ),
        (
            "slice_resolution",
            40,
            (
                "Slice points (slice_resolution) is 40; expected 9, 17, 33, 65 or 129: each level "
                "reuses the points of the last."
            ),
        ),
    ],
)
def test_a_bad_number_is_a_sentence_and_loses_nothing(
    page: AppTest, field: str, value: float, sentence: str
) -> None:
    before, trainer = lab(page).experiment, lab(page).trainer
    page.number_input(f"field-{field}").set_value(value).run()
    assert [t.value for t in page.text] == [sentence]
    assert lab(page).experiment == before
    assert lab(page).trainer is trainer
    assert page.number_input(f"field-{field}").value == getattr(before, field)
    page.number_input("field-lr").set_value(0.02).run()
    assert not page.text


def test_leaving_out_what_a_lane_needs_is_a_sentence(page: AppTest) -> None:
    page.button_group("field-lanes").set_value(["adamw", "smaller"]).run()
    assert "takes its damping from S-Adam; add S-Adam or leave it out." in page.text[0].value
    assert lab(page).experiment.lanes == ("adamw", "sadam", "smaller")


def test_a_scenario_brings_its_own_settings(page: AppTest) -> None:
    page.selectbox("field-scenario").set_value("digits-noise").run()
    assert page.number_input("field-batch").value == SCENARIOS["digits-noise"].batch
    assert page.query_params["scenario"] == "digits-noise"


def test_a_press_in_the_grid_acts_and_the_page_around_it_follows(page: AppTest) -> None:
    trainer = lab(page).trainer
    lab(page).act({"do": "run"})
    wait_until(lambda: trainer.view().step >= 2)
    lab(page).act({"do": "pause"})
    view = trainer.view()
    assert view.state == "paused"
    assert not lab(page).slow_parts_are_due(view, None), "the figures come alone"
    assert lab(page).slow_parts_are_due(view, None), "and then the charts"
    lab(page).act({"do": "step"})
    wait_until(lambda: trainer.view().step > view.step)
    lab(page).act({"do": "reset"})
    wait_until(lambda: trainer.view().begun and not trainer.view().step)
    lab(page).act({"do": "set", "field": "seeds", "value": 3})
    lab(page).act({"do": "seed"})
    lab(page).act({"do": "nothing of the kind"})
    page.run()
    assert not page.exception
    assert page.number_input("field-seed").value == 3
    assert page.query_params["seed"] == "3"


def test_while_training_news_of_the_dear_charts_waits_but_a_person_does_not(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.live.session.SLOW_REFRESH", 1e9)
    held = lab(page)
    plane, another = (
        Plane(torch.zeros(2), torch.eye(2), (-1, 1, -1, 1), "random") for _ in range(2)
    )
    view = View(held.experiment, "running", maps=Maps(plane, 5, done=0.1))
    assert held.slow_parts_are_due(view, None)
    view = replace(view, maps=Maps(plane, 5, done=0.2))
    assert held.has_news(view, None)
    assert not held.slow_parts_are_due(view, None)
    for changed in (
        replace(view, maps=Maps(another, 6)),
        replace(view, experiment=held.experiment.change(series="spectrogram")),
    ):
        assert held.slow_parts_are_due(changed, None)
        assert not held.slow_parts_are_due(changed, None), "nothing has changed since"
    assert held.slow_parts_are_due(view, 3)
    paused = replace(view, state="paused")
    assert held.slow_parts_are_due(paused, 3)
    assert held.slow_parts_are_due(replace(paused, maps=Maps(plane, 5, done=0.3)), 3)


def test_a_change_that_a_press_of_run_overtook_runs_on(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lab(page)
    held.act({"do": "run"})
    held.change(seeds=2)  # typed before, and on its way through the page
    wait_until(lambda: held.trainer.view().step >= 2)
    assert held.trainer.view().experiment.seeds == 2
    monkeypatch.setattr("app.live.session.OVERTAKEN", 0.0)
    held.change(seeds=3)
    wait_until(lambda: held.trainer.view().experiment.seeds == 3 and held.trainer.view().begun)
    assert held.trainer.view().state == "paused"


def test_what_is_done_while_the_page_is_away_stays_done(page: AppTest) -> None:
    held = lab(page)
    held.act({"do": "run"})
    wait_until(lambda: held.trainer.view().step >= 1)
    held.leave()
    held.act({"do": "pause"})  # the charts' line is another connection
    held.come_back()
    assert held.trainer.state == "paused"


def test_a_link_restores_the_experiment() -> None:
    page = AppTest.from_file(str(SCRIPT), default_timeout=60)
    page.query_params["scenario"] = "quadratic"
    page.query_params["lr"] = "0.125"
    page.run()
    assert not page.exception
    assert page.selectbox("field-scenario").value == "quadratic"
    assert page.number_input("field-lr").value == 0.125


def test_a_damaged_link_says_what_is_wrong_and_takes_the_rest() -> None:
    page = AppTest.from_file(str(SCRIPT), default_timeout=60)
    page.query_params["lr"] = "fast"
    page.run()
    assert not page.exception
    assert page.text[0].value == (
        "Learning rate (lr) is 'fast'; expected a number from 1e-06 to 10. "
        "The rest of the link is taken, the defaults elsewhere."
    )
    assert lab(page).experiment.lr == 0.01


def test_a_control_that_was_cleared_away_is_drawn_again(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, missing = lab_page.show, iter([True, False, True, True])

    def show() -> None:
        if next(missing):
            raise KeyError("field-lanes")
        shown()

    monkeypatch.setattr(lab_page, "show", show)
    page.run()
    assert not page.exception, "once is Streamlit's doing"
    assert page.number_input("field-lr").value == lab(page).experiment.lr
    page.run()
    assert len(page.exception) == 1, "twice is a fault of ours"


def test_a_grid_that_was_cleared_away_in_a_refresh_is_drawn_again(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount, missing = component._component, iter([True, False, True, True])

    def cleared(**arguments: object) -> None:
        if next(missing):
            raise KeyError("grid")
        mount(**arguments)

    monkeypatch.setattr(component, "_component", cleared)
    page.run()
    assert not page.exception, "once is Streamlit's doing"
    page.run()
    assert len(page.exception) == 1, "twice is a fault of ours"
