"""One step ahead: the real loss along the next update, beside what the gradient promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from probes.layout import checked_points, described
from probes.objective import Objective
from probes.slices import checked_block

# The first picture has a quarter of the points: a fast one, that shows most stairs already.
COARSE = 4
# A gap is bisected while its losses differ by more than this share of the range: half of what
# `jumps` counts by default, so that two stairs of opposite sense in one gap seldom hide there.
BISECTED = 0.05
# The narrowest gap, in steps: 0.02 pixels of a panel 1,000 pixels wide, so a stair is vertical,
# and still 50 float32 roundings of a weight of 0.2 that moves by 0.01 a step.
FINEST = 1e-4
# Gaps bisected at a time, the largest difference first: whole chunks, and yet the largest stairs
# are followed to the end before the budget is spent on small ones.
ROUND = 32


@dataclass(frozen=True, eq=False)
class StepLine:
    """The loss at theta + s update.

    Attributes:
        s: (n,) increasing, in steps, float64; 0 and 1 are exactly among them.
        losses: (n,) the losses there (not their changes), float64.
        now: the loss at s = 0.
        after: the loss at s = 1.
        promised: gradient . update, the change of the loss that the gradient promises; under a
            straight-through estimator it is the surrogate that promises.
        got: after - now, the real change.
        done: evaluated share, in [0, 1]; 1 where nothing is left to refine.
        rounding: differences of two losses below this are rounding errors of the loss itself.
    """

    s: np.ndarray
    losses: np.ndarray
    now: float
    after: float
    promised: float
    got: float
    done: float
    rounding: float = 0.0


def step_lines(
    objective: Objective,
    theta: Tensor,
    update: Tensor,
    *,
    gradient: Tensor | None = None,
    reach: tuple[float, float] = (-2.0, 3.0),
    points: int = 240,
    refine: int = 240,
    block: int = 64,
) -> Iterator[StepLine]:
    """Evaluates the loss ahead of a step: coarse, then even, then bisected where it jumps.

    Closing the iterator cancels the rest. Every `StepLine` is a copy of its own, sorted and with
    both ends of the step, so another thread may keep it. A zero update gives a flat line.

    Args:
        objective: the loss, such as that of a fixed probe set.
        theta: (P,), before the step.
        update: (P,), what the step adds to theta.
        gradient: (P,), what the promise is taken from; None takes `objective.gradients` at theta.
        reach: the first and last s, in steps; holds 0 and 1.
        points: even points at least, from 2 up; made a little more, so that the coarse level is
            nested: 241 by default.
        refine: points more at most that bisect gaps where the loss jumps, from 0 up.
        block: points between two yields, at least 1; fewer where memory holds fewer, but both
            ends of the step come at once.

    Yields:
        The line so far after every block; the last has done = 1.

    Raises:
        TypeError, ValueError: vectors that do not fit or are not finite, or a number out of range.
    """
    low, high = reach
    if not -float("inf") < low <= 0.0 < 1.0 <= high < float("inf"):
        raise ValueError(f"reach is {reach}, expected finite (from, to) that holds 0 and 1.")
    if points < 2 or refine < 0:
        raise ValueError(
            f"points and refine are {points} and {refine}, expected at least 2 and at least 0."
        )
    theta = _vector("theta", theta, objective)
    update = _vector("update", update, objective)
    if gradient is None:
        gradient = objective.gradients(theta[None])[0]
    else:
        gradient = _vector("gradient", gradient, objective)
    promised = float(gradient.double() @ update.double())
    block = max(2, checked_block(block, objective.points_in_budget))
    levels = _levels(low, high, points)

    def losses_at(s: np.ndarray) -> np.ndarray:
        along = torch.from_numpy(s).to(theta)[:, None]
        return objective.losses(torch.addcmul(theta, along, update)).double().cpu().numpy()

    if not update.any():
        return _flat(losses_at, levels, promised)
    return _lines(losses_at, levels, promised, refine, block, torch.finfo(objective.dtype).eps)


def jumps(line: StepLine, fraction: float = 0.1) -> int:
    """The number of stairs of a line: places where the loss jumps instead of climbing.

    A jump is a pair of neighbours at most 1e-4 of a step apart whose losses differ by more than
    the given share of the line's range (and by more than rounding). Halving a gap halves the
    difference of a straight climb, and leaves that of a stair as it is; `step_lines` halves down
    to 1e-4 and stops where the difference has become small. So a continuous line has none,
    unless it climbs that share of its range within 1e-4 of a step.

    Args:
        line: of `step_lines` with done = 1; before that, and where the budget of points was
            spent first, the number is a lower bound.
        fraction: of the range, in [0.05, 1]: smaller stairs are not sought.

    Returns:
        The number, 0 for a flat line.

    Raises:
        ValueError: fraction is out of its range.
    """
    if not BISECTED <= fraction <= 1.0:
        raise ValueError(f"fraction is {fraction}, expected a share from {BISECTED} to 1.")
    change = _changes(line.losses)
    near = np.diff(line.s) <= FINEST
    return int((near & (change > _least(line.losses, fraction, line.rounding))).sum())


def _vector(name: str, vector: Tensor, objective: Objective) -> Tensor:
    """A finite vector (P,) in the objective's dtype."""
    if not isinstance(vector, Tensor) or not vector.is_floating_point():
        raise TypeError(f"{name} is {described(vector)}, expected a floating-point tensor.")
    if vector.shape != objective.theta.shape:
        raise ValueError(
            f"{name} has shape {tuple(vector.shape)}, expected {tuple(objective.theta.shape)}."
        )
    own = checked_points(vector[None], objective.theta)[0]
    if not own.isfinite().all():
        raise ValueError(f"{name} holds nan or inf, expected finite numbers: this run diverged.")
    return own


