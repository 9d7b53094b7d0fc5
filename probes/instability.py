"""Local gradient instability (LGI) and what is shown beside it, at a point and as a map.

All measures come from ONE set of evaluations along k directions u_i:

    D+_i = (f(theta + sigma u_i) - f(theta)) / sigma
    D-_i = (f(theta - sigma u_i) - f(theta)) / sigma

LGI is the paper's quantity, not a gauge of roughness: its mean is 1 on ANY linear function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import hyp1f1
from torch import Tensor

from probes.directions import Sphere, draw_directions, normalize_directions
from probes.layout import checked_points
from probes.objective import Objective
from probes.planes import Plane
from probes.slices import check_grid, checked_block

MEASURES = ("lgi", "variance", "asymmetry")
# The released S-Adam's stabilize_eps.
ZETA = 1e-6


def lgi(differences: Tensor, zeta: float = ZETA) -> Tensor:
    """rho = Var(D, unbiased) / (mean(D^2) + zeta), between 0 and k/(k-1).

    Source: arXiv 2605.29547 in the form of its released code.

    Args:
        differences: D+, (..., k). k = 1 gives 0.
        zeta: at least 0. Above 0 it breaks invariance under scaling of f; at 0 a constant
            function gives nan.

    Returns:
        (...).
    """
    return variance(differences) / (differences.square().mean(dim=-1) + zeta)


def variance(differences: Tensor) -> Tensor:
    """Var(D, unbiased) over the last axis, (..., k) -> (...); k = 1 gives 0."""
    if differences.shape[-1] == 1:
        return torch.zeros_like(differences[..., 0])
    return differences.var(dim=-1)


def asymmetry(forward: Tensor, backward: Tensor) -> Tensor:
    """mean|D+ + D-| / mean(|D+| + |D-|), in [0, 1]: do opposite changes fail to cancel?

    0 on a smooth slope; 1 at a smooth minimum as at a kink's, so it is never read alone; nan
    where nothing changes at all.

    Args:
        forward: D+, (..., k).
        backward: D-, (..., k).

    Returns:
        (...).
    """
    total = (forward.abs() + backward.abs()).mean(dim=-1)
    return (forward + backward).abs().mean(dim=-1) / total


def mean_damping_on_slope(k: int, lgi_lambda: float) -> float:
    """The mean of exp(-lambda rho) on a plain slope, for many parameters.

    There the D_i are independent and normal, so rho ~ k/(k-1) Beta((k-1)/2, 1/2), and the mean
    is Kummer's 1F1((k-1)/2; k/2; -lambda k/(k-1)): exp(-lambda) I0(lambda) for k = 2. S-Adam's
    cap of 10 never acts, as rho is at most 2.

    Args:
        k: number of directions, at least 1; k = 1 measures no variance and damps nothing.
        lgi_lambda: at least 0.

    Returns:
        The mean damping, in (0, 1].
    """
    if k == 1:
        return 1.0
    return float(hyp1f1((k - 1) / 2, k / 2, -lgi_lambda * k / (k - 1)))


@dataclass(frozen=True, eq=False)
class Instability:
    """The measures at one point.

    Attributes:
        lgi: the paper's local gradient instability, from D+.
        variance: of D+, unbiased.
        asymmetry: in [0, 1]; nan where nothing changes.
        differences: (2, k), D+ and D-.
    """

    lgi: float
    variance: float
    asymmetry: float
    differences: Tensor


@dataclass(frozen=True, eq=False)
class InstabilityMap:
    """The measures on an n x n grid over a plane, same directions at every point.

    Attributes:
        a: (n,) coordinates along axes[0], float64.
        b: (n,) coordinates along axes[1], float64.
        values: for each of `MEASURES` an (n, n) array indexed [b, a]; nan where not evaluated.
        k: number of directions.
        sigma: probe radius.
        done: evaluated share, in [0, 1].
    """

    a: np.ndarray
    b: np.ndarray
    values: dict[str, np.ndarray]
    k: int
    sigma: float
    done: float


def instability(
    objective: Objective,
    theta: Tensor,
    *,
    k: int = 8,
    sigma: float = 0.01,
    sphere: Sphere = "tensor",
    seed: int = 0,
    zeta: float = ZETA,
) -> Instability:
    """Measures LGI, variance and asymmetry at one point.

    Args:
        objective: the loss.
        theta: (P,).
        k: number of directions, at least 1. 8 as in the paper's experiments.
        sigma: probe radius, above 0. 0.01 as in the released code.
        sphere: "tensor" or "global", see `normalize_directions`.
        seed: of the directions, at least 0.
        zeta: added to mean(D^2) in LGI, at least 0.

    Returns:
        The `Instability`.

    Raises:
        TypeError, ValueError: a value out of range, or a point that does not fit.
    """
    directions = _directions(objective, k, sigma, sphere, seed)
    point = checked_points(theta[None], objective.theta)
    forward, backward = _differences(objective, point, directions, sigma)
    values = _measures(forward, backward, zeta)
    return Instability(
        **{name: float(values[name]) for name in MEASURES},
        differences=torch.cat((forward, backward)),
    )


def instability_maps(
    objective: Objective,
    plane: Plane,
    resolution: int,
    *,
    k: int,
    sigma: float,
    seed: int,
    sphere: Sphere = "tensor",
    zeta: float = ZETA,
    block: int = 16,
) -> Iterator[InstabilityMap]:
    """Measures a whole grid, row by row; all measures from one set of evaluations.

    Closing the iterator cancels the rest. Every map is a copy of its own, so another thread may
    keep it.

    Args:
        objective: the loss.
        plane: the rectangle.
        resolution: points a side n, at least 2; (2k + 1) n^2 evaluations in all.
        k: number of directions.
        sigma: probe radius.
        seed: of the directions, the same at every point.
        sphere: "tensor" or "global".
        zeta: as in `lgi`.
        block: grid points between two yields, at least 1; fewer where memory holds fewer.

    Yields:
        The map so far after every block; the last is complete.

    Raises:
        ValueError: a value out of range, or a plane that does not fit.
        MemoryError: the grid does not fit into the memory budget.
    """
    directions = _directions(objective, k, sigma, sphere, seed)
    check_grid(objective, plane, resolution, arrays=2 * len(MEASURES))
    a, b = plane.grid(resolution)
    block = checked_block(block, objective.points_in_budget // (2 * k + 1))

    def mapped() -> Iterator[InstabilityMap]:
        values = {name: np.full(resolution**2, np.nan) for name in MEASURES}
        for start in range(0, resolution**2, block):
            cells = torch.arange(start, min(start + block, resolution**2))
            points = plane.at(a[cells % resolution], b[cells // resolution])
            forward, backward = _differences(objective, points, directions, sigma)
            for name, measured in _measures(forward, backward, zeta).items():
                values[name][cells.numpy()] = measured.double().cpu().numpy()
            yield InstabilityMap(
                a.numpy().copy(),
                b.numpy().copy(),
                {n: v.reshape(resolution, resolution).copy() for n, v in values.items()},
                k,
                sigma,
                (start + len(cells)) / resolution**2,
            )

    return mapped()


def instability_map(
    objective: Objective,
    plane: Plane,
    resolution: int,
    *,
    measure: str = "lgi",
    k: int = 4,
    sigma: float = 0.1,
    seed: int = 0,
) -> np.ndarray:
    """One measure on a whole grid at once.

    Args:
        objective: the loss.
        plane: the rectangle.
        resolution: points a side n, at least 2.
        measure: one of `MEASURES`.
        k: number of directions; 4 keeps a map of 15 x 15 within seconds.
        sigma: probe radius; 0.1, so that neighbouring points of a map see the same ground.
        seed: of the directions, the same at every point.

    Returns:
        (n, n) indexed [b, a].

    Raises:
        ValueError, MemoryError: an unknown measure; else as `instability_maps`.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure is {measure!r}, expected one of {', '.join(MEASURES)}.")
    *_, complete = instability_maps(objective, plane, resolution, k=k, sigma=sigma, seed=seed)
    return complete.values[measure]


