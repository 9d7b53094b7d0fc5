"""The report's measurements, cheap ones first, in pieces that can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from app.checkpoints import Checkpoint
from app.live.measuring import measurements
from app.live.readings import Readings
from app.live.subject import Subject as Place
from app.report.between import between
from app.report.findings import Around, Report, Subject
from app.report.layers import layer_readings
from app.report.network import Network
from app.report.samples import ROWS, Samples, measured_rows
from app.report.step import StateProblem, edge_of, moments_of, next_steps
from app.report.tables import problem
from app.report.words import found_in_file
from demo_models.problem import Problem
from probes import Objective, Plane, instability_maps, loss_slices, random_plane
from probes.frozen import frozen_copy

#: Parameters that a report takes: with more, two gradients alone do not fit the memory budget.
MOST_PARAMETERS = 2_500_000
#: Floating-point operations of one evaluation, which decide how many samples it is of: about
#: 9,000 evaluations make a report, and a core does 4e9 operations a second in float64. Moving one
#: parameter costs as much as so many.
WORK, MOVING = 2e7, 40.0
FEWEST_ROWS = 32
#: Rows that loss and accuracy take at a time.
CHUNK = 2048
#: k and sigma of all instruments: S-Adam's own.
K, SIGMA = 2, 0.01
#: Draws of k directions, gradients that Clarke's bounds sample, and bytes those may take.
DRAWS, GRADIENTS, GRADIENT_BYTES = 100, 16, 2e8
#: Points a side of slice and map, and directions a point of the map.
SLICE_LEVELS, MAP_POINTS, MAP_K = (9, 17, 33), 11, 4
MAP_MEASURES = ("lgi", "asymmetry", "roughness")


@dataclass(frozen=True, eq=False)
class Second:
    """A second checkpoint of the same network.

    Args:
        file: the upload's name.
        network: the first one's network with the second one's weights.
    """

    file: str
    network: Network


@dataclass(frozen=True, eq=False)
class Case:
    """One inspection, as its own thread holds it.

    Args:
        checkpoint: the file that was read.
        network: with its weights.
        samples: all data.
        objective: the loss on the measured rows, float64.
        setup: how it is measured.
        effort: share of the usual number of draws and points, in (0, 1].
    """

    checkpoint: Checkpoint
    network: Network
    samples: Samples
    objective: Objective
    setup: Around
    effort: float

    @property
    def plane(self) -> Plane:
        """Random, filter-normalised, through the weights."""
        return random_plane(
            self.objective, self.objective.theta, normalize="filter", seed=self.setup.seed
        )


Stage = Callable[[Case, Report], Iterator[tuple[dict[str, Any], float]]]


def inspect(
    checkpoint: Checkpoint,
    filename: str,
    network: Network,
    samples: Samples,
    *,
    chosen: str = "",
    second: Second | None = None,
) -> Iterator[Report]:
    """Measure a checkpoint.

    Args:
        checkpoint: of `read_checkpoint`.
        filename: the upload's name, shown as text.
        network, samples, chosen: of `best_fit`.
        second: another checkpoint of the same network, or None.

    Yields:
        Ever more complete reports; closing the iterator cancels. What could not be measured is a
        note of the last one.

    Raises:
        DataProblem: the network is too large to be measured here.
    """
    case = _case(checkpoint, network, samples)
    report = _first(case, filename, chosen)
    yield report
    stages: list[tuple[str, float, Stage]] = [
        ("the instruments", 0.45, _instruments),
        ("the next step", 0.05, _step),
        ("layer by layer", 0.15, _layers),
        ("the slice", 0.1, _slice),
        ("the map", 0.15, _map),
    ]
    if second is not None:
        stages.append(("the way to the second file", 0.1, _between(second)))
    begun, whole = 0.0, sum(share for _, share, _ in stages)
    for working, share, stage in stages:
        report = replace(report, working=working, done=begun)
        try:
            for news, done in stage(case, report):
                report = replace(report, **news, done=begun + done * share / whole)
                yield report
        except (ValueError, RuntimeError, MemoryError) as error:
            # A network of one's own may lack a second derivative, or be too large for one stage.
            text = str(error).split("\n", 1)[0][:300]
            note = f"Not measured, {working}: {text}"
            report = replace(report, notes=(*report.notes, note))
        begun += share / whole
    yield replace(report, working="", done=1.0)


def _case(checkpoint: Checkpoint, network: Network, samples: Samples) -> Case:
    size = sum(p.numel() for p in network.module.parameters() if p.requires_grad)
    if size > MOST_PARAMETERS:
        raise problem(
            f"the network has {size:,} parameters",
            f"at most {MOST_PARAMETERS:,} for a report of some minutes",
            "inspect a smaller network",
        )
    operations = _operations(network, samples)
    rows = int(min(ROWS, max(FEWEST_ROWS, (WORK - MOVING * size) / operations)))
    effort = min(1.0, WORK / (operations * rows + MOVING * size))
    batch = measured_rows(samples, rows)
    objective = Objective.from_module(network.module, Problem.loss, batch, dtype=torch.float64)
    gradients = int(GRADIENT_BYTES / (6 * 8 * size))
    setup = Around(
        function="digits-32bit",  # any network: what is drawn is the same
        k=K,
        sigma=SIGMA,
        draws=max(20, int(DRAWS * effort)),
        samples=max(2, min(GRADIENTS, gradients)),
        rounded=network.surrogate,
    )
    return Case(checkpoint, network, samples, objective, setup, effort)


def _operations(network: Network, samples: Samples) -> float:
    """Floating-point operations of one sample, at least two a parameter."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        frozen_copy(network.module)(samples.inputs[:2])
    parameters = sum(p.numel() for p in network.module.parameters())
    return max(counter.get_total_flops() / 2, 2.0 * parameters)