def _levels(low: float, high: float, points: int) -> list[np.ndarray]:
    """What each level adds: both ends of the step, the other coarse points, the other even ones."""
    gaps = COARSE * -(-(points - 1) // COARSE)
    even = np.linspace(low, high, gaps + 1)
    ends = np.array([0.0, 1.0])
    free = np.abs(even[:, None] - ends).min(axis=1) > 1e-9 * (high - low)
    coarse = np.arange(gaps + 1) % COARSE == 0
    return [np.concatenate((ends, even[free & coarse])), even[free & ~coarse]]


def _flat(
    losses_at: Callable[[np.ndarray], np.ndarray], levels: list[np.ndarray], promised: float
) -> Iterator[StepLine]:
    s = np.sort(np.concatenate(levels))
    loss = float(losses_at(np.zeros(1))[0])
    yield StepLine(s, np.full_like(s, loss), loss, loss, promised, 0.0, 1.0)


def _lines(
    losses_at: Callable[[np.ndarray], np.ndarray],
    levels: list[np.ndarray],
    promised: float,
    refine: int,
    block: int,
    eps: float,
) -> Iterator[StepLine]:
    s, losses = np.zeros(0), np.zeros(0)
    even = sum(len(level) for level in levels)
    now = after = rounding = 0.0
    waiting = [part for level in levels for part in _blocks(level, block)]
    while waiting:
        part = waiting.pop(0)
        found = losses_at(part)
        if not len(s):
            now, after = (float(value) for value in found[:2])
        order = np.argsort(np.concatenate((s, part)))
        s, losses = (np.concatenate(pair)[order] for pair in ((s, part), (losses, found)))
        # As in the noise floor of the design: 16 roundings of a loss of this size.
        rounding = 16.0 * eps * float(np.abs(losses[np.isfinite(losses)]).max(initial=0.0))
        left = even + refine - len(s)
        if not waiting and left > 0:
            waiting = _blocks(_middles(s, losses, rounding, left), block)
        done = len(s) / (even + refine) if waiting else 1.0
        yield StepLine(s.copy(), losses.copy(), now, after, promised, after - now, done, rounding)


def _blocks(s: np.ndarray, block: int) -> list[np.ndarray]:
    return [s[start : start + block] for start in range(0, len(s), block)]


def _middles(s: np.ndarray, losses: np.ndarray, rounding: float, left: int) -> np.ndarray:
    """The middles of the gaps to bisect now: those of the largest differences.

    As many as the points that are left can follow to the end, counted by the first of them.
    """
    width, change = np.diff(s), _changes(losses)
    chosen = np.flatnonzero((width > FINEST) & (change > _least(losses, BISECTED, rounding)))
    if not len(chosen):
        return s[:0]
    chosen = chosen[np.argsort(-change[chosen], kind="stable")]
    halvings = math.ceil(math.log2(width[chosen[0]] / FINEST))
    chosen = chosen[: max(1, min(ROUND, left // halvings))]
    return (s[chosen] + s[chosen + 1]) / 2.0


def _changes(losses: np.ndarray) -> np.ndarray:
    """|difference| of neighbours (n - 1,); infinite at the edge of an overflow, nan within it."""
    with np.errstate(invalid="ignore"):
        return np.abs(np.diff(losses))


def _least(losses: np.ndarray, fraction: float, rounding: float) -> float:
    """The difference that counts: a share of the range of the finite losses."""
    finite = losses[np.isfinite(losses)]
    spread = float(np.ptp(finite)) if len(finite) else 0.0
    return max(fraction * spread, rounding)
