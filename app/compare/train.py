"""Trains a unit of work: one seed, some lanes, each at some learning rates, in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from app.compare.plan import PlanError
from app.compare.samples import Split, test_split, tuning_split
from app.experiment import Experiment
from app.live.run import problem_of, settings_of
from app.threads import one_thread
from demo_models.data import Samples
from demo_models.problem import Problem
from probes import Objective
from sadam.batches import Batches
from sadam.ensemble import Ensemble
from sadam.history import History
from sadam.lanes import LANES, Lane
from sadam.promises import loss_jump

#: A lane and the learning rate that it trains at.
Pair = tuple[str, float]
#: What a unit found, by name: a row a pair, or "step" (T,) and "history.*" (T, pairs).
Outcome = dict[str, np.ndarray]

#: Columns of the history that are kept.
COLUMNS = (
    "loss",
    "probe_loss",
    "gradient_norm",
    "lgi",
    "damping",
    "effective_lr",
    "promised",
    "got",
    "path_length",
    "forwards",
)
#: Rows of it: every step of the newest half, the past ever thinner.
ROWS = 1024
#: Samples that a score takes at once; images of CIFAR then take about 0.5 GB on the way.
SCORED_AT_ONCE = 1000
#: Steps between two words of how far it is.
TICK = 10
#: Steps that the loss jump looks back, as the page's table does.
RECENT = 50
#: Bytes that the runs of one ensemble may take, at about twelve copies of their parameters.
RUN_BYTES, COPIES = 2**29, 12


@dataclass(frozen=True)
class Unit:
    """One seed's work; the same unit gives the same numbers, to the bit, wherever it runs on.

    A lane that follows S-Adam (smaller, swapped) has an S-Adam of its own beside it, at its own
    rate, so that a lane, a rate and a seed always mean the same run.

    Args:
        experiment: the scenario and all settings but lanes, seeds and rates.
        seed: which.
        partner: the seed whose dampings a swapped lane takes.
        pairs: what to train.
        tuning: score on held-out training samples, and keep no history.
        device: torch's name of it.
    """

    experiment: Experiment
    seed: int
    partner: int
    pairs: tuple[Pair, ...]
    tuning: bool
    device: str = "cpu"


def train(unit: Unit, tick: Callable[[float], None] | None = None) -> Outcome:
    """Train and score a unit.

    Args:
        unit: what to train.
        tick: is told now and then which share of the unit is done.

    Returns:
        "accuracy" and "scored_loss" on the validation or the test split (nan for a function),
        "loss" on the probe set, "diverged_at", one a pair; and of a unit that is not tuning also
        "loss_jump", "path_length", "forwards", "step" and the history.

    Raises:
        PlanError: the network can't be trained as a stack of runs.
        DataError: its data are absent or damaged.
    """
    with one_thread():
        problem = problem_of(unit.experiment)
        split = None
        if problem.function is None:
            split = tuning_split(unit.experiment.problem) if unit.tuning else test_split(problem)
        rows: dict[Pair, Outcome] = {}
        step = np.empty(0, np.int64)
        for pairs, seeds in _groups(unit, problem.start(unit.seed).numel()):
            together = _Together(unit, problem, split, pairs, seeds)
            before, share = len(rows) / len(unit.pairs), len(pairs) / len(unit.pairs)
            for step_share in together.steps():
                if tick is not None:
                    tick(before + share * step_share)
            found, step = together.found()
            rows |= found
    names = rows[unit.pairs[0]]
    outcome = {name: np.stack([rows[pair][name] for pair in unit.pairs], axis=-1) for name in names}
    return outcome if unit.tuning else outcome | {"step": step}


def _groups(unit: Unit, parameters: int) -> Iterator[tuple[tuple[Pair, ...], tuple[int, ...]]]:
    """Pairs that train as one ensemble, with its seeds, bounded in memory."""
    most = max(1, RUN_BYTES // (4 * COPIES * parameters))
    alone = tuple(pair for pair in unit.pairs if LANES[pair[0]].needs_seeds == 1)
    coupled = tuple(pair for pair in unit.pairs if LANES[pair[0]].needs_seeds > 1)
    for pairs, seeds in ((alone, (unit.seed,)), (coupled, (unit.seed, unit.partner))):
        size = max(1, most // (2 * len(seeds)))  # two: a lane and the one that it follows
        for start in range(0, len(pairs), size):
            yield pairs[start : start + size], seeds


class _Together:
    """The ensemble of some pairs, and what is read off it."""

    def __init__(
        self,
        unit: Unit,
        problem: Problem,
        split: Split | None,
        pairs: tuple[Pair, ...],
        seeds: tuple[int, ...],
    ) -> None:
        self._unit, self._problem, self._split, self._pairs = unit, problem, split, pairs
        self._history = History(ROWS)
        lanes, rates = _lanes(pairs)
        self._places = [place * len(seeds) for place in _places(pairs, lanes)]
        batches, self._error = None, None
        if split is None:
            assert problem.function is not None
            start = problem.start(unit.seed).to(unit.device)
            self._objective = Objective.from_function(problem.function, start)
        else:
            network = problem.network(unit.seed).to(unit.device)
            self._objective = Objective.from_module(network, problem.loss, split.probe)
            self._error = Objective.from_module(network, problem.error, split.probe)
            train = _on(split.train, unit.device)
            batches = Batches(
                *train, size=unit.experiment.batch, seeds=seeds, numbers=problem.pixels
            )
        try:
            self._ensemble = Ensemble(
                self._objective,
                lanes,
                seeds=seeds,
                initial=torch.stack([problem.start(seed) for seed in seeds]),
                batches=batches,
                settings=replace(settings_of(unit.experiment), lane_lr=rates),
                projections=1,
                observe=not unit.tuning,
            )
        except ValueError as error:  # a network that can't be trained as a stack of runs
            raise PlanError(f"{unit.experiment.scenario}: {error}") from error

    def steps(self) -> Iterator[float]:
        """Train to the end, giving the share that is done every few steps."""
        total = self._unit.experiment.steps
        for step in range(total):
            if self._unit.tuning:
                if not bool(self._ensemble.alive.any()):
                    return
            else:
                self._history.append(self._ensemble.record)
            self._ensemble.step()
            if step % TICK == 0:
                yield step / total

    def found(self) -> tuple[dict[Pair, Outcome], np.ndarray]:
        """What each pair's own seed found at the end, and the steps of the history."""
        theta, history = self._ensemble.theta, self._history
        values = {
            "accuracy": 1 - self._scored(self._error, theta),
            "scored_loss": self._scored(self._error and self._objective, theta),
            "loss": self._objective.losses(theta).cpu().numpy(),
            "diverged_at": self._ensemble.diverged_at.cpu().numpy(),
        }
        if not self._unit.tuning:
            history.append(self._ensemble.record)
            values |= _figures(history, values["diverged_at"])
            # A run that is frozen shows its last finite loss, in the history as in the table.
            values["loss"] = history.column("probe_loss")[-1]
        rows = {
            pair: {name: value[..., place] for name, value in values.items()}
            for pair, place in zip(self._pairs, self._places, strict=True)
        }
        return rows, history.steps

    def _scored(self, objective: Objective | None, theta: Tensor) -> np.ndarray:
        """The mean over the samples that score, taken in parts, so that memory stays bounded.

        A part has its own scales of rounded activations, and its own statistics where a network
        normalises, as every batch has while training.
        """
        total = np.zeros(len(theta))
        if objective is None or self._split is None:
            return np.full(len(theta), np.nan, np.float32)
        inputs, labels = self._split.scored
        for start in range(0, len(labels), SCORED_AT_ONCE):
            part = inputs[start : start + SCORED_AT_ONCE], labels[start : start + SCORED_AT_ONCE]
            on = objective.with_batch(_on(self._problem.numbers(part), self._unit.device))
            total += on.losses(theta).cpu().numpy() * len(part[1])
        return (total / len(labels)).astype(np.float32)


