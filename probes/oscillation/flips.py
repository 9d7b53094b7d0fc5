"""Sign flips and cosines: does the next step undo the last?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def flip_rate(series: ArrayLike, dead_zone: float = 0.0) -> float | None:
    """The share of consecutive pairs whose sign flips, pooled over all trailing axes.

    Gradient descent on h x^2/2 gives 0 where lr h < 1 and 1 where lr h > 1, for gradient and
    update alike. Unrelated signs give 0.5.

    Args:
        series: (T, ...), one row a step.
        dead_zone: at least 0; a pair with |x| at or below it at either end, or with nan, counts
            nowhere.

    Returns:
        The share in [0, 1], or None where no pair is left.

    Raises:
        ValueError: dead_zone is below 0 or series has no time axis.
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim == 0 or not dead_zone >= 0.0:
        raise ValueError(
            f"flip_rate got {values.ndim} axes and dead_zone {dead_zone}, expected a series"
            " (T, ...) and a dead zone from 0 up."
        )
    alive = np.abs(values) > dead_zone
    pairs = alive[1:] & alive[:-1]
    if not pairs.any():
        return None
    flips = np.signbit(values[1:]) != np.signbit(values[:-1])
    return float(flips[pairs].mean())


def update_cosine(updates: ArrayLike) -> np.ndarray:
    """The cosine between each update and the one before: -1 is pure back and forth.

    Args:
        updates: (T, P).

    Returns:
        (T - 1,); nan where either update is zero or not finite.

    Raises:
        ValueError: updates is not (T, P) with T at least 1.
    """
    rows = np.asarray(updates, dtype=np.float64)
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(f"updates have shape {rows.shape}, expected (T, P) with T at least 1.")
    lengths = np.linalg.norm(rows, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0.0)
    unit = np.full_like(rows, np.nan)
    unit[usable] = rows[usable] / lengths[usable, None]
    return np.clip((unit[1:] * unit[:-1]).sum(axis=1), -1.0, 1.0)
