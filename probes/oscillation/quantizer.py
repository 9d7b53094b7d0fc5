"""How often quantized weights jump to and fro between levels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Of the moving average, as in the paper's code.
MOMENTUM = 0.01
# At momentum 0.01, one oscillation alone stays above it for 70 steps.
THRESHOLD = 0.005


class OscillationTracker:
    """The oscillation frequency of every quantized weight, step by step, in bounded memory.

    A weight oscillates at step t where its level changes in the direction opposite to its LAST
    change, however long ago that was; steps without a change oscillate nowhere.

    o_t = [sign(x_t - x_{t-1}) = -direction of the last change before],   [...] is 1 or 0
    f_t = m o_t + (1 - m) f_{t-1},    frequency = f_t / (1 - (1 - m)^n)

    n counts the steps since the third, the first at which anything can oscillate, so 0, 1, 0, 1...
    has frequency 1 from then on, and a ramp 0. A weight that steps up, rests, and steps down again
    every s steps has frequency about 1/s.

    It holds 11 bytes a weight. What it has seen goes in and out by `state` and `restore`.

    Source: Nagel, Fournarakis, Bondarenko, Blankevoort, "Overcoming Oscillations in
    Quantization-Aware Training", ICML 2022 (arXiv 2203.11086), section 4.1, without its freezing;
    the bias correction is Adam's.

    Args:
        momentum: m, in (0, 1]. 0.01 as in the paper: about the last 100 steps count.

    Raises:
        ValueError: momentum is out of range.
    """

    def __init__(self, momentum: float = MOMENTUM) -> None:
        if not 0.0 < momentum <= 1.0:
            raise ValueError(f"momentum is {momentum}, expected above 0 and at most 1.")
        self.momentum = momentum
        self.steps = 0
        self._levels: np.ndarray | None = None
        self._direction = np.zeros(0, dtype=np.int8)
        self._average = np.zeros(0)

    def update(self, levels: ArrayLike) -> None:
        """Takes in the levels after one more step.

        Args:
            levels: (..., W) whole numbers in -32768..32767, the quantizer's codes; nan where a
                run diverged, whose frequency is nan from then on.

        Raises:
            ValueError: not whole numbers of that range, or another shape than before.
        """
        seen = np.asarray(levels)
        if self._levels is None:
            self._direction = np.zeros(seen.shape, dtype=np.int8)
            self._average = np.zeros(seen.shape)
        elif seen.shape != self._levels.shape:
            raise ValueError(
                f"levels have shape {seen.shape}, expected {self._levels.shape} as before."
            )
        lost = ~np.isfinite(seen)
        whole = np.where(lost, 0, seen).astype(np.int16)
        if np.any((whole != seen) & ~lost):
            raise ValueError(
                "levels are not whole numbers in -32768..32767: pass the quantizer's codes, not"
                " the weights."
            )
        self._average[lost] = np.nan
        self.steps += 1
        if self._levels is not None:
            self._count(whole, self._levels)
        self._levels = whole

    @property
    def frequency(self) -> np.ndarray:
        """(..., W), oscillations a step, in [0, 1]; nan before the third step."""
        counted = self.steps - 2
        if counted < 1:
            return np.full(self._average.shape, np.nan)
        return self._average / (1.0 - (1.0 - self.momentum) ** counted)

    def state(self) -> dict[str, Any]:
        """All that is needed to continue: numbers and copies of arrays."""
        arrays = {"direction": self._direction.copy(), "average": self._average.copy()}
        if self._levels is not None:
            arrays["levels"] = self._levels.copy()
        return {"momentum": self.momentum, "steps": self.steps, **arrays}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> OscillationTracker:
        """A tracker that continues from a `state`.

        Raises:
            ValueError: the state lacks a part, or its parts do not fit together.
        """
        try:
            tracker = cls(float(state["momentum"]))
            tracker.steps = int(state["steps"])
            tracker._direction = np.array(state["direction"], dtype=np.int8)
            tracker._average = np.array(state["average"], dtype=np.float64)
            if tracker.steps > 0:
                tracker._levels = np.array(state["levels"], dtype=np.int16)
        except KeyError as error:
            raise ValueError(f"The state lacks {error}, expected one from state().") from error
        shapes = {tracker._direction.shape, tracker._average.shape}
        shapes |= set() if tracker._levels is None else {tracker._levels.shape}
        if len(shapes) > 1 or tracker.steps < 0:
            raise ValueError(
                f"The state holds {tracker.steps} steps of arrays of {len(shapes)} shapes,"
                " expected one from state()."
            )
        return tracker

    def _count(self, levels: np.ndarray, before: np.ndarray) -> None:
        direction = (levels > before).astype(np.int8) - (levels < before)
        oscillated = direction * self._direction == -1
        self._average += self.momentum * (oscillated - self._average)
        np.copyto(self._direction, direction, where=direction != 0)


def quantizer_oscillation(levels: ArrayLike, *, momentum: float = MOMENTUM) -> np.ndarray:
    """The oscillation frequency of every quantized weight at the end of a recorded run.

    0, 1, 0, 1... has frequency 1, a ramp 0; see `OscillationTracker`, which also runs along.

    Args:
        levels: (T, ...), whole numbers, one row a step.
        momentum: of the moving average, in (0, 1]. 0.01 as in the paper.

    Returns:
        (...), oscillations a step, in [0, 1]; nan for fewer than three rows.

    Raises:
        ValueError: there is no row, or as `OscillationTracker`.
    """
    rows = np.asarray(levels)
    if rows.ndim == 0 or len(rows) == 0:
        raise ValueError(f"levels have shape {rows.shape}, expected (T, ...) with T at least 1.")
    tracker = OscillationTracker(momentum)
    for row in rows:
        tracker.update(row)
    return tracker.frequency


def oscillating_share(
    frequency: ArrayLike,
    spans: Iterable[tuple[int, int]] | None = None,
    *,
    threshold: float = THRESHOLD,
) -> np.ndarray:
    """The share of weights that oscillate more often than a threshold, layer by layer.

    Args:
        frequency: (..., W), from `OscillationTracker` or `quantizer_oscillation`.
        spans: L pairs (start, stop), where each layer's weights lie in W, as in an objective's
            layout. None takes all W as one layer.
        threshold: oscillations a step, at least 0. 0.005: at momentum 0.01 a weight that
            oscillated once within the last 70 steps passes it.

    Returns:
        (..., L), in [0, 1]; weights without a frequency are left out, nan where none is left.

    Raises:
        ValueError: a span lies outside of W or is empty, or the threshold is below 0.
    """
    values = np.asarray(frequency, dtype=np.float64)
    count = values.shape[-1] if values.ndim else 0
    pairs = [(0, count)] if spans is None else list(spans)
    for start, stop in pairs:
        if not 0 <= start < stop <= count:
            raise ValueError(
                f"The span ({start}, {stop}) is no part of {count} weights, expected"
                f" 0 <= start < stop <= {count}."
            )
    if not threshold >= 0.0:
        raise ValueError(f"threshold is {threshold}, expected 0 or above.")
    shares = np.full((*values.shape[:-1], len(pairs)), np.nan)
    for layer, (start, stop) in enumerate(pairs):
        part = values[..., start:stop]
        known = np.isfinite(part).sum(axis=-1)
        passed = (part > threshold).sum(axis=-1)
        np.divide(passed, known, out=shares[..., layer], where=known > 0)
    return shares
