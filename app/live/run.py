"""One run of an experiment: the problem, its ensemble and the history, put together."""

from __future__ import annotations

import numpy as np
import torch

from app.experiment import Experiment
from demo_models.problem import build
from probes import Objective
from sadam.batches import Batches
from sadam.ensemble import Ensemble, Settings
from sadam.history import History
from sadam.lanes import LANES

#: Steps between two measurements of the test accuracy (a fifth of a step's cost each).
ACCURACY_EVERY = 5
#: Samples of the probe set that an instability map uses.
MAP_SAMPLES = 256


def settings_of(experiment: Experiment) -> Settings:
    """The numbers of a step, as the experiment has them."""
    return Settings(
        lr=experiment.lr,
        lgi_lambda=experiment.lgi_lambda,
        k_directions=experiment.k,
        sigma=experiment.sigma,
    )


class Run:
    """An experiment being trained, one step at a time, by one thread.

    Args:
        experiment: what to train.
    """

    def __init__(self, experiment: Experiment) -> None:
        scenario = experiment.problem
        problem = build(scenario)
        seeds = experiment.seed_list
        self.problem = problem
        self.test: Objective | None = None
        if problem.train and problem.probe and problem.test:
            network = problem.network(seeds[0])
            self.objective = Objective.from_module(network, problem.loss, problem.probe)
            inputs, targets = problem.probe
            self.map_objective = self.objective.with_batch(
                (inputs[:MAP_SAMPLES], targets[:MAP_SAMPLES])
            )
            self.test = Objective.from_module(network, problem.error, problem.test)
            batches = Batches(*problem.train, size=experiment.batch, seeds=seeds)
        else:
            assert problem.function is not None
            self.objective = Objective.from_function(problem.function, problem.start(seeds[0]))
            self.map_objective = self.objective
            batches = None
        self.ensemble = Ensemble(
            self.objective,
            [LANES[key] for key in experiment.lanes],
            seeds=seeds,
            initial=torch.stack([problem.start(seed) for seed in seeds]),
            batches=batches,
            settings=settings_of(experiment),
        )
        self.history = History()
        self.step = 0
        self.diverged_at = np.full(len(experiment.lanes) * len(seeds), -1)
        self.accuracy = np.full(len(experiment.lanes) * len(seeds), np.nan)
        self.accuracy_step = 0
        self.record()
        self.measure_accuracy()

    def advance(self) -> None:
        """Take one step of every run; what it gave is kept by record()."""
        self.ensemble.step()
        if self.ensemble.t % ACCURACY_EVERY == 0:
            self.measure_accuracy()

    def measure_accuracy(self) -> None:
        """Measure the test accuracy of every run at the present step."""
        if self.test is not None:
            self.accuracy = 1 - self.test.losses(self.ensemble.theta).cpu().numpy()
        self.accuracy_step = self.ensemble.t

    def record(self) -> None:
        """Append the present step to the history, and with it all that a view reads."""
        self.step = self.ensemble.t
        self.diverged_at = self.ensemble.diverged_at.cpu().numpy()
        self.history.append(self.ensemble.record)
        shown = self.ensemble.theta[:: len(self.ensemble.seeds)]
        self.history.snapshot(self.ensemble.t, shown)
