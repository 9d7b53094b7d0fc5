"""Cockpit's alpha: did a step stop short of the minimum along it, or overshoot?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def cockpit_alpha(
    loss_before: ArrayLike,
    loss_after: ArrayLike,
    slope_before: ArrayLike,
    slope_after: ArrayLike,
    *,
    variances: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike] | None = None,
) -> np.ndarray:
    """The step's length on the parabola that fits the loss along it: 0 is the minimum.

    q(s) = a s^2 + b s + c    fitted to f(0), f(1), f'(0), f'(1) by weighted least squares
    alpha = -2 a / b - 1

    -1 stays in place, 0 steps to the minimum, 1 to the same height on the other side; above 1 the
    loss rises. Where q is concave the loss still falls at the step's end, and alpha is -1, as in
    Cockpit. Below -1 the step went uphill (b > 0). Gradient descent on h x^2/2 gives lr h - 1.

    All four come from the SAME batch: with two, their noise is fitted as curvature.

    Source: Schneider, Dangel, Hennig, "Cockpit: A Practical Debugging Tool for the Training of
    Deep Neural Networks", NeurIPS 2021 (arXiv 2102.06604), and its code, with s counted in steps.

    Args:
        loss_before: f(theta_t), of any shape; all others broadcast against it.
        loss_after: f(theta_t + u), u the step.
        slope_before: gradient f(theta_t) . u; negative for a step downhill.
        slope_after: gradient f(theta_t + u) . u, along the same u.
        variances: of the four, all above 0, for example over the batch's samples divided by
            their number, the weights of Cockpit's fit. None weighs the four alike; where f is a
            parabola that changes nothing.

    Returns:
        alpha, float64. Infinite where the step starts at the minimum; nan where nothing changes
        at all (no step, or a flat loss) or a value is not finite.

    Raises:
        ValueError: a variance is not above 0.
    """
    slope_0, slope_1 = np.asarray(slope_before, np.float64), np.asarray(slope_after, np.float64)
    spread = [np.asarray(v, dtype=np.float64) for v in variances or (1.0, 1.0, 1.0, 1.0)]
    if any(np.any(v <= 0.0) for v in spread):
        raise ValueError("A variance is 0 or below, expected all four above 0: leave them out.")
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.asarray(loss_after, np.float64) - np.asarray(loss_before, np.float64)
        # c leaves the fit: what remains are b + a = change, b = slope_0 and b + 2 a = slope_1.
        w, w0, w1 = 1.0 / (spread[0] + spread[1]), 1.0 / spread[2], 1.0 / spread[3]
        right_a = w * change + 2.0 * w1 * slope_1
        right_b = w * change + w0 * slope_0 + w1 * slope_1
        aa, ab, bb = w + 4.0 * w1, w + 2.0 * w1, w + w0 + w1
        a = (bb * right_a - ab * right_b) / (aa * bb - ab * ab)
        b = (aa * right_b - ab * right_a) / (aa * bb - ab * ab)
        alpha = -2.0 * a / b - 1.0
        level = np.abs(b) <= 8.0 * np.finfo(np.float64).eps * a
    alpha = np.where((a > 0.0) & level, np.inf, alpha)
    return np.where(a < 0.0, -1.0, alpha)