def _first(case: Case, filename: str, chosen: str) -> Report:
    samples, network, objective = case.samples, case.network, case.objective
    assert objective.batch is not None
    loss, accuracy = loss_and_accuracy(network, samples.inputs, samples.labels)
    unseen = None if samples.unseen is None else loss_and_accuracy(network, *samples.unseen)[1]
    subject = Subject(
        file=filename,
        found=tuple(found_in_file(case.checkpoint)),
        network=network.title,
        assumptions=(*network.assumptions, *((chosen,) if chosen else ())),
        data=samples.title,
        real=samples.real,
        rows=len(objective.batch[1]),
        samples=len(samples.labels),
        parameters=objective.size,
        surrogate=network.surrogate,
    )
    norm = float(objective.theta.norm())
    readings = Readings(case.setup)
    return Report(subject, loss, accuracy, unseen, norm, readings, working="the instruments")


def loss_and_accuracy(network: Network, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross entropy in nats, and the share of right answers, in float32.

    More than 2,048 samples are taken in parts, and a batch's own statistics are then each part's.

    Args:
        network: as it is measured.
        inputs, labels: (N, ...) and (N,).
    """
    module, loss, right = frozen_copy(network.module), 0.0, 0.0
    with torch.no_grad():
        for x, y in zip(inputs.split(CHUNK), labels.split(CHUNK), strict=True):
            output = module(x)
            loss += float(Problem.loss(output, y)) * len(y)
            right += (1.0 - float(Problem.error(output, y))) * len(y)
    return loss / len(labels), right / len(labels)


def _instruments(case: Case, report: Report) -> Iterator[tuple[dict[str, Any], float]]:
    readings = report.readings
    place = Place(case.objective, case.plane, None)
    for news in measurements(place, case.setup):
        readings = replace(readings, **news)
        yield {"readings": readings}, readings.done


def _step(case: Case, report: Report) -> Iterator[tuple[dict[str, Any], float]]:
    state, reason = case.checkpoint.optimizer, "The file has no Adam state, so no next step."
    if state is not None:
        try:
            moments_of(case.objective.layout, case.network, state)
        except StateProblem as error:
            state, reason = None, str(error)
    if state is None:
        yield {"notes": (*report.notes, reason)}, 0.1
    yield {"edge": edge_of(case.objective, case.network, state)}, 0.5
    if state is not None:
        for step in next_steps(case.objective, case.network, state, report.readings):
            yield {"step": step}, 0.5 + 0.5 * step.line.done


def _layers(case: Case, _report: Report) -> Iterator[tuple[dict[str, Any], float]]:
    for layers, done in layer_readings(case.objective, case.network, case.setup, case.effort):
        yield {"layers": layers}, done


def _slice(case: Case, _report: Report) -> Iterator[tuple[dict[str, Any], float]]:
    levels = SLICE_LEVELS if case.effort > 0.5 else SLICE_LEVELS[:2]
    for part in loss_slices(case.objective, case.plane, levels):
        yield {"slice": part}, part.done


def _map(case: Case, _report: Report) -> Iterator[tuple[dict[str, Any], float]]:
    points = max(5, int(MAP_POINTS * case.effort**0.5))
    for part in instability_maps(
        case.objective,
        case.plane,
        points,
        k=MAP_K,
        sigma=case.setup.sigma,
        seed=case.setup.seed,
        measures=MAP_MEASURES,
        fresh=True,
        block=1,
    ):
        yield {"map": part}, part.done


def _between(second: Second) -> Stage:
    def stage(case: Case, _report: Report) -> Iterator[tuple[dict[str, Any], float]]:
        pair = (case.network, second.network)
        for found, done in between(case.objective, pair, second.file, case.setup):
            yield {"between": found}, done

    return stage


def complete(reports: Iterator[Report], tell: Callable[[str], None] | None = None) -> Report:
    """The last of some reports.

    Args:
        reports: of `inspect`.
        tell: called with each new thing that is being measured.
    """
    working, last = "", None
    for last in reports:
        if tell is not None and last.working and last.working != working:
            tell(last.working)
        working = last.working
    assert last is not None
    return last
