import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.oscillation import spectral_entropy, spectrogram, spectrum

STEPS = np.arange(512)


def tone(frequency, steps=STEPS):
    return np.cos(2.0 * np.pi * frequency * steps + 0.3)


def white(steps, columns, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, columns))


@pytest.mark.parametrize("normalise", [True, False])
def test_the_mean_over_the_windows_is_the_spectrum(normalise):
    series = white(333, 3) * np.exp(-np.arange(333) / 90.0)[:, None]
    windows, averaged = (
        spectrogram(series, normalise=normalise),
        spectrum(series, normalise=normalise),
    )
    assert windows.density.shape == (averaged.segments, 33) == (9, 33)
    np.testing.assert_allclose(windows.density.mean(axis=0), averaged.density, rtol=1e-12)
    np.testing.assert_array_equal(windows.frequencies, averaged.frequencies)
    assert windows.length == averaged.length == 64


def test_a_tone_that_changes_is_seen_when_it_changes():
    series = np.where(STEPS < 256, tone(0.125), tone(0.375))
    found = spectrogram(series, segment=64, hop=16)
    peaks = found.frequencies[found.density.argmax(axis=1)]
    before, after = found.times + 31.5 < 256, found.times - 31.5 >= 256
    assert set(peaks[before]) == {0.125}
    assert set(peaks[after]) == {0.375}
    assert before.sum() == after.sum() == 13


def test_times_are_the_middles_of_the_windows_in_rows_of_the_series_as_given():
    series = np.r_[np.full(10, np.nan), np.zeros(100), np.full(5, np.nan)]
    series[10 + 36 : 10 + 100] = tone(0.25, np.arange(64))
    found = spectrogram(series, segment=64, hop=20, normalise=False)
    np.testing.assert_array_equal(found.times, [10 + 16 + 31.5, 10 + 36 + 31.5])
    assert found.power[-1] == pytest.approx(0.5)
    assert found.power[0] == pytest.approx(0.5 * 44 / 64, rel=0.02)
    assert found.density[-1].argmax() == 16


def test_a_window_of_white_noise_scatters_around_1_by_its_projections():
    found = spectrogram(white(64 * 400, 16), hop=64)
    np.testing.assert_allclose(found.density.mean(axis=0), 1.0, atol=0.08)
    spread = found.density.std(axis=0)
    np.testing.assert_allclose(spread[2:-2], 0.25, rtol=0.15)
    np.testing.assert_allclose(spread[[0, -1]], 2.0**0.5 * 0.25, rtol=0.15)


def test_damping_is_divided_out_of_every_window():
    damping = np.random.default_rng(1).uniform(0.1, 1.0, 512)
    divided = spectrogram(damping * tone(0.1), divide_by=damping)
    np.testing.assert_allclose(divided.density, spectrogram(tone(0.1)).density, atol=1e-9)


def test_short_series_have_one_window_or_none():
    assert spectrogram(np.ones(15)) is None
    found = spectrogram(tone(0.5, np.arange(17)))
    assert (found.times.tolist(), found.length) == ([1 + 7.5], 16)


def test_bad_windows():
    cases = [
        (lambda: spectrogram(STEPS, segment=8), "segment is 8 steps, expected at least 16"),
        (lambda: spectrogram(STEPS, hop=0), "hop is 0 steps, expected at least 1, or None"),
        (lambda: spectrogram(np.ones((9, 0))), r"series has shape \(9, 0\), expected"),
        (lambda: spectral_entropy(np.ones(8)), r"density has shape \(8,\), expected \(\.\.\., F\)"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()


def test_white_noise_has_entropy_1_and_few_averages_less():
    assert spectral_entropy(np.ones(33)) == 1.0
    assert spectral_entropy(spectrum(white(60_000, 4)).density) == pytest.approx(1.0, abs=1e-3)
    one = spectral_entropy(spectrogram(white(64 * 200, 1), hop=64).density)
    assert one.shape == (200,)
    assert one.mean() == pytest.approx(0.85, abs=0.02)


@given(st.floats(0.06, 0.5), st.sampled_from([64, 128, 256]))
@settings(max_examples=50, deadline=None)
def test_one_tone_has_entropy_0_wherever_it_is(frequency, segment):
    found = spectrum(tone(frequency), segment=segment, normalise=False)
    assert spectral_entropy(found.density) == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("segment", [64, 128])
def test_equal_tones_add_the_logarithm_of_their_number(segment):
    # Each further tone apart from the others adds to Shannon's entropy as a further face to a die.
    scale = np.log(segment / 2.0) + (2.0 / 3.0) * np.log(4.0) - np.log(6.0)
    for count in (1, 2, 4):
        bins = np.linspace(segment // 8, 3 * segment // 8, count).astype(int)
        series = np.sum([tone(b / segment) for b in bins], axis=0)
        found = spectrum(series, segment=segment, normalise=False)
        expected = np.log(count) / scale
        assert spectral_entropy(found.density) == pytest.approx(expected, abs=1e-9)


def test_no_power_has_no_entropy():
    found = spectrogram(np.r_[np.zeros(64), tone(0.25)], hop=64)
    entropies = spectral_entropy(found.density)
    assert np.isnan(entropies[0])
    assert entropies[-1] == pytest.approx(0.0, abs=1e-3)
