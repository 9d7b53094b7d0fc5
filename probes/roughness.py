"""Roughness R4 and the Hölder exponent over a range of radii, with the noise that bounds them.

All from one set of evaluations along k directions u, at theta and at theta +- r u, +- r/2 u:

    Delta2(r) = f(+r) - 2 f + f(-r)
    Delta4(r) = f(+r) - 4 f(+r/2) + 6 f - 4 f(-r/2) + f(-r)

A difference that rounding can explain is "not resolved": nan in an array, None as a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from probes.directions import Sphere
from probes.layout import checked_points
from probes.objective import Objective
from probes.rays import Rays, cast_rays, directions_of, distinct

# Standard deviations of Delta4, Delta2 and f(+r) - f(-r) where f is unit white noise.
NOISE_FOURTH, NOISE_SECOND, NOISE_SLOPE = 70.0**0.5, 6.0**0.5, 2.0**0.5
# Median of |z| for a standard normal z.
MEDIAN = 0.6745
# A mean difference counts from here, in standard deviations of its noise.
RESOLVED = 5.0
# Roundings of a loss of this size: sums over samples and layers lose a few digits.
ROUNDINGS = 16.0
# Five even steps along a ray, in units of the noise radius. They lie on ONE side of theta, so
# that a kink or jump exactly at theta is not mistaken for noise.
CHAIN = (1.0, 1.5, 2.0, 2.5, 3.0)


@dataclass(frozen=True, eq=False)
class Roughness:
    """Second and fourth differences at G points over R radii; all arrays are float64.

    Attributes:
        radii: (R,) increasing.
        second: (G, k, R), Delta2 of every direction.
        fourth: (G, k, R), Delta4 of every direction.
        slope: (G, k, R), f(+r) - f(-r) of every direction.
        noise: (G, R), the standard deviation s of one loss's error.
    """

    radii: np.ndarray
    second: np.ndarray
    fourth: np.ndarray
    slope: np.ndarray
    noise: np.ndarray

    @cached_property
    def mean_second(self) -> np.ndarray:
        """mean|Delta2| over the directions, (G, R)."""
        return _mean(self.second)

    @cached_property
    def mean_fourth(self) -> np.ndarray:
        """mean|Delta4| over the directions, (G, R)."""
        return _mean(self.fourth)

    @cached_property
    def second_resolved(self) -> np.ndarray:
        """Whether mean|Delta2| > 5 sqrt(6) s, (G, R)."""
        return _above(self.mean_second, NOISE_SECOND * self.noise)

    @cached_property
    def fourth_resolved(self) -> np.ndarray:
        """Whether mean|Delta4| > 5 sqrt(70) s, (G, R)."""
        return _above(self.mean_fourth, NOISE_FOURTH * self.noise)

    @cached_property
    def ratio(self) -> np.ndarray:
        """R4 = mean|Delta4| / mean|f(+r) - f(-r)|, (G, R).

        nan where Delta4 is not resolved, or where the slope is not: mean|f(+r) - f(-r)| at most
        5 sqrt(2) s, as at a symmetric minimum, smooth or not.
        """
        slope = _mean(self.slope)
        known = self.fourth_resolved & _above(slope, NOISE_SLOPE * self.noise)
        return np.divide(self.mean_fourth, slope, out=np.full_like(slope, np.nan), where=known)

    @cached_property
    def roughness(self) -> np.ndarray:
        """R4 at the smallest radius, (G,); nan where it is not resolved."""
        return self.ratio[:, 0]

    @cached_property
    def local_holder(self) -> np.ndarray:
        """The Hölder exponent between neighbouring radii, (G, R - 1); nan where not resolved."""
        return np.diff(self._log_second, axis=1) / np.diff(np.log(self.radii))

    @cached_property
    def holder(self) -> np.ndarray:
        """The Hölder exponent over all radii, (G,): the slope of log mean|Delta2| on log r.

        nan unless every radius is resolved, and for a single radius. At a singularity 2 where f
        is smooth, 1 at a kink, 0 at a jump, alpha at |x|^alpha. Near many singularities it moves
        between these as r grows, so it is never shown without its curve.
        """
        if len(self.radii) == 1:
            return np.full(len(self.second), np.nan)
        x = np.log(self.radii) - np.log(self.radii).mean()
        return self._log_second @ (x / (x @ x))

    @cached_property
    def _log_second(self) -> np.ndarray:
        mean = self.mean_second
        return np.log(mean, out=np.full_like(mean, np.nan), where=self.second_resolved)


def roughness_curves(
    objective: Objective,
    points: Tensor,
    *,
    radii: Sequence[float],
    k: int = 8,
    sphere: Sphere = "tensor",
    seed: int = 0,
) -> Roughness:
    """Measures roughness and the Hölder exponent at points, over a range of radii.

        R4(r) = mean|Delta4| / mean|f(+r) - f(-r)|,   holder = d log mean|Delta2| / d log r
        s = max(16 eps |f|, median|Delta4(r0)| / (0.6745 sqrt(70))),  r0 = eps^(2/3) |theta|

    Each distinct reach is evaluated once: radii of ratio 2 share theirs, (2R + 7) k + 1
    evaluations a point. The noise's Delta4(r0) is taken at steps of r0/2 from theta + r0 u on, and
    |f| is the largest loss of the stencil, averaged over the directions. Where |theta| is below
    the largest radius, that radius takes its place in r0, so that theta = 0 has a noise too.

    Args:
        objective: the loss. Where float32 does not resolve, take it in float64: in float32 a small
            GELU net's Delta4 is lost below a radius of about 0.3, and the noise is sought so far
            out (7e-5 |theta|) that the stairs of a rounded net count as noise for small radii.
        points: (G, P): a point, a run's snapshots or the points of a map.
        radii: (R,) increasing, above 0, in units of the directions.
        k: number of directions, at least 1. 8 as in the paper's experiments.
        sphere: "tensor" or "global", see `normalize_directions`.
        seed: of the directions, the same at every point.

    Returns:
        The `Roughness`.

    Raises:
        TypeError, ValueError: a value out of range, or points that do not fit.
    """
    at = checked_radii(radii)
    points = checked_points(points, objective.theta)
    directions = directions_of(objective, k, sphere, seed)
    chain = noise_chain(points, float(at[-1]))
    rays = cast_rays(objective, points, directions, reaches_of(at), chain)
    return roughness_of(rays, at)


def checked_radii(radii: Sequence[float] | np.ndarray) -> np.ndarray:
    """Radii (R,) as float64; a ValueError where they are not finite, above 0 and increasing."""
    found = np.asarray(radii, dtype=np.float64)
    if (
        not (found.ndim == 1 and len(found) and np.isfinite(found).all() and found[0] > 0.0)
        or not (np.diff(found) > 0.0).all()
    ):
        raise ValueError(f"radii are {radii}, expected at least one, finite, above 0, increasing.")
    return found


def reaches_of(radii: np.ndarray) -> np.ndarray:
    """The signed reaches that `roughness_of` needs: every +-r and +-r/2 once."""
    sizes = distinct((*radii, *(radii / 2.0)))
    return np.concatenate((-sizes[::-1], sizes))


def noise_chain(points: Tensor, largest_radius: float) -> Tensor:
    """The reaches of the noise's fourth difference, (G, P) -> (G, 5)."""
    size = torch.linalg.vector_norm(points, dim=1, keepdim=True).clamp_min(largest_radius)
    return torch.finfo(points.dtype).eps ** (2 / 3) * size * points.new_tensor(CHAIN)


