"""The functions that instruments are scored on: smooth, with one kink, or with one jump nearby.

With y = x - theta and P parameters, at a probe radius r, one index has

    smooth   b(y) = g.y + sum_i h_i y_i^2 / 2 + sum_j a_j (sin(o_j v_j.y + p_j) - sin(p_j)),
             divided by its slope at theta, so that |gradient| = 1 there
    kink     b(y) + c |w.y - d|
    jump     b(y) + c r / sqrt(P) where w.y >= d, else b(y)
    d = t r / sqrt(P)

and b, w, c, r, d and theta in common. A unit vector has about 1/sqrt(P) along w, so a probe at
radius r moves about r / sqrt(P) towards the kink or jump whatever P is. All sizes are scaled by
that length: c is what the kink adds to the slope there, and the jump is as high as the kink rises.
Curvature and waves, smooth all of them, reach from nothing to as much as the slope itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Kind = Literal["smooth", "kink", "jump"]
KINDS: tuple[Kind, ...] = ("smooth", "kink", "jump")

FUNCTIONS = 200  # a class, as the protocol has it
WAVES = 3
RADII = (1e-3, 1e-1)  # r
STRENGTHS = (1e-2, 1.0)  # c
BENDS = (1e-2, 1.0)  # second difference over slope, of the quadratic
RIPPLES = (1e-2, 1.0)  # slope of one wave
LENGTHS = (1.0, 100.0)  # of one wave over 2 pi, in units of r / sqrt(P)


@dataclass(frozen=True, eq=False)
class Base:
    """The smooth part b(y) and its scale; every tensor is float64.

    Args:
        slope: g, (P,).
        curvature: h, (P,).
        heights, waves, phases: a (J,), o v (J, P) and p (J,).
        scale: what b is multiplied with, so that |gradient| = 1 at y = 0.
    """

    slope: Tensor
    curvature: Tensor
    heights: Tensor
    waves: Tensor
    phases: Tensor
    scale: float

    def __call__(self, y: Tensor) -> Tensor:
        """Return b at y (G, P), (G,)."""
        bent = y @ self.slope + 0.5 * y.square() @ self.curvature
        rippled = ((y @ self.waves.T + self.phases).sin() - self.phases.sin()) @ self.heights
        return self.scale * (bent + rippled)


@dataclass(frozen=True, eq=False)
class ScoreFunction:
    """One function of the score, with the point theta where it is measured.

    Args:
        kind: "smooth", "kink" or "jump".
        index: which of its class; the same index of another class has the same base.
        theta: (P,) float64, of length 1.
        base: the smooth part.
        normal: w, (P,), of length 1.
        strength: c.
        radius: r, that instruments measure at.
        offset: d, the distance of kink or jump from theta along w.
    """

    kind: Kind
    index: int
    theta: Tensor
    base: Base
    normal: Tensor
    strength: float
    radius: float
    offset: float

    def __call__(self, points: Tensor) -> Tensor:
        """Return f at points (G, P), float64, as (G,)."""
        y = points - self.theta
        smooth = self.base(y)
        if self.kind == "smooth":
            return smooth
        height = y @ self.normal - self.offset
        if self.kind == "kink":
            return smooth + self.strength * height.abs()
        step = self.strength * self.radius / len(self.theta) ** 0.5
        return smooth + step * (height >= 0.0).to(points.dtype)


def score_function(
    kind: Kind, index: int, *, size: int, distance: float | None, seed: int = 0
) -> ScoreFunction:
    """Return one function; it depends on these arguments alone.

    Args:
        kind: "smooth", "kink" or "jump".
        index: from 0 up.
        size: the number P of parameters, at least 2.
        distance: t in [0, 1]; None draws it for each index, uniformly.
        seed: from 0 up; another seed is another set of functions.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(kind, index, size, distance, seed)
    rng = np.random.default_rng((seed, index, size))
    radius, strength = _log_uniform(rng, RADII), _log_uniform(rng, STRENGTHS)
    drawn = rng.uniform()
    t = drawn if distance is None else distance
    reach = radius / size**0.5
    normal, theta = _unit(rng, size), _unit(rng, size)
    return ScoreFunction(
        kind, index, theta, _base(rng, size, reach), normal, strength, radius, t * reach
    )


def score_functions(
    count: int = FUNCTIONS, *, size: int, distance: float | None, seed: int = 0
) -> Iterator[ScoreFunction]:
    """Yield all classes of `count` functions, index by index; the rest as `score_function`.

    Raises:
        ValueError: `count` is below 1, or an argument is out of range.
    """
    if count < 1:
        raise ValueError(f"count is {count!r}; expected at least 1 function a class.")
    return (
        score_function(kind, index, size=size, distance=distance, seed=seed)
        for index in range(count)
        for kind in KINDS
    )


def _base(rng: np.random.Generator, size: int, reach: float) -> Base:
    slope = _unit(rng, size)
    # Along a unit u the quadratic's second difference is r^2 mean(h), the slope's first r/sqrt(P).
    bend = _log_uniform(rng, BENDS) / (reach * size)
    curvature = torch.from_numpy(bend * rng.exponential(size=size))
    lengths = np.array([_log_uniform(rng, LENGTHS) for _ in range(WAVES)]) * reach
    slopes = np.array([_log_uniform(rng, RIPPLES) for _ in range(WAVES)])
    waves = torch.stack([_unit(rng, size) / length for length in lengths])
    phases = torch.from_numpy(rng.uniform(0.0, 2.0 * np.pi, WAVES))
    heights = torch.from_numpy(slopes * lengths)
    gradient = slope + (heights * phases.cos()) @ waves
    return Base(slope, curvature, heights, waves, phases, 1.0 / float(gradient.norm()))


def _unit(rng: np.random.Generator, size: int) -> Tensor:
    """A direction drawn uniformly from the unit sphere."""
    drawn = rng.normal(size=size)
    return torch.from_numpy(drawn / np.linalg.norm(drawn))


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    low, high = np.log(bounds)
    return float(np.exp(rng.uniform(low, high)))


def _check(kind: str, index: int, size: int, distance: float | None, seed: int) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of 'smooth', 'kink', 'jump'.")
    for name, value, low in (("index", index, 0), ("size", size, 2), ("seed", seed, 0)):
        if value < low:
            raise ValueError(f"{name} is {value!r}; expected at least {low}.")
    if distance is not None and not 0.0 <= distance <= 1.0:
        raise ValueError(f"distance is {distance!r}; expected 0 to 1, or None to draw it.")
