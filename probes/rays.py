"""The loss along rays through many points: the evaluations that all instruments share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from probes.directions import Sphere, draw_directions, normalize_directions
from probes.objective import Objective

# Two reaches closer than this, relatively, are one: halving a radius rounds.
SAME = 1e-9


@dataclass(frozen=True, eq=False)
class Rays:
    """The loss at points theta and at theta + t u, for k directions u.

    Attributes:
        reaches: (T,) the t, signed and increasing, without 0.
        centre: (G,) the loss at theta.
        losses: (G, k, T).
        chain: (G, k, C), where each point has reaches of its own; C may be 0.
    """

    reaches: np.ndarray
    centre: Tensor
    losses: Tensor
    chain: Tensor

    def at(self, reach: float) -> Tensor:
        """The losses at one reach, (G, k)."""
        column = int(np.abs(self.reaches - reach).argmin())
        if abs(self.reaches[column] - reach) > SAME * abs(reach):
            raise KeyError(reach)
        return self.losses[..., column]


def distinct(reaches: Iterable[float]) -> np.ndarray:
    """Reaches in increasing order, one of each, so that nothing is evaluated twice."""
    ordered = np.sort(np.fromiter(reaches, dtype=np.float64))
    apart = np.diff(ordered) > SAME * np.abs(ordered[1:])
    return ordered[np.concatenate((np.ones(min(1, len(ordered)), dtype=bool), apart))]


def directions_of(
    objective: Objective, k: int, sphere: Sphere, seed: int, cells: Sequence[int] | None = None
) -> Tensor:
    """Directions for an objective, pure functions of the seed and the cell.

    Args:
        objective: gives layout, dtype and device.
        k: number of directions, at least 1.
        sphere: "tensor" or "global", see `normalize_directions`.
        seed: at least 0.
        cells: numbers from 0 up, each with a draw of its own; None for the one that all share,
            which is that of cell 0.

    Returns:
        (k, P), or (len(cells), k, P).

    Raises:
        ValueError: k, sphere or seed is out of range.
    """
    like = {"dtype": objective.dtype, "device": objective.device}
    draws = [
        draw_directions(k, objective.layout, seed=seed, step=cell, **like)
        for cell in ((0,) if cells is None else cells)
    ]
    raw = draws[0] if cells is None else torch.stack(draws)
    return normalize_directions(raw, objective.layout, sphere)


def cast_rays(
    objective: Objective,
    points: Tensor,
    directions: Tensor,
    reaches: Sequence[float] | np.ndarray,
    chain: Tensor | None = None,
) -> Rays:
    """Evaluates the loss along rays, (T + C) k + 1 evaluations a point.

    Args:
        objective: the loss; its memory budget cuts the evaluations into calls.
        points: theta, (G, P), as `checked_points` returns them.
        directions: u, (k, P) for all points or (G, k, P) for each its own.
        reaches: t, (T,), any signs; `distinct` is applied.
        chain: more reaches, (G, C), each point's own; None for none.

    Returns:
        The `Rays`, on the objective's device and in its dtype.
    """
    G, k = len(points), directions.shape[-2]
    t = distinct(reaches)
    own = points.new_zeros(G, 0) if chain is None else chain.to(points)
    shared = torch.as_tensor(t, device=points.device, dtype=points.dtype).expand(G, -1)
    each = torch.cat((shared, own), dim=1)
    reach = torch.cat((points.new_zeros(G, 1), each.repeat(1, k)), dim=1)
    along = torch.arange(k, device=points.device).repeat_interleave(each.shape[1])
    along = torch.cat((along.new_zeros(1), along))
    losses = []
    every = torch.arange(reach.numel(), device=points.device)
    for part in every.split(objective.points_in_budget):
        point, column = part // len(along), part % len(along)
        ray = along[column]
        u = directions[ray] if directions.dim() == 2 else directions[point, ray]
        t_u = reach[point, column, None]
        losses.append(objective.losses(torch.addcmul(points[point], t_u, u)))
    table = torch.cat(losses).view(G, -1)
    rest = table[:, 1:].view(G, k, -1)
    return Rays(t, table[:, 0], rest[..., : len(t)], rest[..., len(t) :])
