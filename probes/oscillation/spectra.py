"""Power spectra of a run's series, over all of it and window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Shorter series have too few frequencies to speak of a spectrum.
SHORTEST = 16
# Steps of the centred window of the running RMS: a quarter of the default segment.
RMS_WINDOW = 17


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


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Where in frequency a series lives, and when.

    Attributes:
        times: (N,) centre of each window, in rows of the series as it was given, ascending.
        frequencies: (F,) cycles a step, 0 to 0.5.
        density: (N, F) two-sided power density of each window, as in `Spectrum`; the mean over
            the windows of the default hop is the spectrum's.
        power: (N,) mean square in each window before any normalisation.
        length: steps a window.
    """

    times: np.ndarray
    frequencies: np.ndarray
    density: np.ndarray
    power: np.ndarray
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
    values, _ = _prepared(series, segment, divide_by)
    if len(values) < SHORTEST:
        return None
    starts, length = _windows(len(values), segment, None)
    density = _periodograms(values, starts, length, normalise=normalise).mean(axis=0)
    power = float(np.square(values).mean())
    return Spectrum(np.fft.rfftfreq(length), density, power, len(starts), length)


def spectrogram(
    series: ArrayLike,
    *,
    segment: int = 64,
    hop: int | None = None,
    normalise: bool = True,
    divide_by: ArrayLike | None = None,
) -> Spectrogram | None:
    """The power spectrum window by window: the estimator of `spectrum` before it is averaged.

    A window is averaged over its J projections alone, so white noise scatters around 1 with a
    standard deviation of 1/sqrt(J), and sqrt(2/J) at 0 and 0.5.

    Args:
        series: (T,) or (T, J), as in `spectrum`.
        segment: steps a window, at least 16: longer ones tell close frequencies apart, shorter
            ones close times. Shorter series are one window.
        hop: steps from one window to the next, at least 1; None is half a window. The last window
            always ends at the last step, and steps too early for a whole hop take no part.
        normalise: as in `spectrum`: each window then shows its shape, `power` its size.
        divide_by: as in `spectrum`.

    Returns:
        The `Spectrogram`, or None for fewer than 16 finite steps.

    Raises:
        ValueError: as in `spectrum`, or hop is below 1.
    """
    if hop is not None and hop < 1:
        raise ValueError(f"hop is {hop} steps, expected at least 1, or None for half a window.")
    values, first = _prepared(series, segment, divide_by)
    if len(values) < SHORTEST:
        return None
    starts, length = _windows(len(values), segment, hop)
    density = _periodograms(values, starts, length, normalise=normalise)
    power = np.square(values).mean(axis=1)[starts[:, None] + np.arange(length)].mean(axis=1)
    times = first + starts + (length - 1) / 2.0
    return Spectrogram(times, np.fft.rfftfreq(length), density, power, length)


def _windows(steps: int, segment: int, hop: int | None) -> tuple[np.ndarray, int]:
    """Where the windows start, ascending, and their even length: so 0.5 is a frequency."""
    length = min(segment, steps) // 2 * 2
    # Counted from the end: the latest steps always take part.
    return np.arange(steps - length, -1, -(hop or length // 2))[::-1], length


def _periodograms(
    values: np.ndarray, starts: np.ndarray, length: int, *, normalise: bool
) -> np.ndarray:
    """(T, J) -> (N, length // 2 + 1): the density of each window, its mean removed, over all J."""
    if normalise:
        values = values / _running_rms(values)[:, None]
    parts = values[starts[:, None] + np.arange(length)]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
    white = np.square(window).sum() - np.square(np.abs(np.fft.rfft(window))) / length
    centred = parts - parts.mean(axis=1, keepdims=True)
    transforms = np.fft.rfft(centred * window[:, None], axis=1)
    return np.square(np.abs(transforms)).mean(axis=2) / white


def _prepared(
    series: ArrayLike, segment: int, divide_by: ArrayLike | None
) -> tuple[np.ndarray, int]:
    """The finite part of the series as (T, J), every row divided, and the row it starts at."""
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
    return _finite_part(values)


def _finite_part(values: np.ndarray) -> tuple[np.ndarray, int]:
    """The rows between the first and the last finite one, all of which must be, and the first."""
    finite = np.asarray(np.isfinite(values).all(axis=1))
    if not finite.any():
        return values[:0], 0
    first, last = int(finite.argmax()), len(finite) - int(finite[::-1].argmax())
    if not finite[first:last].all():
        step = first + int(np.argmin(finite[first:last]))
        raise ValueError(
            f"The series is not finite at row {step}, expected gaps only at its ends: pass the"
            " steps before or after it."
        )
    return values[first:last], first


def _running_rms(values: np.ndarray) -> np.ndarray:
    """(T, J) -> (T,): over J and a centred window, cut at the ends; 1 where all is zero."""
    window, half = np.ones(RMS_WINDOW), RMS_WINDOW // 2
    total = np.convolve(np.square(values).mean(axis=1), window)[half:-half]
    count = np.convolve(np.ones(len(values)), window)[half:-half]
    rms = np.sqrt(total / count)
    return np.where(rms > 0.0, rms, 1.0)
