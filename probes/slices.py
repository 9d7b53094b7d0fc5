"""Loss slices: the loss on a grid over a plane, coarse to fine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from probes.memory import megabytes
from probes.objective import Objective
from probes.planes import Plane

# Points between two yields: often enough to show progress, rare enough to keep whole chunks.
BLOCK = 128


@dataclass(frozen=True, eq=False)
class Slice:
    """The loss on an n x n grid over a plane.

    Attributes:
        a: (n,) coordinates along axes[0], float64.
        b: (n,) coordinates along axes[1], float64.
        losses: (n, n) indexed [b, a], float64; nan where it is not evaluated yet.
        done: evaluated share of the finest grid, in [0, 1].
    """

    a: np.ndarray
    b: np.ndarray
    losses: np.ndarray
    done: float


def loss_slices(
    objective: Objective,
    plane: Plane,
    resolutions: Sequence[int] = (9, 17, 33),
    *,
    block: int = BLOCK,
) -> Iterator[Slice]:
    """Evaluates a loss slice coarse to fine; every level reuses the points of the last.

    Closing the iterator cancels the rest. Every `Slice` is a copy of its own, so another thread
    may keep it.

    Args:
        objective: the loss.
        plane: the rectangle.
        resolutions: points a side, level by level; n - 1 must be a multiple of the last n - 1.
        block: points between two yields, at least 1; fewer where the memory budget holds fewer.

    Yields:
        The slice so far after every block; the last of a level is complete at its resolution.

    Raises:
        ValueError: the levels are not nested, the block is below 1, or the plane does not fit.
        MemoryError: the finest grid does not fit into the memory budget.
    """
    levels = list(resolutions)
    steps = [n - 1 for n in levels]
    if not steps or min(steps) < 1 or any(n % m or n == m for m, n in pairwise(steps)):
        raise ValueError(
            f"resolutions are {levels}, expected points a side from 2 up where each n - 1 is a"
            " multiple of the one before, such as (9, 17, 33)."
        )
    finest = levels[-1]
    check_grid(objective, plane, finest, arrays=2)
    return _refined(objective, plane, levels, checked_block(block, objective.points_in_budget))


def _refined(objective: Objective, plane: Plane, levels: list[int], block: int) -> Iterator[Slice]:
    finest = levels[-1]
    a, b = plane.grid(finest)
    losses_at = objective.spanned(plane.origin, plane.axes)
    known = np.full((finest, finest), np.nan)
    fresh = np.ones((finest, finest), dtype=bool)
    for n in levels:
        stride = (finest - 1) // (n - 1)
        level = np.zeros_like(fresh)
        level[::stride, ::stride] = True
        rows, columns = np.nonzero(level & fresh)
        for start in range(0, len(rows), block):
            i, j = rows[start : start + block], columns[start : start + block]
            pairs = torch.stack((a[torch.from_numpy(j)], b[torch.from_numpy(i)]), dim=1)
            losses = losses_at(pairs)
            known[i, j] = losses.double().cpu().numpy()
            fresh[i, j] = False
            yield Slice(
                a[::stride].numpy().copy(),
                b[::stride].numpy().copy(),
                known[::stride, ::stride].copy(),
                (fresh.size - int(fresh.sum())) / fresh.size,
            )


def loss_slice(objective: Objective, plane: Plane, resolution: int) -> Slice:
    """The loss on a whole grid at once.

    Args:
        objective: the loss.
        plane: the rectangle.
        resolution: points a side n, at least 2.

    Returns:
        The complete `Slice`.

    Raises:
        ValueError, MemoryError: as `loss_slices`.
    """
    *_, complete = loss_slices(objective, plane, (resolution,), block=resolution**2)
    return complete


def check_grid(objective: Objective, plane: Plane, resolution: int, *, arrays: int) -> None:
    """Refuses a plane of another objective, and a grid that memory cannot hold.

    Args:
        objective: whose memory budget counts.
        plane: the rectangle.
        resolution: points a side.
        arrays: numbers (8 bytes) that are kept for every point of the grid.

    Raises:
        ValueError: the plane has another number of parameters.
        MemoryError: the grid needs more than the budget.
    """
    if len(plane.origin) != objective.size:
        raise ValueError(
            f"The plane has {len(plane.origin)} parameters and the objective {objective.size}:"
            " choose a plane of this objective."
        )
    need = 8 * arrays * resolution**2
    if need > objective.memory_bytes:
        largest = int((objective.memory_bytes / (8 * arrays)) ** 0.5)
        raise MemoryError(
            f"A grid of {resolution} x {resolution} needs {megabytes(need)}, and the memory budget"
            f" is {megabytes(objective.memory_bytes)}: ask for at most {largest} points a side, or"
            " raise CHATTERSCOPE_MEMORY_MB."
        )


def checked_block(block: int, fitting: int) -> int:
    """The block, cut to the points that fit; a ValueError below 1."""
    if block < 1:
        raise ValueError(f"block is {block}, expected at least 1 point between two yields.")
    return min(block, max(1, fitting))