def _directions(objective: Objective, k: int, sigma: float, sphere: Sphere, seed: int) -> Tensor:
    if not 0.0 < sigma < float("inf"):
        raise ValueError(f"sigma is {sigma}, expected a finite probe radius above 0.")
    raw = draw_directions(
        k, objective.layout, seed=seed, dtype=objective.dtype, device=objective.device
    )
    return normalize_directions(raw, objective.layout, sphere)


def _differences(
    objective: Objective, points: Tensor, directions: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """D+ and D- at points (m, P) along directions (k, P): (m, k) each."""
    reach = sigma * directions
    offsets = torch.cat((torch.zeros_like(reach[:1]), reach, -reach))
    at_once = max(1, objective.points_in_budget // len(points))
    losses = torch.cat(
        [
            objective.losses((points[:, None] + part).flatten(0, 1)).view(len(points), -1)
            for part in offsets.split(at_once)
        ],
        dim=1,
    )
    differences = (losses[:, 1:] - losses[:, :1]) / sigma
    forward, backward = differences.chunk(2, dim=1)
    return forward, backward


def _measures(forward: Tensor, backward: Tensor, zeta: float) -> dict[str, Tensor]:
    return {
        "lgi": lgi(forward, zeta),
        "variance": variance(forward),
        "asymmetry": asymmetry(forward, backward),
    }