def roughness_of(rays: Rays, radii: np.ndarray) -> Roughness:
    """The differences from rays that hold `reaches_of(radii)` and the `noise_chain`."""
    plus, minus, half_plus, half_minus = (
        np.stack([_float64(rays.at(sign * r)) for r in radii], axis=-1)
        for sign in (1.0, -1.0, 0.5, -0.5)
    )
    f = np.broadcast_to(_float64(rays.centre)[:, None, None], plus.shape)
    a, b, c, d, e = np.moveaxis(_float64(rays.chain), -1, 0)
    eps = torch.finfo(rays.losses.dtype).eps
    with np.errstate(over="ignore", invalid="ignore"):  # losses of a run that diverged
        # Opposite points first: where f is odd about theta their sum is exactly 0.
        outer, inner = plus + minus, half_plus + half_minus
        chained = np.abs((a + e) - 4.0 * (b + d) + 6.0 * c)
        measured = np.median(chained, axis=1)[:, None] / (MEDIAN * NOISE_FOURTH)
        largest = np.abs([f, plus, minus, half_plus, half_minus]).max(axis=0)
        return Roughness(
            radii=radii,
            second=outer - 2.0 * f,
            fourth=outer - 4.0 * inner + 6.0 * f,
            slope=plus - minus,
            noise=np.maximum(measured, ROUNDINGS * eps * largest.mean(axis=1)),
        )


def _mean(differences: np.ndarray) -> np.ndarray:
    return np.abs(differences).mean(axis=1)


def _above(mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.isfinite(mean) & (mean > RESOLVED * noise)


def _float64(losses: Tensor) -> np.ndarray:
    return losses.cpu().double().numpy()
