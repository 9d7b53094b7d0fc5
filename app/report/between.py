"""Two checkpoints: the straight line between them, and the plane that also holds a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from app.report.findings import Around, Between
from app.report.network import Network
from demo_models.problem import Problem
from probes import Objective, instabilities, loss_slices, step_plane

#: Places of the line, and those among them where roughness is measured.
PLACES, ROUGH = 41, 11
#: Directions of the roughness, and how many levels the plane has.
DIRECTIONS, LEVELS = 4, (9, 17, 33)
#: The part of the plane that is drawn: both ends, and as much across.
EXTENT = (-0.5, 1.5, -1.0, 1.0)


def between(
    objective: Objective,
    pair: tuple[Network, Network],
    file: str,
    setup: Around,
) -> Iterator[tuple[Between, float]]:
    """Follow the straight line (1 - t) first + t second, then the plane through both.

    Buffers, such as running statistics, stay the first network's all along the line.

    Args:
        objective: the loss at the first, float64; its rows are the line's.
        pair: the first network, and the same one with the other weights.
        file: the second upload's name.
        setup: sigma and seed of the roughness.

    Yields:
        What is known so far, and the share of the work.

    Raises:
        ValueError: both hold the same weights.
    """
    assert objective.batch is not None
    network, second = pair
    start, end = objective.theta, _flat(objective, second)
    distance = float((end - start).norm())
    if distance == 0.0:
        raise ValueError("both files hold the same weights, so there is no line between them")
    t = np.linspace(0.0, 1.0, PLACES)
    points = torch.lerp(start, end, torch.from_numpy(t)[:, None])
    error = Objective.from_module(
        network.module, Problem.error, objective.batch, dtype=torch.float64
    )
    losses = objective.losses(points).numpy()
    accuracy = 1.0 - error.losses(points).numpy()
    straight = losses[0] + t * (losses[-1] - losses[0])
    chosen = np.linspace(0, PLACES - 1, ROUGH).round().astype(int)
    found = Between(
        file,
        distance,
        t,
        losses,
        accuracy,
        t[chosen],
        np.full(ROUGH, np.nan),
        None,
        max(0.0, float((losses - straight).max())),
    )
    yield found, 0.1
    for row, place in enumerate(chosen):
        values = found.roughness.copy()
        values[row] = instabilities(
            objective,
            points[place : place + 1],
            measures=("roughness",),
            k=DIRECTIONS,
            sigma=setup.sigma,
            seed=setup.seed,
        )["roughness"][0]
        found = replace(found, roughness=values)
        yield found, 0.1 + 0.4 * (row + 1) / ROUGH
    gradient = objective.gradients(start[None])[0]
    plane = step_plane(start, gradient, end - start).with_extent(*EXTENT)
    for part in loss_slices(objective, plane, LEVELS):
        found = replace(found, plane=part)
        yield found, 0.5 + 0.5 * part.done


def _flat(objective: Objective, network: Network) -> Tensor:
    """A network's parameters in the objective's layout."""
    own = dict(network.module.named_parameters())
    flat = torch.cat([own[entry.name].detach().reshape(-1) for entry in objective.layout])
    return flat.to(objective.theta)
