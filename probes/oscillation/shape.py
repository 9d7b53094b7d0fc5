"""A spectrum in one number: how much of it is fast, and how spread out it is."""

from __future__ import annotations

import numpy as np

from probes.oscillation.spectra import Spectrum

# A Hann window spreads one tone over three bins with these shares.
TONE = np.array([1.0, 4.0, 1.0]) / 6.0


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
    weighted = _sides(len(spectrum.density)) * spectrum.density
    total = float(weighted.sum())
    return float((weighted * beyond).sum()) / total if total > 0.0 else float("nan")


def spectral_entropy(density: np.ndarray) -> np.ndarray:
    """The entropy of a spectrum on a scale from one tone, 0, to white noise, 1.

    1 - KL(p || white) / KL(tone || white),    p = share of the two-sided power in each bin

    KL(p || white) = log n - entropy is Shannon's entropy up to its zero. A Hann window alone
    spreads a tone over three bins of 1/6, 2/3, 1/6, so log n by itself would read 0.21 for the
    purest tone (n = 64); the second divergence takes that out. Few averages make an estimate
    rugged and lower: white noise of one projection reads 0.998 from 100 segments of 64 steps and
    0.85 from one. Compare only spectra of as many averages.

    Source: Shannon 1948 on the normalised power spectrum, as in Inouye et al. 1991
    (Electroencephalography and Clinical Neurophysiology 79(3)); the scale is ours.

    Args:
        density: (..., F), of a `Spectrum` or of every window of a `Spectrogram`; F at least 9.

    Returns:
        (...), in [0, 1]; nan where there is no power at all.

    Raises:
        ValueError: fewer than 9 frequencies.
    """
    density = np.asarray(density, dtype=np.float64)
    if density.ndim == 0 or density.shape[-1] < 9:
        raise ValueError(
            f"density has shape {density.shape}, expected (..., F) with F at least 9: pass the"
            " density of a spectrum."
        )
    sides = _sides(density.shape[-1])
    white = sides / sides.sum()
    total = (sides * density).sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = sides * density / total
        terms = np.where(share > 0.0, share * np.log(share / white), share)
    from_white = terms.sum(axis=-1)
    of_tone = float((TONE * np.log(TONE / white[1])).sum())
    return np.clip(1.0 - from_white / of_tone, 0.0, 1.0)


def _sides(frequencies: int) -> np.ndarray:
    """How often each folded bin stands in the two-sided spectrum: 0 and 0.5 once, others twice."""
    sides = np.full(frequencies, 2.0)
    sides[[0, -1]] = 1.0
    return sides
