"""The background trainer: commands in, views out, nothing lost on the way."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from app.experiment import Experiment
from app.live.beside import maps_are_due
from app.live.gate import Gate
from app.live.trainer import Trainer
from app.live.view import View


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition; failing to come true is the test's failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.005)


@pytest.fixture
def trainers() -> Iterator[Callable[..., Trainer]]:
    made: list[Trainer] = []

    def make(**changes: object) -> Trainer:
        trainer = Trainer(Experiment().change(**changes), Gate(1))
        made.append(trainer)
        until(lambda: trainer.view().state != "preparing")
        return trainer

    yield make
    for trainer in made:
        trainer.close()
        assert trainer.join(30)


SMALL = {"scenario": "moons", "steps": 60}


def finished(trainer: Trainer) -> View:
    trainer.run()
    until(lambda: trainer.view().state == "finished")
    return trainer.view()


def test_the_initial_state_is_measured_before_the_first_step(trainers) -> None:
    view = trainers(**SMALL).view()
    assert (view.state, view.step) == ("paused", 0)
    assert view.steps.tolist() == [0]
    losses = view.columns["probe_loss"]
    assert np.isfinite(losses).all()
    assert (losses == losses[0, 0]).all(), "all lanes begin at the same weights"
    accuracy = view.columns["accuracy"]
    assert ((accuracy >= 0) & (accuracy <= 1)).all()


def test_a_run_ends_at_its_last_step_and_goes_on_when_given_more(trainers) -> None:
    trainer = trainers(**SMALL)
    view = finished(trainer)
    assert view.step == 60
    assert view.steps.tolist() == list(range(61))
    trainer.adjust(view.experiment.change(steps=70))
    until(lambda: trainer.view().state == "paused")
    assert finished(trainer).step == 70


def test_pause_stops_and_run_goes_on_from_there(trainers) -> None:
    trainer = trainers(scenario="moons", steps=100_000)
    trainer.run()
    until(lambda: trainer.view().step > 5)
    trainer.pause()
    until(lambda: trainer.view().state == "paused")
    at = trainer.view().step
    trainer.run()
    until(lambda: trainer.view().step > at)


def test_run_with_no_step_left_says_finished(trainers) -> None:
    trainer = trainers(**SMALL)
    trainer.step()
    until(lambda: trainer.view().step == 1)
    trainer.adjust(trainer.view().experiment.change(steps=1))
    trainer.run()
    until(lambda: trainer.view().state == "finished")
    assert trainer.view().step == 1


def test_step_takes_exactly_one(trainers) -> None:
    trainer = trainers(**SMALL)
    for expected in (1, 2, 3):
        trainer.step()
        until(lambda expected=expected: trainer.view().step == expected)
    assert trainer.view().state == "paused"


def test_reset_repeats_the_run_bit_for_bit(trainers) -> None:
    trainer = trainers(**SMALL)
    first = finished(trainer)
    trainer.restart(first.experiment)
    until(lambda: trainer.view().step == 0)
    second = finished(trainer)
    for name, column in first.columns.items():
        np.testing.assert_array_equal(column, second.columns[name], err_msg=name)


def test_a_new_seed_is_another_run(trainers) -> None:
    one, two = trainers(**SMALL), trainers(**SMALL, seed=1)
    assert one.view().columns["probe_loss"][0, 0] != two.view().columns["probe_loss"][0, 0]


def test_a_changed_learning_rate_acts_without_a_restart(trainers) -> None:
    trainer = trainers(**SMALL)
    for _ in range(3):
        trainer.step()
    until(lambda: trainer.view().step == 3)
    trainer.adjust(trainer.view().experiment.change(lr=0.5))
    for _ in range(3):
        trainer.step()
    until(lambda: trainer.view().step == 6)
    rates = trainer.view().columns["effective_lr"][:, 0]
    # The update planned before the change is still taken with the old rate.
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.01, 0.01, 0.5, 0.5, 0.5])


def test_maps_come_at_step_100_and_on_demand_and_can_be_cancelled(trainers) -> None:
    trainer = trainers(scenario="moons", steps=100, slice_resolution=9, map_resolution=5)
    assert trainer.view().maps is None
    finished(trainer)
    until(lambda: trainer.view().maps is not None and not trainer.view().maps.working)
    maps = trainer.view().maps
    assert maps.step == 100
    assert np.isfinite(maps.slice.losses).all()
    assert set(maps.map.values) == {"lgi", "variance", "asymmetry"}
    assert 0 < maps.fidelity.variance_share <= 1

    finer = trainer.view().experiment.change(slice_resolution=129, map_resolution=65)
    trainer.adjust(finer)
    trainer.compute_maps()
    until(lambda: trainer.view().maps.working != "")
    trainer.cancel()
    until(lambda: trainer.view().maps.working == "")
    kept = trainer.view().maps.map
    assert kept is None or kept.done < 1 or len(kept.a) == 5, "the finer map is not complete"


def test_maps_that_are_refused_say_why_and_the_run_goes_on(trainers, monkeypatch) -> None:
    trainer = trainers(scenario="moons", steps=5)
    monkeypatch.setattr("app.live.maps.choose_plane", _refuse)
    trainer.compute_maps()
    until(lambda: trainer.view().message != "")
    assert trainer.view().message == "The maps were not computed: no plane today"
    assert finished(trainer).step == 5


def _refuse(*_: object) -> None:
    raise ValueError("no plane today")


def test_standing_still_off_the_plane_chooses_one_that_holds_the_present(trainers) -> None:
    trainer = trainers(scenario="moons", steps=150, slice_resolution=9, map_resolution=5)
    finished(trainer)
    until(lambda: trainer.view().maps is not None and trainer.view().maps.step == 150)
    view = trainer.view()
    a0, a1, b0, b1 = view.maps.plane.extent
    a, b = view.places[-1].T
    assert ((a >= a0) & (a <= a1) & (b >= b0) & (b <= b1)).all()


def test_maps_are_due_at_doubling_steps() -> None:
    assert [t for t in range(1000) if maps_are_due(t)] == [100, 200, 400, 800]


def test_an_error_in_the_run_is_a_sentence_not_the_end(trainers, monkeypatch) -> None:
    trainer = trainers(**SMALL)

    def broken(_run: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr("app.live.run.Run.advance", broken)
    trainer.step()
    until(lambda: trainer.view().state == "failed")
    assert trainer.view().message == "The run stopped: the device is gone"
    monkeypatch.undo()
    trainer.restart(trainer.view().experiment)
    until(lambda: trainer.view().state == "paused")


def test_the_thread_ends_with_the_session_that_holds_it() -> None:
    from app.live.session import Lab

    lab = Lab(Experiment().change(**SMALL))
    thread = lab.trainer._thread
    del lab
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_two_trainers_share_the_gate_fairly(trainers) -> None:
    gate = Gate(1)
    pair = [Trainer(Experiment().change(scenario="moons", steps=100_000), gate) for _ in "ab"]
    try:
        until(lambda: all(t.view().state == "paused" for t in pair))
        for trainer in pair:
            trainer.run()
        until(lambda: min(t.view().step for t in pair) > 150)
        steps = [t.view().step for t in pair]
        assert max(steps) < 2 * min(steps), steps
    finally:
        for trainer in pair:
            trainer.close()


def test_an_instrument_along_the_run_is_measured_at_kept_steps(trainers) -> None:
    trainer = trainers(scenario="moons", steps=50, strips="along-lgi", map_k=2)
    finished(trainer)
    until(lambda: trainer.view().along is not None and not trainer.view().along.working)
    along = trainer.view().along
    assert along.steps[0] == 0
    assert along.steps[-1] == 50
    assert along.values.shape == (32, 3)
    assert ((along.values >= 0) & (along.values <= 2)).all()
    assert (along.values[0] == along.values[0, 0]).all(), "all lanes begin at the same weights"


def test_sharpness_is_measured_with_the_maps(trainers) -> None:
    trainer = trainers(scenario="moons", steps=100, slice_resolution=9, map_resolution=5)
    finished(trainer)
    until(lambda: 100 in trainer.view().sharpness and trainer.view().maps is not None)
    until(lambda: np.isfinite(trainer.view().sharpness[100]).all())
    assert (trainer.view().sharpness[100] > 0).all()


def test_another_measure_is_computed_onto_the_same_slice(trainers) -> None:
    trainer = trainers(scenario="moons", steps=100, slice_resolution=9, map_resolution=5)
    finished(trainer)
    until(lambda: trainer.view().maps is not None and not trainer.view().maps.working)
    before = trainer.view().maps
    trainer.adjust(trainer.view().experiment.change(measure="roughness"))

    def measured() -> bool:
        maps = trainer.view().maps
        return not maps.working and maps.map is not None and "roughness" in maps.map.values

    until(measured)
    assert trainer.view().maps.slice is before.slice


@pytest.mark.parametrize(("seeds", "rows"), [(1, 4096), (8, 2048), (32, 512)])
def test_many_runs_keep_fewer_rows(seeds: int, rows: int) -> None:
    from app.live.run import Run

    run = Run(Experiment().change(scenario="quadratic", seeds=seeds))
    assert run.history._rows._capacity == rows
