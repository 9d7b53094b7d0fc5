"""One study: training on a fixed full batch, with Clarke's stationarity measured along it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from app.live.convergence import log_uniform_steps
from app.theory import Study
from demo_models.problem import build
from probes import Objective, clarke
from sadam.batches import Batches
from sadam.ensemble import Ensemble
from sadam.settings import Settings

#: Seconds between two copies of what is known so far.
COPY_EVERY = 0.4


@dataclass(frozen=True, eq=False)
class Findings:
    """What is known of a study so far.

    The t-th iterate, t = 1 .. T, is the point before the t-th step. Runs are lane-major, R = lanes
    x seeds, in the order of `Study.runs` and `Study.seed_list`.

    Args:
        study: what was measured.
        times: (n,) the iterates at which stationarity is measured so far.
        stationarity: (n, R) the upper bound on Clarke stationarity; nan after a run diverged.
        gradient: (t, R) the gradient's norm at every iterate so far; nan after a run diverged.
        diverged_at: (R,) the step at which a run diverged, -1 where it did not.
        done: share of the work, 0 to 1.
    """

    study: Study
    times: np.ndarray
    stationarity: np.ndarray
    gradient: np.ndarray
    diverged_at: np.ndarray
    done: float

    def of(self, values: np.ndarray, lane: int) -> np.ndarray:
        """The seeds' part (n, S) of one lane of something of all runs (n, R)."""
        seeds = self.study.seeds
        return values[:, lane * seeds : (lane + 1) * seeds]


def ensemble_of(study: Study) -> Ensemble:
    """All lanes and seeds of a study at their start.

    A function is evaluated in float64, so that known answers are met; a network in float32, as it
    is trained.
    """
    problem = build(study.problem)
    seeds = study.seed_list
    if problem.train and problem.probe:
        network = problem.network(seeds[0])
        objective = Objective.from_module(network, problem.loss, problem.probe)
        batches = Batches(*problem.train, size=len(problem.train[1]), seeds=seeds)
    else:
        assert problem.function is not None
        objective = Objective.from_function(problem.function, problem.start(seeds[0]).double())
        batches = None
    return Ensemble(
        objective,
        study.runs,
        seeds=seeds,
        initial=torch.stack([problem.start(seed) for seed in seeds]),
        batches=batches,
        settings=Settings(lr=study.lr, weight_decay=study.weight_decay),
        projections=1,
    )


def measured_steps(study: Study) -> np.ndarray:
    """The iterates (n,) at which stationarity is measured."""
    if study.thinning == "every":
        return np.arange(1, study.steps + 1)
    return log_uniform_steps(study.steps)


def observe(study: Study) -> Iterator[Findings | None]:
    """Train a study and measure it along the way.

    Args:
        study: lanes, seeds, steps, delta and samples.

    Yields:
        Now and then, and last, the `Findings` so far; between them None, so that a piece of work
        stays short. Closing the iterator cancels.

    Raises:
        ValueError, MemoryError: as `probes.clarke`.
    """
    ensemble = ensemble_of(study)
    times = measured_steps(study)
    runs = len(ensemble.theta)
    stationarity = np.full((len(times), runs), np.nan)
    gradient = np.full((study.steps, runs), np.nan)
    t, row, copied = 0, 0, time.perf_counter()

    def findings(t: int) -> Findings:
        known_all = t == study.steps or not ensemble.alive.any()
        done = 1.0 if known_all else 0.5 * (t / study.steps + row / len(times))
        known = times[:row], stationarity[:row].copy(), gradient[:t].copy()
        return Findings(study, *known, ensemble.diverged_at.cpu().numpy().copy(), done)

    for t in range(1, study.steps + 1):
        alive = ensemble.alive.cpu().numpy()
        gradient[t - 1, alive] = ensemble.record.gradient_norm.cpu().numpy()[alive]
        if t == times[row]:
            for run in np.flatnonzero(alive):
                stationarity[row, run] = _stationarity(ensemble, int(run), study)
                yield None
            row += 1
        if not alive.any():
            break
        now = time.perf_counter()
        if now >= copied + COPY_EVERY:
            copied = now
            yield findings(t)
        if t < study.steps:
            ensemble.step()
            yield None
    yield findings(t)


def _stationarity(ensemble: Ensemble, run: int, study: Study) -> float:
    """The upper bound at one run's present point; the segments point along its update too."""
    theta = ensemble.theta[run]
    return clarke(
        ensemble.objective,
        theta,
        delta=study.delta,
        samples=study.samples,
        seed=study.seed,
        update=ensemble.next_theta[run] - theta,
    ).stationarity
