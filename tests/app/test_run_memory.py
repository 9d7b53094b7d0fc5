"""The memory of a run is bounded: it does not grow with its steps, and little with its runs."""

from __future__ import annotations

import pytest

from app.experiment import Experiment
from app.live import run as module
from app.live.run import Run
from sadam.snapshots import Snapshots

LANES = ("adamw", "sadam", "smaller", "swapped", "random-law", "cosine", "prox", "rmsprop")


def held(run: Run) -> dict[str, int]:
    """Bytes, or entries, of all that a run keeps of its past."""
    return {
        "history": run.history.nbytes,
        "snapshots": run.snapshots.nbytes,
        "places": len(run.places),
        "codes": len(run.codes),
        "kinks": len(run.kinks),
    }


def train(run: Run, steps: int) -> None:
    for _ in range(steps):
        run.advance()
        run.record()


def test_what_a_run_keeps_does_not_grow_with_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "_new_history", lambda _run: module.History(64))
    monkeypatch.setattr(Run, "_new_snapshots", lambda _run: Snapshots(dense=16, thinned=8))
    run = Run(Experiment().change(scenario="moons", bits=2, seeds=2))
    train(run, 100)
    before = held(run)
    train(run, 300)
    after = held(run)
    assert after["history"] == before["history"] > 0
    for name in ("snapshots", "places", "codes", "kinks"):
        # The thinned past lies between half of its places and all of them.
        assert after[name] <= before[name] * 24 / 16, name
    assert len(run.snapshots) <= 24
    assert run.history.steps[-32:].tolist() == list(range(369, 401)), "its end is dense"


def test_the_history_of_64_runs_takes_no_more_than_16_mb() -> None:
    few = Run(Experiment().change(scenario="moons", lanes=("adamw",), seeds=1))
    many = Run(Experiment().change(scenario="moons", lanes=LANES, seeds=8))
    for run in (few, many):
        assert 0 < run.history.nbytes < 16e6
    assert many.snapshots.nbytes == 8 * few.snapshots.nbytes, "of the shown seed alone"
