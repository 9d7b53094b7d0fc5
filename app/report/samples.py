"""Which data a network is measured on: the digits, the user's file, or random stand-ins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from app.report.network import Network
from app.report.networks import problem_of
from app.report.tables import DataProblem, Table, problem
from demo_models.problem import Problem
from demo_models.scenario import Scenario
from demo_models.scenarios import SCENARIOS
from probes import Objective
from probes.frozen import frozen_copy

__all__ = ["BANNER", "DataProblem", "Samples", "best_fit", "measured_rows", "samples_of"]

BANNER = (
    "Standard normal inputs and random labels stand in for the data: the loss is then NOT the "
    "model's real loss, and how rough it is there says little about how rough it is on yours."
)
#: Random samples, and rows of X that instruments use at most: as many as the lab's probe set.
ROWS = 512
#: Seed of the draw of those rows, and of random stand-ins.
SEED = 0
#: The lab's own digits: 512 fixed images, and 360 never trained on.
DIGITS = "digits-32bit"
#: Samples of one shape that a registered network is tried with.
_TRIED = 2


@dataclass(frozen=True, eq=False)
class Samples:
    """Data in the shape that the network takes.

    Args:
        inputs: (N, ...) float32.
        labels: (N,) int64 in 0..classes - 1.
        classes: width of the network's output.
        title: in words.
        real: whether these are real data and not random stand-ins.
        unseen: other samples, never trained on by the lab; or None.
    """

    inputs: Tensor
    labels: Tensor
    classes: int
    title: str
    real: bool
    unseen: tuple[Tensor, Tensor] | None = None


def samples_of(network: Network, table: Table | None = None) -> Samples:
    """The samples that a network is measured on.

    Args:
        network: of `networks_of`.
        table: the user's data, of `read_table`; None takes the scenario's own data, the digits
            where 64 numbers (or one 8 x 8 image) go in and 10 classes come out, else random
            stand-ins.

    Raises:
        DataProblem: the file does not fit the network, or no shape of inputs could be found.
    """
    if table is not None:
        return _from_file(network, *table)
    if network.scenario is not None:
        return _of_scenario(network.scenario)
    return _digits(network) or _random(network)


def best_fit(
    networks: Sequence[Network], table: Table | None = None
) -> tuple[Network, Samples, str]:
    """The network that a file most likely is, with its samples.

    Layouts do not tell rounding, activation or every placement of pools. Of several networks that
    fit it is the one with the lowest loss, which is a guess: a network trained with fine rounding
    may do better without. One that is certain is taken at its word.

    Args:
        networks: of `networks_of`, at least one.
        table: as in `samples_of`.

    Returns:
        The network, its samples, and a sentence on how it was chosen, "" where there is one alone.

    Raises:
        DataProblem: the data fit none of them.
    """
    found: list[tuple[Network, Samples]] = []
    refusal: DataProblem | None = None
    for network in networks:
        try:
            found.append((network, samples_of(network, table)))
        except DataProblem as error:
            refusal = refusal or error
    if not found:
        assert refusal is not None
        raise refusal
    real = [pair for pair in found if pair[1].real]
    if found[0][0].certain or not real or len(found) == 1:
        return (*found[0], "")
    losses = [_loss(network, samples) for network, samples in real]
    first = min(range(len(real)), key=lambda i: (losses[i], i))
    others = [losses[i] for i in range(len(real)) if i != first and losses[i] > losses[first]]
    if not others:
        return (*real[first], "")
    why = (
        f"{len(real)} networks have this layout, and the file does not say which it is: this one "
        f"has the lowest loss, {losses[first]:.3g} against {min(others):.3g} of the next. Rounding "
        "raises a loss, so choose the one that it was trained as, where you know."
    )
    return (*real[first], why)


def _loss(network: Network, samples: Samples) -> float:
    batch = measured_rows(samples, ROWS)
    objective = Objective.from_module(network.module, Problem.loss, batch)
    found = float(objective.losses(objective.theta[None])[0])
    return found if np.isfinite(found) else float("inf")


def measured_rows(samples: Samples, rows: int) -> tuple[Tensor, Tensor]:
    """The samples that instruments use: all, or a fixed draw of `rows` of them, in order.

    The draw and not the first rows: files are often sorted by class.
    """
    if len(samples.labels) <= rows:
        return samples.inputs, samples.labels
    chosen = np.random.default_rng(SEED).permutation(len(samples.labels))[:rows]
    index = torch.from_numpy(np.sort(chosen))
    return samples.inputs[index], samples.labels[index]


def _of_scenario(scenario: Scenario) -> Samples:
    found = problem_of(scenario)
    assert found.probe is not None
    data = str(scenario.data).replace("-", " ")
    title = f"{len(found.probe[1])} {data}, the lab's fixed samples"
    if scenario.label_noise:
        title += f", {scenario.label_noise:.0%} of the labels wrong as there"
    return Samples(*found.probe, found.classes, title, True, found.test)


def _digits(network: Network) -> Samples | None:
    """The digits where their shape fits, else None."""
    digits = _of_scenario(SCENARIOS[DIGITS])
    assert digits.unseen is not None
    for shape in ((64,), (1, 8, 8)):
        if network.shape not in (None, shape):
            continue
        if _classes(network.module, digits.inputs[:_TRIED].reshape(-1, *shape)) == digits.classes:
            unseen = (digits.unseen[0].reshape(-1, *shape), digits.unseen[1])
            inputs = digits.inputs.reshape(-1, *shape)
            return Samples(inputs, digits.labels, digits.classes, digits.title, True, unseen)
    return None


def _random(network: Network) -> Samples:
    generator = torch.Generator().manual_seed(SEED)
    for shape in _shapes(network):
        inputs = torch.randn(ROWS, *shape, generator=generator)
        classes = _classes(network.module, inputs[:_TRIED])
        if classes is not None:
            labels = torch.randint(classes, (ROWS,), generator=generator)
            title = f"{ROWS} random samples of shape {tuple(shape)}"
            return Samples(inputs, labels, classes, title, real=False)
    raise problem(
        "no shape of inputs was found that the registered network takes",
        "one that gives (N, classes), at least two classes",
        "bring samples with it, as a .npz (X, y)",
    )


def _shapes(network: Network) -> Iterator[tuple[int, ...]]:
    if network.shape is not None:
        yield network.shape
        return
    for layer in network.module.modules():
        if isinstance(layer, nn.Linear):
            yield (layer.in_features,)
            return
        if isinstance(layer, nn.Conv2d):
            yield from ((layer.in_channels, side, side) for side in (8, 28, 32, 64, 224))
            return


def _from_file(network: Network, X: np.ndarray, y: np.ndarray) -> Samples:
    inputs, labels = torch.from_numpy(X), torch.from_numpy(y)
    if network.shape is not None:
        features = int(np.prod(network.shape))
        given = inputs[0].numel()
        if given != features:
            raise problem(
                f"a sample of X has {given} numbers",
                f"{features} for this network ({network.title})",
                "bring the data that it was trained on",
            )
        inputs = inputs.reshape(len(inputs), *network.shape)
    classes = _classes(network.module, inputs[:_TRIED])
    if classes is None:
        raise problem(
            f"the network does not turn samples of shape {tuple(inputs.shape[1:])} into (N, "
            "classes)",
            "inputs of the shape that it was trained on",
            "reshape X before saving it as a .npz",
        )
    highest = int(labels.max())
    if highest >= classes:
        raise problem(
            f"the highest label is {highest}",
            f"0 to {classes - 1}, as the network has {classes} outputs",
            "encode the classes as they were in training",
        )
    return Samples(inputs, labels, classes, f"{len(y):,} samples of the file", real=True)


def _classes(module: nn.Module, inputs: Tensor) -> int | None:
    """The number of outputs, or None where the network does not take such inputs."""
    try:
        with torch.no_grad():
            output = frozen_copy(module)(inputs)  # a layer in training mode would write statistics
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None
    fits = isinstance(output, Tensor) and output.dim() == 2 and len(output) == len(inputs)
    return output.shape[1] if fits and output.shape[1] > 1 else None
