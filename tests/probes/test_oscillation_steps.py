import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.oscillation import cockpit_alpha, path_efficiency, path_length, total_variation


def along(f, slope, start, step):
    """The four observations of a function of one variable along a step."""
    return f(start), f(start + step), slope(start) * step, slope(start + step) * step


@given(st.floats(0.05, 1.95), st.floats(1e-3, 1e3), st.floats(0.1, 10.0))
@settings(max_examples=100, deadline=None)
def test_gradient_descent_on_a_parabola_has_alpha_lr_h_less_1(rate, curvature, start):
    step = -rate * start  # lr = rate / curvature
    seen = along(lambda x: curvature * x**2 / 2.0, lambda x: curvature * x, start, step)
    assert cockpit_alpha(*seen) == pytest.approx(rate - 1.0, abs=1e-9)
    shifted = (seen[0] + 0.7 * curvature, seen[1] + 0.7 * curvature, seen[2], seen[3])
    assert cockpit_alpha(*shifted) == pytest.approx(rate - 1.0, abs=1e-9)
    weights = (0.3, 2.0, 0.7, 5.0)
    assert cockpit_alpha(*seen, variances=weights) == pytest.approx(rate - 1.0, abs=1e-9)


def test_alpha_along_a_run_of_an_objective(bowl):
    """On |x|^2/2 a step to (1 - r) x has alpha r - 1, whatever the direction of x."""
    rates = np.array([0.0001, 0.5, 1.0, 1.5, 2.0, 2.5])
    before = torch.tensor([[3.0, -4.0]], dtype=torch.float64).expand(6, 2)
    after = before * torch.tensor(1.0 - rates)[:, None]
    f0, g0 = bowl.losses_and_gradients(before)
    f1, g1 = bowl.losses_and_gradients(after)
    update = after - before
    alpha = cockpit_alpha(f0, f1, (g0 * update).sum(1), (g1 * update).sum(1))
    np.testing.assert_allclose(alpha, rates - 1.0, atol=1e-8)


def test_the_fit_is_the_weighted_least_squares_of_all_four():
    generator = np.random.default_rng(2)
    seen, variances = generator.standard_normal((4, 50)), generator.uniform(0.1, 3.0, (4, 50))
    seen[2] -= 3.0
    rows = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    expected = []
    for y, variance in zip(seen.T, variances.T, strict=True):
        weight = variance**-0.5
        (a, b, _), *_ = np.linalg.lstsq(rows * weight[:, None], y * weight, rcond=None)
        expected.append(-1.0 if a < 0.0 else -2.0 * a / b - 1.0)
    np.testing.assert_allclose(cockpit_alpha(*seen, variances=tuple(variances)), expected)
    assert not np.allclose(cockpit_alpha(*seen), expected)


def test_alpha_where_there_is_no_minimum_ahead():
    line = (1.0, 0.7, -0.3, -0.3)
    assert cockpit_alpha(*line) == pytest.approx(-1.0)
    concave = along(lambda x: -(x**2), lambda x: -2.0 * x, 1.0, 0.3)
    assert cockpit_alpha(*concave) == -1.0
    uphill = along(lambda x: x**2 / 2.0, lambda x: x, 1.0, 0.5)
    assert cockpit_alpha(*uphill) == pytest.approx(-1.5)
    from_minimum = along(lambda x: x**2 / 2.0, lambda x: x, 0.0, 0.3)
    assert cockpit_alpha(*from_minimum) == np.inf
    assert np.isnan(cockpit_alpha(1.0, 1.0, 0.0, 0.0))
    assert np.isnan(cockpit_alpha(1.0, np.nan, -1.0, 0.0))
    assert np.isnan(cockpit_alpha(1.0, np.inf, -1.0, np.nan))


def test_a_variance_of_0_is_refused():
    with pytest.raises(ValueError, match="A variance is 0 or below, expected all four above 0"):
        cockpit_alpha(1.0, 0.5, -1.0, 0.0, variances=(1.0, 0.0, 1.0, 1.0))


def test_total_variation_by_hand():
    assert total_variation([3.0, 1.0, 2.0, -1.0]) == 6.0
    assert total_variation(np.linspace(5.0, 2.0, 40)) == pytest.approx(3.0)
    # A cosine of n whole periods sampled at its turning points goes 2 up and 2 down in each.
    assert total_variation(np.cos(np.pi * np.arange(21) / 2.0)) == pytest.approx(20.0)
    curves = np.array([[1.0, 1.0, 0.0], [0.0, np.inf, 0.0], [1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(total_variation(curves), [2.0, np.nan, 0.0])
    assert total_variation([7.0]) == 0.0


def test_the_efficiency_of_known_paths():
    line = np.linspace(0.0, 1.0, 9)[:, None] * np.array([3.0, 4.0])
    assert (path_length(line), path_efficiency(line)) == (pytest.approx(5.0), 1.0)
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    assert (path_length(square), path_efficiency(square)) == (4.0, 0.0)
    corner = square[:3]
    assert path_efficiency(corner) == pytest.approx(2.0**0.5 / 2.0)
    # Half a circle: pi r gone, 2 r made.
    angle = np.linspace(0.0, np.pi, 20_001)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert path_efficiency(arc) == pytest.approx(2.0 / np.pi, rel=1e-7)
    both = np.stack([np.r_[line[:4], line[3:4]], square], axis=1)
    np.testing.assert_allclose(path_efficiency(both), [1.0, 0.0], atol=1e-15)


def test_a_random_walk_has_the_efficiency_of_its_number_of_steps():
    steps = np.random.default_rng(0).standard_normal((100, 20_000))
    assert path_efficiency(np.r_[steps[:1] * 0.0, steps.cumsum(0)]) == pytest.approx(0.1, rel=0.03)


def test_a_known_length_needs_only_the_ends():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    lengths = np.linalg.norm(np.diff(square, axis=0), axis=1)
    ends = square[[0, -1]]
    assert path_efficiency(ends, lengths.sum()) == path_efficiency(square) == pytest.approx(1 / 3)
    assert path_efficiency(ends) == 1.0
    with pytest.raises(ValueError, match=r"2 times as long as the path, expected at most 1"):
        path_efficiency(ends, 0.5)


def test_paths_without_length_or_end_have_no_efficiency():
    assert np.isnan(path_efficiency(np.ones((5, 2))))
    assert np.isnan(path_efficiency([[0.0], [np.nan], [1.0]]))
    assert np.isnan(path_length([[0.0], [np.inf], [1.0]]))


@given(st.integers(0, 10_000), st.floats(0.01, 100.0))
@settings(max_examples=50, deadline=None)
def test_efficiency_is_at_most_1_and_blind_to_size_turns_and_the_way_round(seed, scale):
    generator = np.random.default_rng(seed)
    path = generator.standard_normal((12, 3)).cumsum(axis=0)
    turn, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    efficiency = path_efficiency(path)
    assert 0.0 <= efficiency <= 1.0
    assert path_efficiency(scale * path @ turn + 1.0) == pytest.approx(efficiency)
    assert path_efficiency(path[::-1]) == pytest.approx(efficiency)
    assert path_length(path[::3]) <= path_length(path[:10]) * (1.0 + 1e-12)


def test_bad_shapes():
    cases = [
        (lambda: total_variation(3.0), r"losses has shape \(\), expected \(T, \.\.\.\)"),
        (lambda: path_length([1.0, 2.0]), r"path has shape \(2,\), expected \(T, \.\.\., P\)"),
        (lambda: path_efficiency(np.ones((0, 3))), r"path has shape \(0, 3\), expected"),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()
