"""Clarke's subdifferential by gradient sampling: how wide it is, and how near it comes to zero.

Source: Burke, Lewis, Overton (2005), A robust gradient sampling algorithm for nonsmooth, nonconvex
optimization, SIAM J. Optim. 15; Goldstein (1977) for the delta-subdifferential, the convex hull of
all gradients within delta of theta, which holds Clarke's subdifferential at theta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import lsq_linear, nnls
from scipy.spatial.distance import pdist
from torch import Tensor

from probes.directions import draw_directions
from probes.layout import checked_points
from probes.memory import megabytes
from probes.objective import Objective

# Copies of the sampled gradients that are held at once: as sampled, in float64, transposed.
COPIES = 6
# Error that may be left in the smallest norm, relative to the largest gradient's.
EXACT = 1e-12


@dataclass(frozen=True)
class Clarke:
    """What m sampled gradients say of the delta-subdifferential at one point.

    nan where a sampled gradient is not finite. With a straight-through estimator all of it is of
    the SURROGATE whose gradients autograd returns, and not of the rounded loss, which has none.

    Attributes:
        diameter: the largest distance between two sampled gradients, a LOWER bound on the
            subdifferential's diameter. For smooth f it shrinks with delta; at a kink it stays.
        stationarity: the norm of the smallest convex combination of sampled gradients, an UPPER
            bound on the subdifferential's distance from 0.
        delta: radius that was sampled.
        samples: the number m of gradients.
    """

    diameter: float
    stationarity: float
    delta: float
    samples: int


def clarke(
    objective: Objective,
    theta: Tensor,
    *,
    delta: float = 0.01,
    samples: int = 32,
    seed: int = 0,
    update: Tensor | None = None,
) -> Clarke:
    """Bounds the diameter and the stationarity of the delta-subdifferential at one point.

        diameter = max |g_i - g_j|,   stationarity = min |sum w_i g_i|, w >= 0, sum w = 1

    over gradients g_i at m points within delta of theta. Half of the points are uniform in the
    ball, in opposite pairs, so that a kink through theta is always seen from both sides. In many
    dimensions they reach only about delta sqrt(2 ln m / P) along a kink's normal, so the others lie
    on segments from theta to a distance of delta, both ways along the gradient and the update.

    Args:
        objective: the loss. With a straight-through estimator its gradients are the surrogate's.
        theta: (P,). Its own gradient points the segments and is not among the samples: exactly at
            a kink autograd may return what no neighbour has.
        delta: radius, above 0, in units of the parameters. 0.01 as the probe radius sigma.
        samples: the number m of gradients, at least 2; 4P or more make both bounds good for
            P up to 10. 32 costs about as much as 96 losses.
        seed: of the ball's points, at least 0.
        update: (P,), the next step's direction, of any length; None leaves it out.

    Returns:
        The `Clarke`.

    Raises:
        TypeError, ValueError: a value out of range, or a vector that does not fit.
        MemoryError: the gradients do not fit into the memory budget.
    """
    return _measured(objective, theta, (delta,), samples, seed, update)[0]


def clarke_scales(
    objective: Objective,
    theta: Tensor,
    *,
    delta: float = 0.01,
    samples: int = 32,
    seed: int = 0,
    update: Tensor | None = None,
) -> tuple[Clarke, Clarke]:
    """`clarke` at delta and at delta/4, from the same draws.

    The diameter of a smooth function shrinks to a quarter, that of a kink at theta stays.
    """
    wide, narrow = _measured(objective, theta, (delta, delta / 4.0), samples, seed, update)
    return wide, narrow


def min_norm(gradients: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The element of smallest norm in the convex hull of some gradients.

    With R from a QR of the transposed gradients, scaled by the largest norm, the non-negative
    least squares problem |R w|^2 + (sum w - 1)^2 has its minimum at a multiple of the weights
    (Lawson, Hanson 1974, ch. 23).

    Args:
        gradients: (m, P), finite.

    Returns:
        The element (P,) and its weights (m,), at least 0 with sum 1; float64. Where the element
        has several sets of weights, one of them.

    Raises:
        ValueError: not a matrix, empty or not finite.
    """
    given = gradients.detach().cpu().double() if isinstance(gradients, Tensor) else gradients
    g = np.asarray(given, dtype=np.float64)
    if g.ndim != 2 or g.size == 0:
        raise ValueError(f"gradients have shape {g.shape}, expected (m, P), both at least 1.")
    if not np.isfinite(g).all():
        raise ValueError("gradients hold nan or inf, expected finite numbers: this run diverged.")
    m = len(g)
    scale = np.linalg.norm(g, axis=1).max()
    if scale == 0.0:
        return np.zeros(g.shape[1]), np.full(m, 1.0 / m)
    weights = _min_norm_weights(np.asarray(np.linalg.qr(g.T / scale, mode="r")))
    return weights @ g, weights


