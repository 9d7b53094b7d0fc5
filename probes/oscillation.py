"""Oscillation: sign flips, cosines between updates, and power spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Shorter series have too few frequencies to speak of a spectrum.
SHORTEST = 16
# Steps of the centred window of the running RMS: a quarter of the default segment.
RMS_WINDOW = 17


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


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Where in frequency a series lives.

    Attributes:
        frequencies: (F,) cycles a step, 0 to 0.5: 0.5 is a flip every step.
        density: (F,) two-sided power density: white noise of unit variance reads 1 everywhere,
            0 and 0.5 included.
        power: mean square of the series before any normalisation: how MUCH it moves.
        segments: how many segments were averaged.
        length: steps a segment.
    """

    frequencies: np.ndarray
    density: np.ndarray
    power: float
    segments: int
    length: int


def spectrum(
    series: ArrayLike,
    *,
    segment: int = 64,
    normalise: bool = True,
    divide_by: ArrayLike | None = None,
) -> Spectrum | None:
    """The power spectrum: Hann-windowed two-sided FFT segments with half overlap, averaged.

    density(f) = mean |FFT(w (x - mean x))(f)|^2 / (sum w^2 - |FFT(w)(f)|^2 / n)

    The divisor is what white noise of unit variance gives once the segment's mean is removed; the
    textbook's sum w^2 alone would show white noise sagging to 1/3 at 0. Frequencies 0 and 0.5 are
    not doubled, so white noise is flat up to 0.5.

    AdamW on |x| from 1.5 (lr 0.1, weight decay 0.01), gradient or update of steps 100 to 400: flips
    0.50, peak at 0.18 with segment=256; with beta1 = 0: 1.00 and 0.50.

    Args:
        series: (T,) or (T, J), one row a step, J projections; rows that are not finite at the
            beginning or end (a run that diverged) are left out.
        segment: steps a segment, at least 16; 64 resolves 1/64 cycle a step. Shorter series are
            one segment.
        normalise: divide by the running RMS over all J and 17 centred steps first; without it the
            fast decay of early training peaks at 0.
        divide_by: (T,) divides every row first, for example the damping a_t out of an update.

    Returns:
        The `Spectrum`, or None for fewer than 16 finite steps.

    Raises:
        ValueError: a shape does not fit, or a value in the middle is not finite.
    """
    values = np.asarray(series, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"series has shape {values.shape}, expected (T,) or (T, J).")
    if segment < SHORTEST:
        raise ValueError(f"segment is {segment} steps, expected at least {SHORTEST}.")
    if divide_by is not None:
        divisor = np.asarray(divide_by, dtype=np.float64)
        if divisor.shape != (len(values),):
            raise ValueError(
                f"divide_by has shape {divisor.shape}, expected one number a step,"
                f" ({len(values)},)."
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            values = values / divisor[:, None]
    values = _finite_part(values)
    if len(values) < SHORTEST:
        return None
    power = float(np.square(values).mean())
    if normalise:
        values = values / _running_rms(values)[:, None]

    length = min(segment, len(values)) // 2 * 2  # even, so that 0.5 is one of the frequencies
    # Counted from the end: the latest steps always take part.
    starts = np.arange(len(values) - length, -1, -(length // 2))
    parts = np.stack([values[start : start + length] for start in starts])
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
    white = np.square(window).sum() - np.square(np.abs(np.fft.rfft(window))) / length
    centred = parts - parts.mean(axis=1, keepdims=True)
    transforms = np.fft.rfft(centred * window[:, None], axis=1)
    density = np.square(np.abs(transforms)).mean(axis=(0, 2)) / white
    return Spectrum(np.fft.rfftfreq(length), density, power, len(starts), length)


def high_frequency_share(spectrum: Spectrum, mark: float = 0.1) -> float:
    """The share of the two-sided power beyond a mark, at |f| > mark.

    Every bin is spread over its width 1/length, so a bin exactly at the mark counts half; bins
    0 and 0.5 count once, all others twice. White noise gives 1 - 2 mark.

    Args:
        spectrum: from `spectrum`.
        mark: cycles a step, in [0, 0.5]. 0.1 parts a flip within 5 steps from slower drift.

    Returns:
        The share in [0, 1]; nan where there is no power at all. A share says nothing about size:
        show `spectrum.power` beside it.

    Raises:
        ValueError: mark is out of range.
    """
    if not 0.0 <= mark <= 0.5:
        raise ValueError(f"mark is {mark}, expected a frequency from 0 to 0.5 cycles a step.")
    beyond = np.clip((spectrum.frequencies - mark) * spectrum.length + 0.5, 0.0, 1.0)
    # Bins 0 and 0.5 are folded: half as wide, on one side of their frequency.
    beyond[0] = max(0.0, 1.0 - 2.0 * mark * spectrum.length)
    beyond[-1] = min(1.0, (1.0 - 2.0 * mark) * spectrum.length)
    twice = np.full(len(spectrum.density), 2.0)
    twice[[0, -1]] = 1.0
    weighted = twice * spectrum.density
    total = float(weighted.sum())
    return float((weighted * beyond).sum()) / total if total > 0.0 else float("nan")


def _finite_part(values: np.ndarray) -> np.ndarray:
    """The rows between the first and the last finite one, all of which must be finite."""
    finite = np.asarray(np.isfinite(values).all(axis=1))
    if not finite.any():
        return values[:0]
    first, last = int(finite.argmax()), len(finite) - int(finite[::-1].argmax())
    if not finite[first:last].all():
        step = first + int(np.argmin(finite[first:last]))
        raise ValueError(
            f"The series is not finite at row {step}, expected gaps only at its ends: pass the"
            " steps before or after it."
        )
    return values[first:last]


def _running_rms(values: np.ndarray) -> np.ndarray:
    """(T, J) -> (T,): over J and a centred window, cut at the ends; 1 where all is zero."""
    window, half = np.ones(RMS_WINDOW), RMS_WINDOW // 2
    total = np.convolve(np.square(values).mean(axis=1), window)[half:-half]
    count = np.convolve(np.ones(len(values)), window)[half:-half]
    rms = np.sqrt(total / count)
    return np.where(rms > 0.0, rms, 1.0)
