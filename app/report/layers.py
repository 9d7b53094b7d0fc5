"""The same instruments layer by layer: directions that are zero outside of one layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.live.measuring import cut
from app.report.findings import Around, LayerReading
from app.report.network import Network
from probes import Objective
from probes.directions import draw_directions, normalize_directions
from probes.instability import MEASURES, planned
from probes.layout import Entry
from probes.rays import Rays, cast_rays
from probes.roughness import noise_chain, reaches_of, roughness_of

#: Radii in units of sigma, and draws of k directions in every layer.
OCTAVES, DRAWS = 2.0 ** np.arange(-3, 4), 16
#: Layers that are measured at most: those with most parameters.
MOST_LAYERS = 24
#: Cells of the directions, far from those of the other pools.
CELL = 2_000_000


@dataclass(frozen=True)
class Part:
    """A layer's share of the flat vector.

    Args:
        name: in the file.
        entries: its tensors.
    """

    name: str
    entries: tuple[Entry, ...]

    @property
    def parameters(self) -> int:
        """The number of its parameters."""
        return sum(entry.stop - entry.start for entry in self.entries)


def parts_of(objective: Objective, network: Network) -> list[Part]:
    """The layers of a network, in their order: tensors whose names differ in the last part.

    Args:
        objective: gives the layout.
        network: gives the file's names.

    Returns:
        At most 24, those with most parameters.
    """
    grouped: dict[str, list[Entry]] = {}
    for entry in objective.layout:
        owner = network.names.get(entry.name, entry.name).rpartition(".")[0]
        grouped.setdefault(owner, []).append(entry)
    parts = [Part(name, tuple(entries)) for name, entries in grouped.items()]
    largest = sorted(parts, key=lambda part: -part.parameters)[:MOST_LAYERS]
    return [part for part in parts if part in largest]


def layer_readings(
    objective: Objective, network: Network, setup: Around, effort: float = 1.0
) -> Iterator[tuple[tuple[LayerReading, ...], float]]:
    """Measure every layer.

    All tensors of a direction have unit norm, as in S-Adam, and those of other layers are zero: a
    radius means the same in each.

    Args:
        objective: float64.
        network: gives the file's names.
        setup: k, sigma, zeta and seed.
        effort: share of the usual number of draws.

    Yields:
        The readings so far, and the share of the work.
    """
    theta = objective.theta
    gradient = objective.gradients(theta[None])[0]
    parts = parts_of(objective, network)
    found: tuple[LayerReading, ...] = ()
    draws = max(4, int(DRAWS * effort))
    for number, part in enumerate(parts):
        rays: Rays | None = None
        for draw in range(draws):
            rays = _joined(rays, _cast(objective, theta, part, setup, (number, draw)))
            yield found, (number + (draw + 1) / draws) / len(parts)
        assert rays is not None
        found = (*found, _reading(part, rays, setup, gradient))
        yield found, (number + 1) / len(parts)


def _cast(
    objective: Objective, theta: Tensor, part: Part, setup: Around, cell: tuple[int, int]
) -> Rays:
    """One draw of k directions within a layer."""
    number, draw = cell
    own, start = [], 0
    for entry in part.entries:
        stop = start + entry.stop - entry.start
        own.append(Entry(entry.name, entry.shape, start, stop))
        start = stop
    raw = draw_directions(
        setup.k, own, seed=setup.seed, step=CELL + 1000 * number + draw, dtype=theta.dtype
    )
    unit = normalize_directions(raw, own)
    directions = torch.zeros(setup.k, objective.size, dtype=theta.dtype)
    for entry, place in zip(part.entries, own, strict=True):
        directions[:, entry.start : entry.stop] = unit[:, place.start : place.stop]
    radii = setup.sigma * OCTAVES
    point = theta[None]
    chain = noise_chain(point, float(radii[-1]))
    return cast_rays(objective, point, directions, reaches_of(radii), chain)


def _joined(held: Rays | None, more: Rays) -> Rays:
    if held is None:
        return more
    losses = torch.cat((held.losses, more.losses), dim=1)
    chain = torch.cat((held.chain, more.chain), dim=1)
    return Rays(more.reaches, more.centre, losses, chain)


def _reading(part: Part, rays: Rays, setup: Around, gradient: Tensor) -> LayerReading:
    radii = setup.sigma * OCTAVES
    plan = planned(MEASURES, setup.sigma, setup.zeta, None)
    curves = roughness_of(rays, radii)
    own = torch.cat([gradient[entry.start : entry.stop] for entry in part.entries])
    return LayerReading(
        part.name,
        part.parameters,
        float(own.norm()),
        plan.values(cut(rays, setup.k)),
        radii,
        np.where(curves.fourth_resolved[0], curves.mean_fourth[0], np.nan),
        curves.ratio[0],
        curves.local_holder[0],
    )
