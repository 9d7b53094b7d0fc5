"""What a server allows a session: over budget is a sentence, on the page and from links."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from app.budget import BUDGETS, Budget, take_budgets
from app.experiment import Experiment, ExperimentError
from app.link import read_link
from app.live.trainer import Trainer
from app.theory import SUBJECTS, Study
from demo_models.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "app" / "script.py")
SMALL = {
    "CHATTERSCOPE_MAX_GRID": "33",
    "CHATTERSCOPE_MAX_SEEDS": "4",
    "CHATTERSCOPE_MAX_LANES": "3",
    "CHATTERSCOPE_MAX_STEPS": "20000",
    "CHATTERSCOPE_MAX_PARAMETERS": "100000",
}


@pytest.fixture(autouse=True)
def small_server() -> Iterator[None]:
    take_budgets(SMALL)
    yield
    take_budgets({})


def whose(variable: str) -> str:
    return (
        f", which is what this server allows a session ({variable}): take less, or serve it "
        "yourself."
    )


OVER = {
    "seeds=5": "Seeds (seeds) is '5'; expected a whole number from 1 to 4"
    + whose("CHATTERSCOPE_MAX_SEEDS"),
    "steps=20001": "Steps (steps) is '20001'; expected a whole number from 1 to 20000"
    + whose("CHATTERSCOPE_MAX_STEPS"),
    "slice_resolution=65": "Slice points (slice_resolution) is '65'; expected a whole number from "
    "9 to 33" + whose("CHATTERSCOPE_MAX_GRID"),
    "map_resolution=34": "Map points (map_resolution) is '34'; expected a whole number from 5 to "
    "33" + whose("CHATTERSCOPE_MAX_GRID"),
    "lanes=adamw,sadam,smaller,sgd": "Optimizers (lanes) has 4; expected at most 3 at once"
    + whose("CHATTERSCOPE_MAX_LANES"),
}


@pytest.mark.parametrize("query", OVER)
def test_a_link_over_budget_says_so_and_the_rest_of_it_is_taken(query: str) -> None:
    name, _, value = query.partition("=")
    page = AppTest.from_file(SCRIPT, default_timeout=60)
    page.query_params[name] = value
    page.query_params["lr"] = "0.02"
    page.run()
    assert not page.exception
    (said,) = page.text
    rest = "The rest of the link is taken, the defaults elsewhere."
    assert said.value == f"{OVER[query]} {rest}"
    lab = page.session_state.lab
    assert lab.experiment == Experiment().change(lr=0.02)
    lab.trainer.close()


def test_a_control_over_budget_says_so_and_is_put_back() -> None:
    page = AppTest.from_file(SCRIPT, default_timeout=60)
    page.query_params["scenario"] = "moons"
    page.run()
    page.number_input("field-seeds").set_value(5).run()
    assert not page.exception
    (said,) = page.text
    assert said.value == OVER["seeds=5"].replace("'5'", "5")
    assert page.number_input("field-seeds").value == 1
    page.session_state.lab.trainer.close()


def test_too_many_parameters_at_once_are_refused_before_they_take_memory() -> None:
    trainer = Trainer(Experiment().change(seeds=4))
    deadline = time.monotonic() + 60
    while trainer.state != "failed":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert trainer.view().message == (
        "3 optimizers and 4 seeds of 8,970 parameters are 107,640; expected at most 100,000"
        + whose("CHATTERSCOPE_MAX_PARAMETERS")
    )
    trainer.run()  # nothing to run, and nothing raises
    trainer.restart(Experiment().change(seeds=3))
    while trainer.state != "paused":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    trainer.close()


def test_the_pages_defaults_fit_the_smallest_budgets() -> None:
    take_budgets({budget.variable: str(budget.least) for budget in BUDGETS})
    for scenario in SCENARIOS:
        assert Experiment().change(scenario=scenario).scenario == scenario
    for subject in SUBJECTS:
        assert Study().change(scenario=subject).scenario == subject


@given(budget=some.sampled_from(BUDGETS), text=some.text(max_size=20) | some.integers().map(str))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_setting_is_taken_or_refused_with_a_sentence(budget: Budget, text: str) -> None:
    try:
        take_budgets({budget.variable: text})
    except ValueError as refusal:
        said = str(refusal)
    else:
        assert budget.least <= int(text) <= budget.most
        return
    assert said.startswith(f"{budget.variable} is ")
    assert f"expected a whole number from {budget.least:,} to {budget.most:,}" in said
    assert said.endswith("give one, or leave it out.")


@given(seeds=some.integers(-5, 40), steps=some.integers(-5, 200_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_link_gets_over_a_budget(seeds: int, steps: int) -> None:
    take_budgets(SMALL)
    link = read_link({"seeds": str(seeds), "steps": str(steps)})
    assert link.experiment.seeds <= 4
    assert link.experiment.steps <= 20_000
    assert bool(link.message) == (not 1 <= seeds <= 4 or not 1 <= steps <= 20_000)


def test_a_server_with_a_wrong_setting_does_not_start() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--no-browser", "--port", "1"],
        check=False,
        cwd=ROOT,
        env=os.environ | {"CHATTERSCOPE_MAX_SEEDS": "many"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert result.stderr.strip() == (
        "CHATTERSCOPE_MAX_SEEDS is 'many'; expected a whole number from 4 to 32, seeds at once: "
        "give one, or leave it out."
    )


def test_without_settings_the_ranges_are_the_pages_own() -> None:
    take_budgets({})
    assert Experiment().change(seeds=32, slice_resolution=129).seeds == 32
    with pytest.raises(ExperimentError, match=r"expected a whole number from 1 to 32\.$"):
        Experiment().change(seeds=33)
