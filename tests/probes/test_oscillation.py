import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.oscillation import Spectrum, flip_rate, high_frequency_share, spectrum, update_cosine

ALTERNATING = np.where(np.arange(256) % 2, -1.0, 1.0)


def white(steps, columns=8, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, columns))


def descent(rate, steps=60):
    """Gradients of h x^2/2 under gradient descent, rate = lr h."""
    return (1.0 - rate) ** np.arange(steps)


def adamw_on_abs(beta1):
    """Gradients and updates of |x| from 1.5 under torch's AdamW, lr 0.1."""
    x = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([x], lr=0.1, betas=(beta1, 0.999), weight_decay=0.01)
    gradients, updates = [], []
    for _ in range(400):
        before = x.item()
        optimizer.zero_grad()
        x.abs().sum().backward()
        gradients.append(x.grad.item())
        optimizer.step()
        updates.append(x.item() - before)
    return np.array(gradients), np.array(updates)


def peak(found):
    return found.frequencies[found.density.argmax()]


@pytest.mark.parametrize(("rate", "flips"), [(0.1, 0.0), (0.9, 0.0), (1.1, 1.0), (1.9, 1.0)])
def test_gradient_descent_on_a_parabola_flips_never_or_always(rate, flips):
    gradients = descent(rate)
    assert flip_rate(gradients) == flips
    assert flip_rate(np.diff(gradients)) == flips
    cosines = update_cosine(np.diff(gradients)[:, None])
    np.testing.assert_allclose(cosines, 1.0 - 2.0 * flips)


def test_at_lr_h_1_no_pair_is_left():
    assert flip_rate(descent(1.0)) is None


def test_flips_are_pooled_and_the_dead_zone_leaves_pairs_out():
    series = np.array([[1.0, 1.0], [-1.0, 0.05], [1.0, -2.0], [1.0, -2.0]])
    assert flip_rate(series) == 3 / 6
    assert flip_rate(series, dead_zone=0.1) == 2 / 4
    assert flip_rate(series, dead_zone=5.0) is None
    assert flip_rate([1.0]) is None
    assert flip_rate([1.0, np.nan, -1.0, 1.0]) == 1.0
    assert flip_rate(white(20_000)) == pytest.approx(0.5, abs=0.01)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_flips_ignore_scale_sign_and_direction_of_time(values, scale):
    values = np.array(values)
    rate = flip_rate(values, 0.5)
    assert rate is None or 0.0 <= rate <= 1.0
    assert flip_rate(-values, 0.5) == rate
    assert flip_rate(values[::-1], 0.5) == rate
    assert flip_rate(values * 2.0, 1.0) == rate


def test_update_cosine_by_hand():
    updates = [[1.0, 0.0], [1.0, 1.0], [-2.0, -2.0], [0.0, 0.0], [0.0, 3.0]]
    cosines = update_cosine(updates)
    np.testing.assert_allclose(cosines[:2], [0.5**0.5, -1.0])
    assert np.isnan(cosines[2:]).all()
    assert update_cosine([[1.0, 2.0]]).shape == (0,)
    assert np.isnan(update_cosine([[1.0], [np.inf]])).all()


@pytest.mark.parametrize("normalise", [True, False])
def test_white_noise_is_flat_from_0_to_one_half(normalise):
    found = spectrum(white(60_000, 4), normalise=normalise)
    assert found.frequencies[[0, -1]].tolist() == [0.0, 0.5]
    assert len(found.density) == 33
    np.testing.assert_allclose(found.density, 1.0, atol=0.04)
    assert found.power == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("mark", [0.0, 0.05, 0.1, 0.25, 0.4, 0.5])
def test_the_share_of_white_noise_is_what_its_band_is_wide(mark):
    found = spectrum(white(60_000, 4))
    assert high_frequency_share(found, mark) == pytest.approx(1.0 - 2.0 * mark, abs=0.01)


@given(st.floats(0.0, 0.5), st.sampled_from([16, 64, 100]))
def test_the_share_of_a_flat_spectrum_is_exact(mark, length):
    frequencies = np.fft.rfftfreq(length)
    flat = Spectrum(frequencies, np.ones_like(frequencies), 1.0, 1, length)
    assert high_frequency_share(flat, mark) == pytest.approx(1.0 - 2.0 * mark, abs=1e-12)


def test_a_bin_at_the_mark_counts_half():
    tone = np.cos(2.0 * np.pi * np.arange(512) / 4.0)
    assert high_frequency_share(spectrum(tone), 0.25) == pytest.approx(0.5, abs=1e-6)
    assert high_frequency_share(spectrum(tone), 0.1) == pytest.approx(1.0)
    assert high_frequency_share(spectrum(tone), 0.4) == pytest.approx(0.0, abs=1e-6)


