"""Gradient sampling against known subdifferentials, in float64; P and m are in each test."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.distance import pdist

from probes import Objective, clarke, clarke_maps, clarke_scales, min_norm, random_plane
from probes.maps import CLARKE_MEASURES
from probes.plane import Plane

PLANES = torch.tensor([[3.0, 1.0], [-1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64)
SIZES = [1, 2, 5, 10]


def weights(size):
    return torch.arange(1.0, size + 1.0, dtype=torch.float64)


def at(f, theta):
    return Objective.from_function(f, torch.as_tensor(theta, dtype=torch.float64))


def largest_plane(x):
    return (x @ PLANES.T).amax(1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1])
def test_abs_of_a_projection_at_its_kink_m_4p(size, seed):
    # The subdifferential is the segment from -w to w: diameter 2 |w|, and 0 lies in it.
    w = weights(size)
    objective = at(lambda x: (x @ w).abs(), [0.0] * size)
    for found in clarke_scales(objective, objective.theta, samples=4 * size, seed=seed):
        assert found.diameter == pytest.approx(2.0 * w.norm().item(), rel=1e-12)
        assert found.stationarity < 1e-12


@pytest.mark.parametrize("size", SIZES)
def test_l1_at_0_m_4p(size):
    # The subdifferential is the cube [-1, 1]^P: diameter 2 sqrt(P).
    objective = at(lambda x: x.abs().sum(1), [0.0] * size)
    found = clarke(objective, objective.theta, samples=4 * size)
    assert found.diameter == pytest.approx(2.0 * size**0.5, rel=1e-12)
    assert found.stationarity < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_max_of_planes_where_all_meet_p_2_m_16(seed):
    # The convex hull of the three slopes, which holds 0.
    objective = at(largest_plane, [0.0, 0.0])
    found = clarke(objective, objective.theta, samples=16, seed=seed)
    assert found.diameter == pytest.approx(pdist(PLANES).max(), rel=1e-12)
    assert found.stationarity < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_max_of_planes_on_an_edge_p_2_m_8(seed):
    # On y = 4x the first two tie: the segment between (3, 1) and (-1, 2), 7/sqrt(17) from 0.
    objective = at(largest_plane, [0.5, 2.0])
    for found in clarke_scales(objective, objective.theta, delta=0.1, samples=8, seed=seed):
        assert found.diameter == pytest.approx(17.0**0.5, rel=1e-12)
        assert found.stationarity == pytest.approx(7.0 / 17.0**0.5, rel=1e-12)


def test_max_of_planes_off_its_edge_p_2_m_8():
    objective = at(largest_plane, [0.5, 1.0])
    found = clarke(objective, objective.theta, delta=0.1, samples=8)
    assert (found.diameter, found.stationarity) == (0.0, pytest.approx(10.0**0.5))


@pytest.mark.parametrize("size", SIZES)
def test_a_quadratic_shrinks_with_delta_m_8p(size):
    # The gradients over the ball are a ball of radius delta |H|, around the one at theta.
    objective = at(lambda x: 3.0 * x.square().sum(1) / 2.0, [0.4] * size)
    wide, narrow = clarke_scales(objective, objective.theta, delta=0.1, samples=8 * size)
    # The segments along the gradient reach both ends, so that even both bounds are exact.
    assert wide.diameter == pytest.approx(2.0 * 0.1 * 3.0, rel=1e-12)
    assert wide.stationarity == pytest.approx(1.2 * size**0.5 - 0.3, rel=1e-12)
    assert narrow.diameter == pytest.approx(wide.diameter / 4.0, rel=1e-9)
    assert (wide.delta, narrow.delta, wide.samples) == (0.1, 0.025, 8 * size)


def test_a_linear_function_has_one_gradient_p_10_m_40():
    w = weights(10)
    objective = at(lambda x: x @ w, [1.0] * 10)
    found = clarke(objective, objective.theta, delta=1.0, samples=40)
    assert found.diameter < 1e-12
    assert found.stationarity == pytest.approx(w.norm().item(), rel=1e-12)


def test_bounds_lie_on_their_sides_p_6():
    # Fewer gradients span less: a lower diameter and a farther hull.
    w = weights(6)
    objective = at(lambda x: x.abs() @ w + x.square().sum(1), [0.01] * 6)
    true = 2.0 * w.norm().item() + 2.0 * 2.0 * 0.05
    for seed in range(10):
        few = clarke(objective, objective.theta, delta=0.05, samples=4, seed=seed)
        many = clarke(objective, objective.theta, delta=0.05, samples=400, seed=seed)
        assert few.diameter <= many.diameter <= true
        assert few.stationarity >= many.stationarity - 1e-12
    assert many.diameter > 0.9 * true
    assert many.stationarity < 1e-9


def test_segments_find_a_kink_that_the_ball_misses_p_2000_m_32():
    # Half a radius off along the normal: the ball reaches sqrt(2 ln 16 / 2000) = 0.05 of it.
    w = torch.zeros(2000, dtype=torch.float64)
    w[0] = 1.0
    objective = at(lambda x: (x @ w).abs() + 0.5 * x[:, 1], 0.005 * w)
    along_gradient = clarke(objective, objective.theta, delta=0.01)
    assert along_gradient.diameter == pytest.approx(2.0)
    across = at(lambda x: (x @ w).abs() + 100.0 * x[:, 1], 0.005 * w)
    assert clarke(across, across.theta, delta=0.01).diameter == 0.0
    for update in (-3.0 * w, 1e-6 * w):
        found = clarke(across, across.theta, delta=0.01, update=update)
        assert found.diameter == pytest.approx(2.0)


def test_no_sample_lies_farther_than_delta_and_theta_is_left_out():
    seen = []

    def f(x):
        seen.append(x.detach().clone())
        return (x @ weights(3)).abs()

    theta = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    objective = Objective.from_function(f, theta)
    for samples, update in [(2, None), (7, None), (32, None), (33, theta)]:
        seen.clear()
        found = clarke(objective, theta, delta=0.2, samples=samples, update=update)
        points = seen[-1]
        away = torch.linalg.vector_norm(points - theta, dim=1)
        assert len(points) == samples == found.samples
        assert away.max() <= 0.2 * (1.0 + 1e-12)
        assert away.max() == pytest.approx(0.2)
        assert away.min() > 0.0


def test_the_ball_is_uniform_p_3_m_2000():
    # At a zero gradient all samples are in the ball: P(|x| < t delta) = t^3, so mean|x| = 3/4.
    seen = []

    def f(x):
        seen.append(x.detach().clone())
        return 0.0 * x.sum(1)

    objective = at(f, [0.0] * 3)
    clarke(objective, objective.theta, delta=2.0, samples=2000, seed=3)
    lengths = torch.linalg.vector_norm(seen[-1], dim=1) / 2.0
    assert lengths.pow(3).mean().item() == pytest.approx(0.5, abs=0.03)
    assert lengths.mean().item() == pytest.approx(0.75, abs=0.02)
    assert seen[-1].mean(dim=0).abs().max() < 1e-12


def test_it_is_repeatable_and_depends_on_the_seed(objective):
    first = clarke(objective, objective.theta, samples=2, seed=1)
    assert clarke(objective, objective.theta, samples=2, seed=1) == first
    assert clarke(objective, objective.theta, samples=2, seed=2) != first


def test_scales_are_those_of_clarke(objective):
    wide, narrow = clarke_scales(objective, objective.theta, delta=0.2, samples=9, seed=3)
    assert wide == clarke(objective, objective.theta, delta=0.2, samples=9, seed=3)
    assert narrow == clarke(objective, objective.theta, delta=0.05, samples=9, seed=3)


def test_a_gradient_that_is_not_finite_gives_nan():
    objective = at(lambda x: x.sum(1).sqrt(), [-1.0, -1.0])
    found = clarke(objective, objective.theta, delta=0.1)
    assert np.isnan([found.diameter, found.stationarity]).all()


@pytest.mark.parametrize("seed", range(20))
def test_min_norm_against_slsqp(seed):
    rng = np.random.default_rng(seed)
    m, size = rng.integers(2, 9), rng.integers(1, 7)
    g = rng.normal(size=(m, size)) + rng.choice([0.0, 1.0]) * rng.normal(size=size)
    element, w = min_norm(g)
    exact = minimize(
        lambda v: (v @ g) @ (v @ g),
        np.full(m, 1.0 / m),
        jac=lambda v: 2.0 * g @ (v @ g),
        bounds=[(0.0, 1.0)] * m,
        constraints={"type": "eq", "fun": lambda v: v.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-18, "maxiter": 1000},
    )
    assert np.linalg.norm(element) == pytest.approx(np.linalg.norm(exact.x @ g), abs=1e-8)
    assert element == pytest.approx(w @ g, abs=1e-14)
    assert w.min() >= 0.0
    assert w.sum() == pytest.approx(1.0, abs=1e-14)


def test_min_norm_meets_its_optimality_condition_where_gradients_repeat():
    # Sign vectors repeat a lot; the first eight of these stop scipy's nnls early.
    for seed in (115, 301, 430, 889, 1557, 1709, 2362, 5056, *range(100)):
        rng = np.random.default_rng(seed)
        m, size, rank = rng.integers(10, 60), rng.integers(4, 40), rng.integers(1, 5)
        g = rng.normal(size=(m, rank)) @ rng.normal(size=(rank, size)) + rng.normal(size=size)
        g = np.sign(g) * 10.0 ** rng.integers(-8, 8)
        element, _ = min_norm(g)
        scale = np.linalg.norm(g, axis=1).max()
        norm = np.linalg.norm(element) / scale
        missed = norm**2 - (g @ element).min() / scale**2
        assert norm < 1e-10 or missed < 1e-10 * norm, seed


def test_min_norm_by_hand():
    element, w = min_norm(torch.tensor([[3.0, 1.0], [-1.0, 2.0]]))
    assert element == pytest.approx([7.0 / 17.0, 28.0 / 17.0])
    assert w == pytest.approx([6.0 / 17.0, 11.0 / 17.0])
    assert min_norm(np.zeros((2, 3)))[0].tolist() == [0.0] * 3
    assert min_norm(np.array([[2.0, 0.0]]))[1].tolist() == [1.0]


def test_a_map_of_clarke_over_max_of_planes():
    objective = at(largest_plane, [0.0, 0.0])
    plane = Plane(objective.theta, torch.eye(2, dtype=torch.float64), (-1.0, 1.0, -1.0, 1.0))
    *_, made = clarke_maps(objective, plane, 3, delta=0.1, samples=16, seed=0)
    assert tuple(made.values) == CLARKE_MEASURES
    assert (made.done, made.k, made.sigma) == (1.0, 16, 0.1)
    assert made.values["diameter"][1, 1] == pytest.approx(5.0)
    assert made.values["stationarity"][1, 1] == pytest.approx(0.0, abs=1e-12)
    assert made.values["diameter"][1, 0] == pytest.approx(4.0)  # (-1, 0), on the edge y = 0
    assert made.values["diameter_quarter"][1, 0] == pytest.approx(4.0)
    assert made.values["diameter"][2, 2] == 0.0  # (1, 1), inside the first face
    assert made.values["stationarity_quarter"][2, 2] == pytest.approx(10.0**0.5)
    for j, i in ((0, 0), (2, 1)):
        point = torch.tensor([made.a[j], made.b[i]])
        wide, narrow = clarke_scales(objective, point, delta=0.1, samples=16, seed=0)
        assert made.values["diameter"][i, j] == wide.diameter
        assert made.values["stationarity_quarter"][i, j] == narrow.stationarity


def test_bad_values(objective):
    theta = objective.theta
    small = at(lambda x: x.sum(1), [0.0] * 1000)
    small.memory_bytes = 1_000_000
    plane = random_plane(objective, theta, seed=0)
    cases = [
        (lambda: clarke(objective, theta, delta=0.0), ValueError, r"delta is 0\.0, expected a fin"),
        (lambda: clarke(objective, theta, delta=np.nan), ValueError, "delta is nan, expected a fi"),
        (lambda: clarke(objective, theta, samples=1), ValueError, "samples is 1, expected at leas"),
        (lambda: clarke(objective, theta, seed=-1), ValueError, "seed is -1, expected an integer"),
        (lambda: clarke(objective, theta[:3]), ValueError, r"shape \(1, 3\), expected"),
        (lambda: clarke(objective, theta, update=theta[:3]), ValueError, r"shape \(1, 3\), expect"),
        (lambda: clarke(small, small.theta, samples=64), MemoryError, "64 gradients of 1000 param"),
        (lambda: min_norm(np.zeros(3)), ValueError, r"gradients have shape \(3,\), expected \(m"),
        (lambda: min_norm(np.full((2, 2), np.inf)), ValueError, "gradients hold nan or inf"),
        (
            lambda: clarke_maps(objective, plane, 3, delta=-1.0, samples=4, seed=0),
            ValueError,
            r"delta is -1\.0",
        ),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()
