"""Local gradient instability (LGI) and what is shown beside it, at a point and at many.

All measures come from ONE set of evaluations along k directions u_i:

    D+_i = (f(theta + sigma u_i) - f(theta)) / sigma
    D-_i = (f(theta - sigma u_i) - f(theta)) / sigma

and, for the Hölder exponent and the roughness, from more reaches along the same directions. LGI is
the paper's quantity, not a gauge of roughness: its mean is 1 on ANY linear function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from probes.directions import Sphere
from probes.layout import checked_points
from probes.measures import ZETA, asymmetry, lgi, mean_damping_on_slope, variance
from probes.objective import Objective
from probes.rays import Rays, cast_rays, directions_of
from probes.roughness import Roughness, checked_radii, noise_chain, reaches_of, roughness_of

__all__ = [
    "MEASURES",
    "QUICK",
    "ZETA",
    "Instability",
    "InstabilityMap",
    "asymmetry",
    "instabilities",
    "instability",
    "lgi",
    "mean_damping_on_slope",
    "planned",
    "variance",
]

MEASURES = ("lgi", "variance", "asymmetry", "holder", "roughness")
# What a map shows unless asked for more: 2k + 1 evaluations a point in place of 13k + 1.
QUICK = MEASURES[:3]


@dataclass(frozen=True, eq=False)
class Instability:
    """The measures at one point.

    Attributes:
        lgi: the paper's local gradient instability, from D+.
        variance: of D+, unbiased.
        asymmetry: in [0, 1]; nan where nothing changes.
        holder: the Hölder exponent over the radii; None where it is not resolved.
        roughness: R4 at the smallest radius; None where it is not resolved.
        differences: (2, k), D+ and D-.
        curves: what holder and roughness come from, over the radii and by direction; its G is 1.
    """

    lgi: float
    variance: float
    asymmetry: float
    holder: float | None
    roughness: float | None
    differences: Tensor
    curves: Roughness


@dataclass(frozen=True, eq=False)
class InstabilityMap:
    """Measures on an n x n grid over a plane.

    Attributes:
        a: (n,) coordinates along axes[0], float64.
        b: (n,) coordinates along axes[1], float64.
        values: for each measure an (n, n) array indexed [b, a]; nan where not evaluated, and
            where evaluated but not resolved.
        k: number of directions a point; of sampled gradients for Clarke's measures.
        sigma: probe radius; delta for Clarke's measures.
        done: evaluated share, in [0, 1].
    """

    a: np.ndarray
    b: np.ndarray
    values: dict[str, np.ndarray]
    k: int
    sigma: float
    done: float

    def unresolved(self, measure: str) -> float:
        """The share of the evaluated points without a value, in [0, 1]; 0 before the first."""
        values = self.values[measure].ravel()
        evaluated = values[: round(self.done * values.size)]
        return float(np.isnan(evaluated).mean()) if evaluated.size else 0.0


@dataclass(frozen=True, eq=False)
class Plan:
    """Which losses along the rays the measures need, and how they are made of them.

    Attributes:
        measures: some of `MEASURES`.
        sigma: radius of D+ and D-.
        zeta: as in `lgi`.
        radii: (R,) of the Hölder exponent; the roughness needs the smallest alone.
    """

    measures: tuple[str, ...]
    sigma: float
    zeta: float
    radii: np.ndarray

    @property
    def curve_radii(self) -> np.ndarray:
        """The radii of the curves that the measures need, (0,) to (R,)."""
        if "holder" in self.measures:
            return self.radii
        return self.radii[: int("roughness" in self.measures)]

    def cast(self, objective: Objective, points: Tensor, directions: Tensor) -> Rays:
        """Evaluates what the measures need at points (G, P), each reach once."""
        signs = {"lgi": (1.0,), "variance": (1.0,), "asymmetry": (1.0, -1.0)}
        reaches = [self.sigma * s for name in self.measures for s in signs.get(name, ())]
        reaches.extend(reaches_of(self.curve_radii))
        chain = noise_chain(points, float(self.radii[-1])) if len(self.curve_radii) else None
        return cast_rays(objective, points, directions, reaches, chain)

    def forward(self, rays: Rays) -> Tensor:
        """D+, (G, k)."""
        return (rays.at(self.sigma) - rays.centre[:, None]) / self.sigma

    def backward(self, rays: Rays) -> Tensor:
        """D-, (G, k)."""
        return (rays.at(-self.sigma) - rays.centre[:, None]) / self.sigma

    def curves(self, rays: Rays) -> Roughness:
        """The curves over the radii."""
        return roughness_of(rays, self.curve_radii)

    def values(self, rays: Rays) -> dict[str, np.ndarray]:
        """Every measure at every point, (G,) float64; nan where it is not resolved."""
        curves = self.curves(rays) if len(self.curve_radii) else None
        found: dict[str, np.ndarray] = {}
        for name in self.measures:
            if curves is not None and name in ("holder", "roughness"):
                found[name] = curves.holder if name == "holder" else curves.roughness
                continue
            if name == "asymmetry":
                measured = asymmetry(self.forward(rays), self.backward(rays))
            elif name == "lgi":
                measured = lgi(self.forward(rays), self.zeta)
            else:
                measured = variance(self.forward(rays))
            found[name] = measured.cpu().double().numpy()
        return found


def planned(
    measures: Sequence[str], sigma: float, zeta: float, radii: Sequence[float] | None
) -> Plan:
    """The plan for these measures; a ValueError where a value is out of range.

    Radii None takes sigma, 2 sigma and 4 sigma, which share their half radii. They go upwards
    from sigma, because differences shrink with the radius and rounding errors do not: below sigma
    smooth ground, which the others are to be told from, is the first to be lost.
    """
    if not measures:
        raise ValueError(f"measures are empty, expected some of {', '.join(MEASURES)}.")
    for name in measures:
        if name not in MEASURES:
            raise ValueError(f"measure is {name!r}, expected one of {', '.join(MEASURES)}.")
    if not 0.0 < sigma < float("inf"):
        raise ValueError(f"sigma is {sigma}, expected a finite probe radius above 0.")
    if not 0.0 <= zeta < float("inf"):
        raise ValueError(f"zeta is {zeta}, expected a finite number from 0 up.")
    chosen = (sigma, 2.0 * sigma, 4.0 * sigma) if radii is None else radii
    return Plan(tuple(dict.fromkeys(measures)), sigma, zeta, checked_radii(chosen))


def instability(
    objective: Objective,
    theta: Tensor,
    *,
    k: int = 8,
    sigma: float = 0.01,
    sphere: Sphere = "tensor",
    seed: int = 0,
    zeta: float = ZETA,
    radii: Sequence[float] | None = None,
) -> Instability:
    """Measures LGI, variance, asymmetry, Hölder exponent and roughness at one point.

    Args:
        objective: the loss.
        theta: (P,).
        k: number of directions, at least 1. 8 as in the paper's experiments.
        sigma: probe radius, above 0. 0.01 as in the released code.
        sphere: "tensor" or "global", see `normalize_directions`.
        seed: of the directions, at least 0.
        zeta: added to mean(D^2) in LGI, at least 0.
        radii: (R,) increasing, of the Hölder exponent; its smallest is that of the roughness.
            None takes sigma, 2 sigma and 4 sigma, which share their half radii: 13k + 1
            evaluations. They go upwards from sigma, because differences shrink with the radius
            and rounding errors do not.

    Returns:
        The `Instability`.

    Raises:
        TypeError, ValueError: a value out of range, or a point that does not fit.
    """
    plan = planned(MEASURES, sigma, zeta, radii)
    directions = directions_of(objective, k, sphere, seed)
    rays = plan.cast(objective, checked_points(theta[None], objective.theta), directions)
    values = {name: float(value[0]) for name, value in plan.values(rays).items()}
    return Instability(
        lgi=values["lgi"],
        variance=values["variance"],
        asymmetry=values["asymmetry"],
        holder=resolved(values["holder"]),
        roughness=resolved(values["roughness"]),
        differences=torch.cat((plan.forward(rays), plan.backward(rays))),
        curves=plan.curves(rays),
    )


def instabilities(
    objective: Objective,
    points: Tensor,
    *,
    measures: Sequence[str] = MEASURES,
    k: int = 8,
    sigma: float = 0.01,
    sphere: Sphere = "tensor",
    seed: int = 0,
    zeta: float = ZETA,
    radii: Sequence[float] | None = None,
) -> dict[str, np.ndarray]:
    """Measures many points, such as a run's snapshots, along the same directions.

    Args:
        objective: the loss.
        points: (G, P).
        measures: some of `MEASURES`; only what they need is evaluated.
        k, sigma, sphere, seed, zeta, radii: as in `instability`.

    Returns:
        Each measure, (G,) float64; nan where it is not resolved.

    Raises:
        TypeError, ValueError: as `instability`, or an unknown measure.
    """
    plan = planned(measures, sigma, zeta, radii)
    directions = directions_of(objective, k, sphere, seed)
    return plan.values(plan.cast(objective, checked_points(points, objective.theta), directions))


def resolved(value: float) -> float | None:
    """The number, or None where it is nan: not resolved."""
    return None if np.isnan(value) else float(value)