def test_a_signal_of_period_2_peaks_at_one_half():
    found = spectrum(ALTERNATING)
    assert peak(found) == 0.5
    assert high_frequency_share(found, 0.25) == pytest.approx(1.0)
    assert (found.segments, found.length, found.power) == (7, 64, 1.0)


def test_a_tone_peaks_at_its_frequency_whatever_its_size():
    steps = np.arange(1000)
    tone = np.sin(2.0 * np.pi * 0.1875 * steps)
    small, large = spectrum(1e-6 * tone), spectrum(1e6 * tone)
    assert peak(small) == peak(large) == 0.1875
    np.testing.assert_allclose(small.density, large.density, rtol=1e-6, atol=1e-12)
    assert small.power == pytest.approx(0.5e-12, rel=1e-3)
    assert large.power == pytest.approx(0.5e12, rel=1e-3)


def test_the_running_rms_keeps_early_decay_from_hiding_a_late_oscillation():
    steps = np.arange(256)
    series = 100.0 * np.exp(-steps / 10.0) + 0.01 * ALTERNATING
    assert peak(spectrum(series)) == 0.5
    assert peak(spectrum(series, normalise=False)) < 0.05


def test_power_adds_up_without_normalisation():
    series = white(20_000, 2, seed=5).cumsum(axis=0)
    series = np.diff(series[::1], axis=0) * 3.0
    found = spectrum(series, normalise=False)
    twice = np.r_[1.0, np.full(31, 2.0), 1.0]
    assert (twice * found.density).sum() / 64 == pytest.approx(found.power, rel=0.02)


def test_the_damping_can_be_divided_out():
    steps = np.arange(400)
    smooth = np.sin(2.0 * np.pi * steps / 64.0)
    damping = np.random.default_rng(1).uniform(0.1, 1.0, 400)
    applied = spectrum(damping * smooth)
    divided = spectrum(damping * smooth, divide_by=damping)
    assert high_frequency_share(applied, 0.1) > 0.05
    assert high_frequency_share(divided, 0.1) < 1e-3
    np.testing.assert_allclose(divided.density, spectrum(smooth).density, rtol=1e-6, atol=1e-9)


def test_adamw_on_abs_chatters_at_the_period_of_its_momentum():
    for series in adamw_on_abs(0.9):
        late = series[100:]
        assert flip_rate(late) == pytest.approx(0.50, abs=0.02)
        assert peak(spectrum(late, segment=256)) == pytest.approx(0.18, abs=0.005)


def test_adamw_without_momentum_flips_at_every_step():
    gradients, _ = adamw_on_abs(0.0)
    assert flip_rate(gradients[100:]) == 1.0
    assert peak(spectrum(gradients[100:], segment=256)) == 0.5


def test_short_series_have_no_spectrum_and_shorter_ones_one_segment():
    assert spectrum(np.ones(15)) is None
    assert spectrum([]) is None
    found = spectrum(ALTERNATING[:17])
    assert (found.segments, found.length) == (1, 16)
    assert peak(found) == 0.5
    assert spectrum(ALTERNATING[:100]).segments == 2


def test_the_latest_steps_take_part():
    series = np.zeros(100)
    series[-4:] = ALTERNATING[:4]
    assert spectrum(series, normalise=False).density.max() > 0.0


def test_a_constant_series_has_no_share():
    assert np.isnan(high_frequency_share(spectrum(np.zeros(64))))


def test_the_end_of_a_diverged_run_is_left_out_and_a_hole_is_refused():
    series = np.r_[np.nan, ALTERNATING, np.inf, np.nan]
    np.testing.assert_allclose(spectrum(series).density, spectrum(ALTERNATING).density, atol=1e-12)
    assert spectrum(np.full(100, np.nan)) is None
    with pytest.raises(ValueError, match="not finite at row 257, expected gaps only at its ends"):
        spectrum(np.r_[np.nan, ALTERNATING, np.nan, 1.0])


def test_bad_values():
    found = spectrum(ALTERNATING)
    cases = [
        (lambda: flip_rate(3.0), r"flip_rate got 0 axes and dead_zone 0\.0, expected a series"),
        (lambda: flip_rate([1.0, 2.0], -1.0), r"dead_zone -1\.0, expected"),
        (lambda: update_cosine([1.0, 2.0]), r"updates have shape \(2,\), expected \(T, P\)"),
        (lambda: spectrum(np.ones((30, 2, 2))), r"series has shape \(30, 2, 2\), expected"),
        (lambda: spectrum(np.ones(30), segment=8), "segment is 8 steps, expected at least 16"),
        (lambda: spectrum(np.ones(30), divide_by=np.ones(3)), r"divide_by has shape \(3,\)"),
        (lambda: high_frequency_share(found, 0.6), r"mark is 0\.6, expected a frequency from 0"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()
