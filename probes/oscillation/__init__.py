"""Oscillation: flips, spectra, step lengths, paths and quantized weights that jump to and fro."""

from probes.oscillation.alpha import cockpit_alpha
from probes.oscillation.flips import flip_rate, update_cosine
from probes.oscillation.paths import path_efficiency, path_length, total_variation
from probes.oscillation.quantizer import (
    OscillationTracker,
    oscillating_share,
    quantizer_oscillation,
)
from probes.oscillation.shape import high_frequency_share, spectral_entropy
from probes.oscillation.spectra import Spectrogram, Spectrum, spectrogram, spectrum

__all__ = [
    "OscillationTracker",
    "Spectrogram",
    "Spectrum",
    "cockpit_alpha",
    "flip_rate",
    "high_frequency_share",
    "oscillating_share",
    "path_efficiency",
    "path_length",
    "quantizer_oscillation",
    "spectral_entropy",
    "spectrogram",
    "spectrum",
    "total_variation",
    "update_cosine",
]