def _min_norm_weights(columns: np.ndarray) -> np.ndarray:
    """The weights (m,) of the smallest convex combination of columns (r, m) of norm 1 at most.

    scipy's nnls is fast, and may stop early where columns are equal up to rounding, as gradients
    on one linear piece are: with 47 of 6,000 sets of sign vectors, and bounded least squares never.
    """
    m = columns.shape[1]
    system = np.vstack((columns, np.ones(m)))
    target = np.append(np.zeros(len(columns)), 1.0)
    weights, _ = nnls(system, target, maxiter=30 * m)
    weights /= weights.sum()
    element = columns @ weights
    norm = np.linalg.norm(element)
    # At the smallest element e every column c has c.e >= |e|^2; missed by x |e|, |e| is x too long.
    if norm > EXACT and norm**2 - (element @ columns).min() > EXACT * norm:
        bounded = lsq_linear(system, target, bounds=(0.0, np.inf), method="bvls", tol=1e-15)
        weights = bounded.x.clip(min=0.0)
        weights /= weights.sum()
    return weights


def check_sampling(objective: Objective, delta: float, samples: int, seed: int) -> None:
    """Refuses what `clarke` cannot sample: ValueError, or MemoryError beyond the budget."""
    if not 0.0 < delta < float("inf"):
        raise ValueError(f"delta is {delta}, expected a finite radius above 0.")
    if samples < 2:
        raise ValueError(f"samples is {samples}, expected at least 2 gradients.")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected an integer from 0 up.")
    need = COPIES * samples * objective.size * 8
    if need > objective.memory_bytes:
        raise MemoryError(
            f"{samples} gradients of {objective.size} parameters need {megabytes(need)}, and the"
            f" memory budget is {megabytes(objective.memory_bytes)}: ask for fewer samples, or"
            " raise CHATTERSCOPE_MEMORY_MB."
        )


def _measured(
    objective: Objective,
    theta: Tensor,
    deltas: Sequence[float],
    samples: int,
    seed: int,
    update: Tensor | None,
) -> list[Clarke]:
    check_sampling(objective, deltas[0], samples, seed)
    theta = checked_points(theta[None], objective.theta)[0]
    gradient = objective.gradients(theta[None])[0]
    lines = [gradient] if update is None else [gradient, *checked_points(update[None], theta)]
    offsets = _offsets(theta, lines, samples, seed)
    return [_clarke(objective.gradients(theta + d * offsets), d) for d in deltas]


def _offsets(theta: Tensor, lines: Sequence[Tensor], samples: int, seed: int) -> Tensor:
    """Where to sample, (m, P), in units of delta; lines without a direction are left out."""
    rows = []
    for line in lines:
        length = torch.linalg.vector_norm(line)
        if 0.0 < length < float("inf"):
            rows += [-line / length, line / length]
    if not rows:
        return _ball(theta, samples, seed)
    on_lines = samples // 2
    number = torch.arange(on_lines, device=theta.device)
    each = -(-on_lines // len(rows))
    # From the far end inwards, so that every line that gets a point is probed at delta.
    along = 1.0 - (number // len(rows)).to(theta) / each
    segments = along[:, None] * torch.stack(rows)[number % len(rows)]
    return torch.cat((_ball(theta, samples - on_lines, seed), segments))


def _ball(theta: Tensor, count: int, seed: int) -> Tensor:
    """Points uniform in the unit ball, (count, P): opposite pairs, and one more if odd."""
    pairs = -(-count // 2)
    normal = draw_directions(pairs, len(theta), seed=seed, dtype=theta.dtype, device=theta.device)
    length = np.random.default_rng((seed, 1)).random((pairs, 1)) ** (1.0 / len(theta))
    unit = normal / torch.linalg.vector_norm(normal, dim=1, keepdim=True)
    inside = torch.as_tensor(length).to(theta) * unit
    return torch.stack((inside, -inside), dim=1).flatten(0, 1)[:count]


def _clarke(gradients: Tensor, delta: float) -> Clarke:
    g = gradients.cpu().double().numpy()
    if not np.isfinite(g).all():
        return Clarke(float("nan"), float("nan"), delta, len(g))
    element, _ = min_norm(g)
    return Clarke(float(pdist(g).max()), float(np.linalg.norm(element)), delta, len(g))
