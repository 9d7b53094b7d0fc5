"""A session that nobody looks at ends its threads and lets go of its runs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.experiment import Experiment
from app.live import pulse
from app.live.bench import Meter
from app.live.inspecting import Desk, Inspector, Request, Upload
from app.live.pulse import Pulse, idle_seconds
from app.live.theory import Observer, Theory
from app.live.trainer import Trainer
from app.live.worker import Worker
from app.setup import Setup
from app.theory import Study
from demo_models.problem import build
from demo_models.scenarios import SCENARIOS

SCRIPT = str(Path(__file__).parents[2] / "app" / "script.py")


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def moons() -> Experiment:
    return Experiment().change(scenario="moons", steps=100_000)


def test_a_run_that_nobody_watches_ends_and_is_let_go() -> None:
    watched = Pulse(idle=60)
    trainer = Trainer(moons(), pulse=watched)
    wait_until(lambda: trainer.state == "paused")
    trainer.run()
    wait_until(lambda: trainer.view().last > 3)
    assert not trainer.ended
    watched.idle = 0.0  # silence
    wait_until(lambda: trainer.ended)
    assert trainer.join(60)
    assert not trainer.view().begun
    trainer.run()  # answers no more, and raises nothing
    assert not trainer.view().begun


@pytest.mark.parametrize(
    "make",
    [
        lambda pulse: Meter(Setup(), pulse=pulse),
        lambda pulse: Observer(pulse=pulse),
        lambda pulse: Inspector(pulse=pulse),
    ],
)
def test_every_other_thread_of_a_session_ends_too(make: Callable[[Pulse], Worker]) -> None:
    worker = make(Pulse(idle=1.0))
    assert worker.join(60)
    assert worker.ended


def test_a_return_says_so_and_starts_from_the_address() -> None:
    page = AppTest.from_file(SCRIPT, default_timeout=60)
    page.query_params["scenario"] = "moons"
    page.query_params["lr"] = "0.02"
    page.run()
    lab = page.session_state.lab
    wait_until(lambda: lab.trainer.state == "paused")
    lab.step()
    wait_until(lambda: lab.trainer.view().last == 1)
    page.session_state.pulse.idle = 0.0
    lab.trainer.cancel()  # wakes the thread, which may sleep until later
    wait_until(lambda: lab.trainer.ended)
    page.session_state.pulse.idle = 120.0
    page.run()
    assert not page.exception
    back = page.session_state.lab
    assert back is not lab
    assert (back.experiment.scenario, back.experiment.lr) == ("moons", 0.02)
    wait_until(lambda: back.trainer.state == "paused")
    assert back.trainer.view().last == 0
    (said,) = page.text
    assert said.value == (
        "Nobody watched for 120 seconds, so the server has ended the run: this is the experiment "
        "of the page's address from its start."
    )
    back.trainer.close()


def test_a_connection_that_drops_pauses_and_one_that_returns_goes_on() -> None:
    page = AppTest.from_file(SCRIPT, default_timeout=60)
    page.query_params["scenario"] = "moons"
    page.query_params["steps"] = "100000"
    page.run()
    lab = page.session_state.lab
    wait_until(lambda: lab.trainer.state == "paused")
    lab.run()
    wait_until(lambda: lab.trainer.view().last > 3)
    lab.leave()
    wait_until(lambda: lab.trainer.state == "paused")
    before = lab.trainer.view().last
    lab.come_back()
    wait_until(lambda: lab.trainer.view().last > before + 3)
    lab.pause()
    lab.leave()
    lab.come_back()  # it stood still before
    assert lab.trainer.state == "paused"
    lab.trainer.close()


def test_what_a_dropped_connection_has_stopped_is_measured_once_it_returns() -> None:
    theory = Theory(Study().change(scenario="abs-l1", steps=2000, samples=8))
    theory.run()
    theory.leave()
    wait_until(lambda: theory.observer.progress().state == "cancelled")
    theory.come_back()
    assert theory.observer.progress().state == "running"
    theory.cancel()
    wait_until(lambda: theory.observer.progress().state == "cancelled")
    theory.leave()
    theory.come_back()  # it stood still before
    assert theory.observer.progress().state == "cancelled"

    file = io.BytesIO()
    torch.save(build(SCENARIOS["moons"]).network(0).state_dict(), file)
    desk = Desk()
    desk.ask(Request(Upload("1", "moons.pt", file.getvalue())))
    desk.leave()
    assert desk.inspector.progress().state == "cancelled"
    desk.come_back()
    wait_until(lambda: desk.inspector.progress().state == "finished")
    desk.leave()
    desk.come_back()
    assert desk.inspector.progress().state == "finished"
    for held in (theory.observer, desk.inspector):
        held.close()


@pytest.mark.parametrize("text", ["soon", "0", "-3", "nan", "inf", ""])
def test_an_impossible_time_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pulse.VARIABLE, text)
    with pytest.raises(ValueError, match="expected seconds, 1 or more: give a number, or leave it"):
        idle_seconds()
    monkeypatch.setenv(pulse.VARIABLE, "7.5")
    assert idle_seconds() == 7.5
