"""How far a run travels for what it gains: variation, path length and efficiency."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def total_variation(losses: ArrayLike) -> np.ndarray:
    """The sum of |change| of a curve from step to step: everything it went up and down.

    sum_t |f_{t+1} - f_t|    at least |f_T - f_0|, and equal to it where the curve is monotone

    Of losses on a FIXED probe batch: on changing batches it counts the batches' differences.

    Args:
        losses: (T, ...), T at least 1.

    Returns:
        (...), in the loss's unit; nan where a value is not finite.

    Raises:
        ValueError: there is no time axis, or no step.
    """
    values = _steps(losses, "losses", 1)
    with np.errstate(invalid="ignore"):
        total = np.abs(np.diff(values, axis=0)).sum(axis=0)
    return np.where(np.isfinite(values).all(axis=0), total, np.nan)


def path_length(path: ArrayLike) -> np.ndarray:
    """The length of a path: sum_t |theta_{t+1} - theta_t|.

    From snapshots of every n-th step it is a lower bound. From a record of every step's update
    norm it is their sum.

    Args:
        path: (T, ..., P), T at least 1.

    Returns:
        (...); nan where a value is not finite.

    Raises:
        ValueError: there are no two axes, or no step.
    """
    points = _steps(path, "path", 2)
    with np.errstate(invalid="ignore"):
        lengths = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    return np.where(np.isfinite(points).all(axis=(0, -1)), lengths.sum(axis=0), np.nan)


def path_efficiency(path: ArrayLike, length: ArrayLike | None = None) -> np.ndarray:
    """The way made over the way gone: |theta_T - theta_0| / path length.

    1 on a straight line, 0 on a closed path. A random walk of T steps in many dimensions gives
    1/sqrt(T), so compare only runs of as many steps.

    Args:
        path: (T, ..., P), T at least 1; with a length given, its first and last point are enough.
        length: (...), the path's length, where it is known better than from these points: the sum
            of the norms of all updates. None measures it along `path`, an upper bound of the
            efficiency where steps are left out.

    Returns:
        (...), in [0, 1]; nan where the path has no length or a value is not finite.

    Raises:
        ValueError: as `path_length`, or the length is shorter than the straight line.
    """
    points = _steps(path, "path", 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        straight = np.linalg.norm(points[-1] - points[0], axis=-1)
        gone = path_length(points) if length is None else np.asarray(length, dtype=np.float64)
        efficiency = np.where(gone > 0.0, straight / gone, np.nan)
    # Float32 sums of many small updates fall short by far less than this.
    if np.any(efficiency > 1.001):
        raise ValueError(
            f"The straight line is {np.nanmax(efficiency):.4g} times as long as the path, expected"
            " at most 1: pass the length of this path."
        )
    return np.minimum(efficiency, 1.0)


def _steps(values: ArrayLike, name: str, axes: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim < axes or len(array) == 0:
        wanted = "(T, ...)" if axes == 1 else "(T, ..., P)"
        raise ValueError(f"{name} has shape {array.shape}, expected {wanted} with T at least 1.")
    return array
