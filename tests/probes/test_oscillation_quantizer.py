import numpy as np
import pytest
import torch

from demo_models.quantizers import levels
from probes.oscillation import OscillationTracker, oscillating_share, quantizer_oscillation


def plain(rows, momentum):
    """The paper's definition, one weight and one step at a time."""
    found = []
    for series in rows.T:
        average, last = 0.0, 0
        for t in range(1, len(series)):
            change = int(np.sign(series[t] - series[t - 1]))
            if t >= 2:  # before, nothing can oscillate
                oscillated = 1.0 if change != 0 and change == -last else 0.0
                average = momentum * oscillated + (1.0 - momentum) * average
            last = change or last
        found.append(average / (1.0 - (1.0 - momentum) ** (len(series) - 2)))
    return np.array(found)


@pytest.mark.parametrize("steps", [3, 4, 30, 1000])
def test_to_and_fro_has_frequency_1_and_a_ramp_0(steps):
    time = np.arange(steps)
    rows = np.stack([time % 2, time, -time, time * 0, 3 * (time % 2)], axis=1)
    np.testing.assert_allclose(quantizer_oscillation(rows), [1.0, 0.0, 0.0, 0.0, 1.0], atol=1e-12)
    assert quantizer_oscillation(time % 2) == pytest.approx(1.0, abs=1e-12)


def test_what_counts_is_the_last_change_however_long_ago():
    up_rest_down_rest = np.tile([1, 1, 1, 0, 0, 0], 400)
    assert quantizer_oscillation(up_rest_down_rest) == pytest.approx(1 / 3, rel=0.02)
    stairs = np.array([0, 0, 1, 1, 2, 2, 3])
    assert quantizer_oscillation(stairs) == 0.0
    two_up_one_down = np.array([0, 1, 2, 1, 2, 3, 2, 3, 4, 3])
    # Changes + + - + + - + + -: the turns are at changes 3, 4, 6, 7 and 9, of 8 that count.
    assert quantizer_oscillation(two_up_one_down, momentum=1e-9) == pytest.approx(5 / 8, rel=1e-6)


@pytest.mark.parametrize("momentum", [0.01, 0.3, 1.0])
def test_it_is_the_papers_definition(momentum):
    rows = np.random.default_rng(0).integers(-2, 2, (200, 40))
    held = np.repeat(rows[:20], 3, axis=0)
    for series in (rows, held, rows[:3]):
        found = quantizer_oscillation(series, momentum=momentum)
        np.testing.assert_allclose(found, plain(series, momentum), rtol=1e-12, atol=1e-15)


def test_it_runs_along_and_continues_from_its_state():
    rows = np.random.default_rng(1).integers(-8, 8, (90, 3, 5))
    tracker = OscillationTracker()
    assert OscillationTracker.restore(tracker.state()).steps == 0
    for at, row in enumerate(rows):
        before = tracker.state()
        tracker.update(row)
        if at == 40:
            kept = {name: np.copy(value) for name, value in before.items()}
            tracker = OscillationTracker.restore(before)
            tracker.update(row)
            tracker.update(rows[41])
            for name, value in kept.items():
                np.testing.assert_array_equal(before[name], value)
            tracker = OscillationTracker.restore(before)
            tracker.update(row)
    np.testing.assert_array_equal(tracker.frequency, quantizer_oscillation(rows))
    assert tracker.steps == 90
    held = sum(part.nbytes for part in tracker.state().values() if isinstance(part, np.ndarray))
    assert held == 11 * 15


def test_it_takes_the_quantizers_own_codes():
    weights = torch.tensor([1.0, 0.3, -0.3, 0.9])
    nudged = weights + torch.tensor([0.0, 0.1, 0.0, 0.0])  # 0.3 rounds to 0, 0.4 to 1
    rows = [levels(weights, 2), levels(nudged, 2)] * 5
    np.testing.assert_allclose(quantizer_oscillation(torch.stack(rows)), [0.0, 1.0, 0.0, 0.0])


def test_a_run_that_diverged_has_no_frequency_and_no_share():
    rows = np.tile([[0.0, 0.0], [1.0, 0.0]], (5, 1))
    rows[6, 0] = np.nan
    frequency = quantizer_oscillation(rows)
    assert np.isnan(frequency[0])
    assert frequency[1] == 0.0
    np.testing.assert_array_equal(oscillating_share(frequency), [0.0])
    np.testing.assert_array_equal(oscillating_share(frequency, [(0, 1), (1, 2)]), [np.nan, 0.0])


def test_fewer_than_three_rows_have_no_frequency():
    assert np.isnan(quantizer_oscillation([[0], [1]])).all()
    assert OscillationTracker().frequency.shape == (0,)


def test_shares_layer_by_layer_for_several_runs():
    frequency = np.array([[0.0, 0.004, 0.006, 1.0], [0.1, 0.1, 0.1, 0.005]])
    shares = oscillating_share(frequency, [(0, 2), (2, 4), (0, 4)])
    np.testing.assert_allclose(shares, [[0.0, 1.0, 0.5], [1.0, 0.5, 0.75]])
    np.testing.assert_allclose(oscillating_share(frequency, threshold=0.05), [[0.25], [0.75]])
    assert oscillating_share(frequency, []).shape == (2, 0)


def test_one_oscillation_passes_the_threshold_for_70_steps():
    rows = np.zeros(2000, dtype=int)
    rows[-120:] = 1
    turn = 1970
    rows[turn:] = 0
    for age in (0, 10, 29):
        assert oscillating_share(quantizer_oscillation(rows[: turn + 1 + age, None])) == [1.0]
    longer = np.r_[rows, np.zeros(60, dtype=int)]
    passes = [
        bool(oscillating_share(quantizer_oscillation(longer[: turn + 1 + age, None])) == [1.0])
        for age in (67, 68, 69, 70)
    ]
    assert passes == [True, True, False, False]


def test_bad_values():
    tracker = OscillationTracker()
    tracker.update([1, 2])
    state = tracker.state()
    without = {name: value for name, value in state.items() if name != "levels"}
    cases = [
        (lambda: OscillationTracker(0.0), r"momentum is 0\.0, expected above 0 and at most 1"),
        (lambda: tracker.update([1, 2, 3]), r"levels have shape \(3,\), expected \(2,\) as before"),
        (lambda: tracker.update([0.5, 1.0]), "levels are not whole numbers in -32768..32767"),
        (lambda: tracker.update([40_000, 1]), "levels are not whole numbers in -32768..32767"),
        (lambda: quantizer_oscillation(3), r"levels have shape \(\), expected \(T, \.\.\.\)"),
        (lambda: OscillationTracker.restore(without), "The state lacks 'levels', expected one"),
        (
            lambda: OscillationTracker.restore(state | {"average": np.zeros(3)}),
            "The state holds 1 steps of arrays of 2 shapes, expected one from",
        ),
        (lambda: oscillating_share([0.1], [(0, 2)]), r"The span \(0, 2\) is no part of 1 weights"),
        (lambda: oscillating_share([0.1], [(0, 0)]), r"The span \(0, 0\) is no part of 1 weights"),
        (lambda: oscillating_share([0.1], threshold=-1.0), r"threshold is -1\.0, expected 0"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()
    assert tracker.state()["levels"].tolist() == [1, 2]
    assert tracker.steps == 1
