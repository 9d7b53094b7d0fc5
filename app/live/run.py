"""One run of an experiment: the problem, its ensemble and the history, put together."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from app.budget import check_parameters
from app.experiment import Experiment
from demo_models.data import Samples
from demo_models.problem import Problem, build
from probes import Objective, Plane
from probes.oscillation import OscillationTracker, oscillating_share
from sadam.batches import Batches
from sadam.ensemble import Ensemble
from sadam.history import History
from sadam.lanes import LANES
from sadam.settings import Settings
from sadam.snapshots import Snapshots

if TYPE_CHECKING:
    from app.report.resume import Start

#: Columns of the history that the page draws.
COLUMNS = (
    "probe_loss",
    "lgi",
    "damping",
    "effective_lr",
    "promised",
    "got",
    "accuracy",
    "levels_changed",
    "gradient_projection",
    "update_projection",
    "loss",
    "slope_after",
    "update_cosine",
    "path_length",
    "forwards",
    "distance",
    "oscillating",
)
#: Names torch's device that runs train on.
DEVICE_VARIABLE = "CHATTERSCOPE_DEVICE"
#: Rows of the history, counted over all runs: 16 MB.
ROWS = 49_152
#: Bytes of snapshots, or as many as this many steps take where a network is so large.
SNAPSHOT_BYTES, FEWEST_SNAPSHOTS = 32 << 20, 24
#: Samples of the probe set that an instability map uses.
MAP_SAMPLES = 256


def settings_of(experiment: Experiment) -> Settings:
    """The numbers of a step, as the experiment has them."""
    return Settings(
        lr=experiment.lr,
        betas=(experiment.beta1, Settings.betas[1]),
        lgi_lambda=experiment.lgi_lambda,
        k_directions=experiment.k,
        sigma=experiment.sigma,
        total_steps=experiment.steps,
    )


def problem_of(experiment: Experiment) -> Problem:
    """The problem of an experiment; a function starts where the experiment says."""
    problem = build(experiment.problem)
    if problem.function is None:
        return problem
    start = (experiment.x0, experiment.y0)
    return replace(problem, function=replace(problem.function, start_point=start))


def chosen_device() -> torch.device:
    """Where the page trains: CHATTERSCOPE_DEVICE, and the CPU, the fastest for its small networks.

    Raises:
        ValueError: this machine has no such device.
    """
    name = os.environ.get(DEVICE_VARIABLE, "cpu")
    here = ["cpu"]
    here += ["cuda"] if torch.cuda.is_available() else []
    if name not in here:
        raise ValueError(
            f"{DEVICE_VARIABLE} is {ascii(name)[:40]}; this machine has {', '.join(here)}: choose"
            " one, or leave the variable out."
        )
    return torch.device(name)


def on_device(problem: Problem, device: torch.device) -> Problem:
    """The same problem with its samples there; those that shared a tensor share it still."""
    moved: dict[int, Tensor] = {}

    def there(samples: Samples | None) -> Samples | None:
        if samples is None:
            return None
        inputs, targets = (moved.setdefault(id(x), x.to(device)) for x in samples)
        return inputs, targets

    train, probe, test = (there(part) for part in (problem.train, problem.probe, problem.test))
    return replace(problem, train=train, probe=probe, test=test)


class Run:
    """An experiment being trained, one step at a time, by one thread.

    What a view reads (history, snapshots and what is known of them) changes in record() and
    place() alone, so a reader in another thread needs a lock around those two only.

    Args:
        experiment: what to train.
        start: where every lane starts, of a checkpoint of this network; None takes each seed's
            initial weights.

    Raises:
        BudgetError: it trains more parameters at once than the server allows.
    """

    def __init__(self, experiment: Experiment, start: Start | None = None) -> None:
        self.experiment = experiment
        device = chosen_device()
        problem = on_device(problem_of(experiment), device)
        seeds = experiment.seed_list
        self.problem = problem
        self.test: Objective | None = None
        if problem.train and problem.probe and problem.test:
            network = problem.network(seeds[0]).to(device)
            self.objective = Objective.from_module(network, problem.loss, problem.probe)
            inputs, targets = problem.probe
            self.map_objective = self.objective.with_batch(
                (inputs[:MAP_SAMPLES], targets[:MAP_SAMPLES])
            )
            inputs, targets = (part[: problem.scenario.probe] for part in problem.test)
            test = problem.numbers((inputs, targets))
            self.test = Objective.from_module(network, problem.error, test)
            batches = Batches(
                *problem.train, size=experiment.batch, seeds=seeds, numbers=problem.pixels
            )
        else:
            assert problem.function is not None
            begin = problem.start(seeds[0]).to(device)
            self.objective = Objective.from_function(problem.function, begin)
            self.map_objective = self.objective
            batches = None
        check_parameters(len(self.objective.theta), len(experiment.lanes), len(seeds))
        self.ensemble = Ensemble(
            self.objective,
            [LANES[key] for key in experiment.lanes],
            seeds=seeds,
            initial=torch.stack(
                [problem.start(seed) if start is None else start.theta for seed in seeds]
            ),
            batches=batches,
            settings=settings_of(experiment),
            moments=None if start is None else start.moments,
        )
        self.history = self._new_history()
        self.snapshots = self._new_snapshots()
        self.plane: Plane | None = None
        #: Of the shown seed, by step: places on the plane (L, 2), levels (L, W), kinks (L,).
        self.places: dict[int, np.ndarray] = {}
        self.codes: dict[int, np.ndarray] = {}
        self.kinks: dict[int, np.ndarray] = {}
        self.sharpness: dict[int, np.ndarray] = {}
        self.step = 0
        self.diverged_at = np.full(len(self.ensemble.theta), -1)
        self._start = self.ensemble.theta
        self._levels = self._codes()
        self._tracker = OscillationTracker()
        self._measure()
        self.record()

    @cached_property
    def exact_map_objective(self) -> Objective:
        """The map's loss in float64, for differences that float32 does not resolve."""
        batch = self.map_objective.batch
        if batch is None:
            assert self.problem.function is not None
            start = self.problem.start(self.ensemble.seeds[0]).to(self.objective.device)
            return Objective.from_function(self.problem.function, start.double())
        network = self.problem.network(self.ensemble.seeds[0]).to(self.objective.device)
        return Objective.from_module(network, self.problem.loss, batch, dtype=torch.float64)

    def advance(self) -> None:
        """Take one step of every run and measure it; record() makes it known."""
        self.ensemble.step()
        self._measure()

    def record(self) -> None:
        """Append the present step to the history, and with it all that a view reads."""
        step = self.ensemble.t
        self.step = step
        self.diverged_at = self.ensemble.diverged_at.cpu().numpy()
        self.history.append(self.ensemble.record, **self._measured)
        theta = self.shown(self.ensemble.theta)
        self.snapshots.append(step, theta)
        self._know(step, theta, self.shown(self._levels))
        if self.plane is not None:
            self.places[step] = _places(self.plane, theta)
        kept = set(self.snapshots.steps)
        for known in (self.codes, self.kinks, self.places):
            for gone in known.keys() - kept:
                del known[gone]

    def state(self) -> dict[str, Any]:
        """All that the run needs to go on bit for bit, as tensors, numbers and text."""
        parts = {"ensemble": self.ensemble, "history": self.history, "snapshots": self.snapshots}
        sharpness = {str(step): torch.from_numpy(v) for step, v in self.sharpness.items()}
        tracker = {
            name: torch.from_numpy(np.asarray(value))
            for name, value in self._tracker.state().items()
        }
        return {name: part.state() for name, part in parts.items()} | {
            "tracker": tracker,
            "sharpness": sharpness,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put this run where the run of the same experiment was whose `state` this is.

        Raises:
            ValueError: it is another experiment's, or damaged; nothing is changed.
        """
        history, snapshots = self._new_history(), self._new_snapshots()
        history.restore(state["history"])
        snapshots.restore(state["snapshots"])
        tracker = OscillationTracker.restore(
            {name: value.numpy() for name, value in state["tracker"].items()}
        )
        self.ensemble.restore(state["ensemble"])
        self._tracker = tracker
        self.history, self.snapshots = history, snapshots
        self.step = self.ensemble.t
        self.diverged_at = self.ensemble.diverged_at.cpu().numpy()
        self.sharpness = {int(step): v.numpy() for step, v in state["sharpness"].items()}
        self._levels = self._codes()
        self.codes, self.kinks = {}, {}
        for step, theta in snapshots.items():
            held = torch.tensor(theta).to(self.objective.theta)
            self._know(step, held, self.problem.codes(held).cpu())

    def _know(self, step: int, theta: Tensor, levels: Tensor) -> None:
        """Note what a view reads off the parameters (L, P) and levels (L, W) of a step."""
        if self.problem.quantized:
            self.codes[step] = levels.numpy()
        elif self.problem.function is not None and self.problem.function.kink is not None:
            self.kinks[step] = self.problem.function.kink(theta).cpu().numpy()

    def place(self, plane: Plane) -> None:
        """Put the paths onto another plane."""
        self.plane = plane
        self.places = {
            step: _places(plane, torch.tensor(theta)) for step, theta in self.snapshots.items()
        }

    def left_the_plane(self) -> bool:
        """Whether some lane of the shown seed now lies outside of the plane's extent."""
        if self.plane is None or self.step not in self.places:
            return False
        a0, a1, b0, b1 = self.plane.extent
        a, b = self.places[self.step].T
        return bool(((a < a0) | (a > a1) | (b < b0) | (b > b1)).any())

    def known(self) -> dict[str, Any]:
        """What a `View` shows of this run, copied where it goes on changing."""
        places, lanes = self.places, len(self.experiment.lanes)
        return {
            "step": self.step,
            "last": self.step,
            "steps": self.history.steps,
            "columns": {name: self.history.column(name) for name in COLUMNS},
            "diverged_at": self.diverged_at,
            "place_steps": np.fromiter(places, int, len(places)),
            "places": np.array(list(places.values())).reshape(len(places), lanes, 2),
            "codes": dict(self.codes),
            "kinks": dict(self.kinks),
            "sharpness": dict(self.sharpness),
            "samples": 0 if self.problem.probe is None else len(self.problem.probe[1]),
            "weights": self.problem.quantized,
        }

    def shown(self, values: Tensor) -> Tensor:
        """The shown (first) seed's part (L, ...) of something of all runs (R, ...)."""
        return values[:: len(self.ensemble.seeds)]

    def _new_history(self) -> History:
        """Fewer rows for more runs, so that memory stays the same; 256 dense ones at least."""
        return History(min(4096, max(512, ROWS // len(self.ensemble.theta))))

    def _new_snapshots(self) -> Snapshots:
        fewest = FEWEST_SNAPSHOTS * self.shown(self.ensemble.theta).nbytes
        return Snapshots(limit_bytes=max(SNAPSHOT_BYTES, fewest))

    def shown_rates(self, steps: int) -> np.ndarray:
        """Mean effective learning rate (L,) of the shown seed's lanes over the last steps."""
        rates = self.history.column("effective_lr")[-steps:, :: len(self.ensemble.seeds)]
        known = np.isfinite(rates)
        total = np.where(known, rates, 0.0).sum(axis=0)
        return total / np.maximum(known.sum(axis=0), 1)

    def _codes(self) -> Tensor:
        return self.problem.codes(self.ensemble.theta).cpu()

    def _measure(self) -> None:
        """Accuracy on unseen samples, and how many weights the last step moved to a new level."""
        runs = len(self.ensemble.theta)
        accuracy = np.full(runs, np.nan, np.float32)
        if self.test is not None:
            accuracy = 1 - self.test.losses(self.ensemble.theta).cpu().numpy()
        changed, oscillating = np.full(runs, np.nan, np.float32), np.full((runs, 0), np.nan)
        if self.problem.quantized:
            before, self._levels = self._levels, self._codes()
            changed = (before != self._levels).sum(1).float().numpy()
            self._tracker.update(self._levels.numpy())
            spans = [(0, self.problem.quantized), *self.problem.rounded_layers]
            oscillating = oscillating_share(self._tracker.frequency, spans)
        away = torch.linalg.vector_norm(self.ensemble.theta - self._start, dim=1)
        self._measured = {
            "accuracy": accuracy,
            "levels_changed": changed,
            "oscillating": oscillating.astype(np.float32),
            "distance": away.cpu().numpy(),
        }


def _places(plane: Plane, theta: Tensor) -> np.ndarray:
    """Coordinates (L, 2) of parameters (L, P) on a plane."""
    a, b = plane.coordinates(theta.to(plane.origin))
    return torch.stack((a, b), dim=-1).cpu().numpy()
