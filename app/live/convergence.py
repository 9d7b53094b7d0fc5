"""Running means over steps, and the power of T that they fall with."""

from __future__ import annotations

import numpy as np

from probes.statistics import Interval, paired_interval

#: Steps of a decade that are measured where each is dear, and that a slope is fitted to.
PER_DECADE = 16
#: Points below which no slope is fitted, and seeds below which it has no interval.
FEWEST_POINTS, FEWEST_SEEDS = 6, 4


def log_uniform_steps(last: int) -> np.ndarray:
    """Whole numbers from 1 to `last`, evenly spaced in log t as far as they are whole.

    Args:
        last: T, at least 1; it is among them.

    Returns:
        (n,) increasing, at most 16 a decade and one more.
    """
    count = int(np.ceil(PER_DECADE * np.log10(last))) + 1
    return np.unique(np.rint(np.geomspace(1, last, count)).astype(int))


def step_weights(times: np.ndarray) -> np.ndarray:
    """How many of the steps 1 .. T each measured one stands for.

    Of the steps between two measured ones each end takes half; a measured step stands for itself.

    Args:
        times: (n,) increasing whole numbers from 1 to T.

    Returns:
        (n,) with sum T; all 1 where every step is measured.
    """
    between = (np.diff(times) - 1) / 2
    weights = np.ones(len(times))
    weights[:-1] += between
    weights[1:] += between
    return weights


def running_mean(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of a sequence over the steps 1 .. T, at every measured T.

        M(T) = 1/T sum_{t_i <= T} w_i s(t_i)

    with the weights that `step_weights` gives to the steps up to T: exact where every step is
    measured, or where s runs straight between two measured ones.

    Args:
        times: (n,) increasing whole numbers from 1 on.
        values: (n, R) s at these steps; nan makes nan of every later mean.

    Returns:
        (n, R).
    """
    between = ((np.diff(times) - 1) / 2)[:, None]
    gained = values.copy()
    gained[1:] += between * (values[:-1] + values[1:])
    return np.cumsum(gained, axis=0) / times[:, None]


def log_slope(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The power of T that a running mean falls with over the last half of log T.

    Least squares of log M on log T over sqrt(T_last) <= T <= T_last, at log-uniform steps, so that
    every part of the log axis counts alike.

    Args:
        times: (n,) increasing whole numbers from 1 on.
        values: (n, R) at these steps.

    Returns:
        (R,) slopes; nan where a value is not positive and finite, or with fewer than 6 points.
    """
    slopes = np.full(values.shape[1], np.nan)
    if not len(times):
        return slopes
    wanted = log_uniform_steps(int(times[-1]))
    rows = np.isin(times, wanted[wanted >= times[-1] ** 0.5])
    if rows.sum() < FEWEST_POINTS:
        return slopes
    chosen = values[rows]
    good = (np.isfinite(chosen) & (chosen > 0)).all(axis=0)
    if good.any():
        slopes[good] = np.polyfit(np.log(times[rows]), np.log(chosen[:, good]), 1)[0]
    return slopes


def slope_interval(slopes: np.ndarray) -> Interval:
    """The mean slope over seeds with its 90% interval.

    Student's t over the seeds' own slopes, from four finite ones up. With fewer there is none: the
    values of one running mean depend on each other so closely that neither least squares nor a
    block bootstrap of one path says how another path would fall.

    Args:
        slopes: (S,) one a seed; nan for one that has none.
    """
    found = paired_interval(slopes)
    if found.n >= FEWEST_SEEDS:
        return found
    finite = slopes[np.isfinite(slopes)]
    mean = float(finite.mean()) if len(finite) else np.nan
    return Interval(mean, np.nan, np.nan, found.level, found.n, found.left_out, "none")


def seed_mean(values: np.ndarray) -> np.ndarray:
    """The mean (n,) over the finite seeds of (n, S); nan where none is left."""
    finite = np.isfinite(values)
    count = finite.sum(axis=1)
    total = np.where(finite, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