def _lanes(pairs: tuple[Pair, ...]) -> tuple[list[Lane], tuple[tuple[str, float], ...]]:
    """Every pair and the lanes that it needs as lanes of their own, with their rates."""
    made: dict[str, Lane] = {}
    rates: dict[str, float] = {}
    for key, lr in pairs:
        for each in (*LANES[key].needs, key):
            lane, name = LANES[each], _named(each, lr)
            made[name] = replace(
                lane, key=name, needs=tuple(_named(other, lr) for other in lane.needs)
            )
            rates[name] = lr
    return list(made.values()), tuple(rates.items())


def _places(pairs: tuple[Pair, ...], lanes: list[Lane]) -> list[int]:
    keys = [lane.key for lane in lanes]
    return [keys.index(_named(*pair)) for pair in pairs]


def _named(key: str, lr: float) -> str:
    return f"{key}@{lr!r}"


def _figures(history: History, diverged_at: np.ndarray) -> dict[str, np.ndarray]:
    """The history's columns, and the figures of its end."""
    columns = {f"history.{name}": history.column(name) for name in COLUMNS}
    steps, losses = history.steps, columns["history.probe_loss"]
    jumps = []
    for run, at in enumerate(diverged_at):
        trained = losses[steps < at, run] if at >= 0 else losses[:, run]  # frozen is not calm
        jumps.append(loss_jump(trained[-RECENT - 1 :]))
    return columns | {
        "loss_jump": np.array(jumps),
        "path_length": columns["history.path_length"][-1],
        # The last row counts the update planned at the end as well, which is never taken.
        "forwards": columns["history.forwards"][-2],
    }


def _on(samples: Samples, device: str) -> Samples:
    return samples[0].to(device), samples[1].to(device)
