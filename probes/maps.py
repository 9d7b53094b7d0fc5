"""The instruments on a grid over a plane, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from probes.directions import Sphere
from probes.instability import QUICK, ZETA, InstabilityMap, planned
from probes.objective import Objective
from probes.planes import Plane
from probes.rays import directions_of
from probes.slices import check_grid, checked_block
from probes.stationarity import check_sampling, clarke_scales

CLARKE_MEASURES = ("diameter", "diameter_quarter", "stationarity", "stationarity_quarter")


def instability_maps(
    objective: Objective,
    plane: Plane,
    resolution: int,
    *,
    k: int,
    sigma: float,
    seed: int,
    measures: Sequence[str] = QUICK,
    sphere: Sphere = "tensor",
    zeta: float = ZETA,
    radii: Sequence[float] | None = None,
    fresh: bool = False,
    block: int = 16,
) -> Iterator[InstabilityMap]:
    """Measures a whole grid, row by row; all measures from one set of evaluations.

    Closing the iterator cancels the rest. Every map is a copy of its own, so another thread may
    keep it.

    Args:
        objective: the loss.
        plane: the rectangle.
        resolution: points a side n, at least 2.
        k: number of directions.
        sigma: probe radius.
        seed: of the directions.
        measures: some of `MEASURES`; only what they need is evaluated, a point: k + 1 losses for
            lgi and variance, 2k + 1 with asymmetry, 9k + 1 with roughness, 13k + 1 with holder, by
            default.
        sphere: "tensor" or "global".
        zeta: as in `lgi`.
        radii: as in `instability`.
        fresh: False gives every point the same directions, so that neighbours can be compared; on
            a slope the level of the whole map is then that one draw's. True draws for each point
            anew, from the seed: the map's mean is the measure's, and its points scatter.
        block: grid points between two yields, at least 1; fewer where memory holds fewer.

    Yields:
        The map so far after every block; the last is complete.

    Raises:
        ValueError: a value out of range, or a plane that does not fit.
        MemoryError: the grid does not fit into the memory budget.
    """
    plan = planned(measures, sigma, zeta, radii)
    shared = directions_of(objective, k, sphere, seed)

    def measured(points: Tensor, cells: range) -> dict[str, np.ndarray]:
        own = directions_of(objective, k, sphere, seed, cells) if fresh else shared
        return plan.values(plan.cast(objective, points, own))

    block = checked_block(block, objective.points_in_budget // (2 * k + 1))
    made = InstabilityMap(*_axes(objective, plane, resolution, plan.measures), k, sigma, 0.0)
    return _filled(made, plane, measured, block)


def instability_map(
    objective: Objective,
    plane: Plane,
    resolution: int,
    *,
    measure: str = "lgi",
    k: int = 4,
    sigma: float = 0.1,
    seed: int = 0,
    radii: Sequence[float] | None = None,
    fresh: bool = False,
) -> np.ndarray:
    """One measure on a whole grid at once.

    Args:
        objective: the loss.
        plane: the rectangle.
        resolution: points a side n, at least 2.
        measure: one of `MEASURES`.
        k: number of directions; 4 keeps a map of 15 x 15 within seconds.
        sigma: probe radius; 0.1, so that neighbouring points of a map see the same ground.
        seed: of the directions.
        radii, fresh: as in `instability_maps`.

    Returns:
        (n, n) indexed [b, a]; nan where it is not resolved.

    Raises:
        ValueError, MemoryError: an unknown measure; else as `instability_maps`.
    """
    *_, complete = instability_maps(
        objective,
        plane,
        resolution,
        k=k,
        sigma=sigma,
        seed=seed,
        measures=(measure,),
        radii=radii,
        fresh=fresh,
    )
    return complete.values[measure]


def clarke_maps(
    objective: Objective,
    plane: Plane,
    resolution: int,
    *,
    delta: float,
    samples: int,
    seed: int,
    block: int = 4,
) -> Iterator[InstabilityMap]:
    """Measures Clarke's diameter and stationarity on a whole grid, at delta and delta/4.

    Args:
        objective: the loss; with a straight-through estimator the gradients are the surrogate's.
        plane: the rectangle.
        resolution: points a side n, at least 2; 2 samples + 1 gradients a point.
        delta, samples, seed: as in `clarke`; the same draws at every point.
        block: grid points between two yields, at least 1.

    Yields:
        The map so far after every block, with the values of `CLARKE_MEASURES`: diameters are
        lower bounds, stationarities upper bounds.

    Raises:
        ValueError, MemoryError: as `clarke` and `instability_maps`.
    """
    check_sampling(objective, delta, samples, seed)

    def measured(points: Tensor, _: range) -> dict[str, np.ndarray]:
        rows = []
        for point in points:
            wide, near = clarke_scales(objective, point, delta=delta, samples=samples, seed=seed)
            rows.append((wide.diameter, near.diameter, wide.stationarity, near.stationarity))
        return dict(zip(CLARKE_MEASURES, np.array(rows).T, strict=True))

    axes = _axes(objective, plane, resolution, CLARKE_MEASURES)
    made = InstabilityMap(*axes, samples, delta, 0.0)
    return _filled(made, plane, measured, checked_block(block, block))


def _axes(
    objective: Objective, plane: Plane, resolution: int, measures: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The coordinates a and b, and an empty grid for every measure."""
    check_grid(objective, plane, resolution, arrays=2 * len(measures))
    a, b = plane.grid(resolution)
    empty = {name: np.full((resolution, resolution), np.nan) for name in measures}
    return a.numpy(), b.numpy(), empty


def _filled(
    made: InstabilityMap,
    plane: Plane,
    measured: Callable[[Tensor, range], dict[str, np.ndarray]],
    block: int,
) -> Iterator[InstabilityMap]:
    """Copies of the map as it fills; `measured` maps points and the numbers of their cells."""
    a, b = torch.from_numpy(made.a), torch.from_numpy(made.b)
    n = len(a)
    for start in range(0, n * n, block):
        cells = range(start, min(start + block, n * n))
        at = torch.tensor(cells)
        for name, found in measured(plane.at(a[at % n], b[at // n]), cells).items():
            made.values[name].reshape(-1)[start : cells.stop] = found
        yield InstabilityMap(
            made.a.copy(),
            made.b.copy(),
            {name: grid.copy() for name, grid in made.values.items()},
            made.k,
            made.sigma,
            cells.stop / n**2,
        )
