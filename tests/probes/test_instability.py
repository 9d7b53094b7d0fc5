import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.integrate import quad
from scipy.special import iv

from probes import Objective, instability, instability_map, instability_maps, random_plane
from probes.directions import draw_directions, normalize_directions
from probes.instability import MEASURES, asymmetry, lgi, mean_damping_on_slope, variance

numbers = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6)
shapes = arrays.array_shapes(min_dims=1, max_dims=3, max_side=9)
many = arrays.arrays(np.float64, shapes, elements=numbers)


@given(many, st.sampled_from([0.0, 1e-6, 1.0]))
@settings(max_examples=200, deadline=None)
def test_lgi_lies_between_0_and_k_over_k_minus_1(values, zeta):
    differences = torch.as_tensor(values)
    k = differences.shape[-1]
    rho = lgi(differences, zeta)
    constant = (differences == 0.0).all(dim=-1)
    assert rho.shape == differences.shape[:-1]
    assert (rho[~constant] >= 0.0).all()
    assert (rho[~constant] <= (k / (k - 1) if k > 1 else 0.0) + 1e-12).all()
    assert torch.equal(rho.isnan(), constant & (zeta == 0.0))


@given(arrays.arrays(np.float64, (5,), elements=numbers), st.floats(1e-3, 1e3), st.booleans())
@settings(max_examples=100, deadline=None)
def test_without_zeta_lgi_ignores_scale_and_sign(values, scale, negative):
    differences = torch.as_tensor(values)
    factor = -scale if negative else scale
    torch.testing.assert_close(
        lgi(factor * differences, 0.0), lgi(differences, 0.0), equal_nan=True, rtol=1e-9, atol=1e-12
    )


@given(st.floats(-100, 100), st.floats(0.01, 100), st.integers(0, 50))
@settings(max_examples=50, deadline=None)
def test_without_zeta_lgi_of_an_objective_ignores_shift_and_scale(shift, scale, seed):
    theta = torch.linspace(-1, 1, 12, dtype=torch.float64)

    def bent(x):
        return x.sin().sum(dim=1) + x.abs().sum(dim=1)

    plain = Objective.from_function(bent, theta)
    moved = Objective.from_function(lambda x: scale * bent(x) + shift, theta)
    first = instability(plain, theta, k=4, seed=seed, zeta=0.0)
    second = instability(moved, theta, k=4, seed=seed, zeta=0.0)
    assert second.lgi == pytest.approx(first.lgi, rel=1e-6)
    assert second.asymmetry == pytest.approx(first.asymmetry, rel=1e-6, abs=1e-9)


@given(many, st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_asymmetry_lies_between_0_and_1(values, seed):
    forward = torch.as_tensor(values)
    mix = torch.randn(forward.shape, generator=torch.Generator().manual_seed(seed)).double()
    backward = -forward * mix
    measured = asymmetry(forward, backward)
    defined = ~measured.isnan()
    assert ((measured >= 0.0) & (measured <= 1.0 + 1e-12))[defined].all()
    assert torch.equal(~defined, (forward == 0.0).all(dim=-1))
    torch.testing.assert_close(asymmetry(backward, forward), measured, equal_nan=True)


def test_measures_by_hand():
    differences = torch.tensor([[1.0, 2.0, 3.0, 6.0], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
    assert variance(differences).tolist() == pytest.approx([14.0 / 3.0, 0.0])
    assert lgi(differences, 0.5).tolist() == pytest.approx([14.0 / 3.0 / 13.0, 0.0])
    forward, backward = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 2.0])
    assert asymmetry(forward, backward).item() == pytest.approx(4.0 / 8.0)
    assert asymmetry(forward, -forward).item() == 0.0
    assert asymmetry(forward, forward).item() == 1.0


def test_one_direction_has_no_variance():
    one = torch.tensor([[3.0], [-4.0]])
    assert lgi(one).tolist() == [0.0, 0.0]
    assert variance(one).tolist() == [0.0, 0.0]


def test_instability_is_what_the_formula_says(objective):
    sigma, k = 0.05, 6
    raw = draw_directions(k, objective.layout, seed=11, dtype=torch.float64)
    centre = objective.loss(objective.theta)
    for sphere in ("tensor", "global"):
        found = instability(objective, objective.theta, k=k, sigma=sigma, sphere=sphere, seed=11)
        u = normalize_directions(raw, objective.layout, sphere)
        plus = torch.stack([objective.loss(objective.theta + sigma * d) for d in u])
        minus = torch.stack([objective.loss(objective.theta - sigma * d) for d in u])
        forward, backward = (plus - centre) / sigma, (minus - centre) / sigma
        torch.testing.assert_close(
            found.differences, torch.stack((forward, backward)), rtol=1e-9, atol=1e-12
        )
        mean = forward.mean()
        var = (forward - mean).square().sum() / (k - 1)
        assert found.variance == pytest.approx(var.item(), rel=1e-9)
        assert found.lgi == pytest.approx((var / (forward.square().mean() + 1e-6)).item(), rel=1e-9)
        assert found.asymmetry == pytest.approx(asymmetry(forward, backward).item(), rel=1e-6)


def test_instability_is_repeatable_and_depends_on_the_seed(objective):
    first = instability(objective, objective.theta, seed=1)
    assert torch.equal(
        instability(objective, objective.theta, seed=1).differences, first.differences
    )
    assert instability(objective, objective.theta, seed=2).lgi != first.lgi


def test_a_small_memory_budget_changes_nothing(mlp, batch, objective):
    small = Objective.from_module(mlp, torch.nn.functional.cross_entropy, batch, memory_mb=0.005)
    a = instability(small, small.theta, k=20)
    b = instability(objective, objective.theta, k=20)
    assert small.points_in_budget == 8
    torch.testing.assert_close(a.differences, b.differences, rtol=1e-9, atol=1e-12)


def test_a_map_equals_the_measures_at_each_point(objective):
    plane = random_plane(objective, objective.theta, seed=2)
    *_, made = instability_maps(objective, plane, 4, k=3, sigma=0.1, seed=5, block=3)
    a, b = plane.grid(4)
    assert tuple(made.values) == MEASURES
    assert (made.a.tolist(), made.b.tolist(), made.done) == (a.tolist(), b.tolist(), 1.0)
    assert (made.k, made.sigma) == (3, 0.1)
    for i in range(4):
        for j in range(4):
            point = plane.origin + a[j] * plane.axes[0] + b[i] * plane.axes[1]
            there = instability(objective, point, k=3, sigma=0.1, seed=5)
            for name in MEASURES:
                expected = pytest.approx(getattr(there, name), rel=1e-8, abs=1e-12)
                assert made.values[name][i, j] == expected
    for name in MEASURES:
        alone = instability_map(objective, plane, 4, measure=name, k=3, sigma=0.1, seed=5)
        np.testing.assert_allclose(alone, made.values[name], rtol=1e-8, atol=1e-12)


def test_a_map_shows_progress_in_copies_and_can_be_closed(objective):
    plane = random_plane(objective, objective.theta, seed=2)
    calls = []
    original = objective.losses
    objective.losses = lambda points: (calls.append(len(points)), original(points))[1]
    maps = instability_maps(objective, plane, 3, k=2, sigma=0.1, seed=0, block=4)
    first = next(maps)
    next(maps)
    maps.close()
    assert first.done == 4 / 9
    assert np.isnan(first.values["lgi"]).sum() == 5
    assert calls == [20, 20]
    assert list(maps) == []


def test_smooth_rounded_and_kinked_ground_look_different_in_asymmetry(rounded, batch, objective):
    loss = torch.nn.functional.cross_entropy
    steps = Objective.from_module(rounded, loss, batch)
    smooth = instability(objective, objective.theta, sigma=1e-3)
    assert smooth.asymmetry < 0.01
    assert instability(steps, steps.theta, sigma=0.1).asymmetry > 0.2


@pytest.mark.parametrize(("k", "mean"), [(1, 1.0), (2, 0.3085), (8, 0.1451)])
def test_mean_damping_on_a_slope(k, mean):
    assert mean_damping_on_slope(k, 2.0) == pytest.approx(mean, abs=5e-5)


def test_mean_damping_of_two_directions_is_a_bessel_function():
    for strength in (0.0, 0.5, 2.0, 7.0):
        expected = math.exp(-strength) * iv(0, strength)
        assert mean_damping_on_slope(2, strength) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [3, 8, 64])
def test_mean_damping_is_the_mean_under_its_beta_law(k):
    # Beta((k-1)/2, 1/2) with x = sin^2 t has the density sin^(k-2) t.
    weight = quad(lambda t: math.sin(t) ** (k - 2), 0.0, math.pi / 2)[0]
    value = quad(
        lambda t: math.exp(-2.0 * k / (k - 1) * math.sin(t) ** 2) * math.sin(t) ** (k - 2),
        0.0,
        math.pi / 2,
    )[0]
    assert mean_damping_on_slope(k, 2.0) == pytest.approx(value / weight, rel=1e-9)


def test_bad_values(objective, bowl):
    plane = random_plane(objective, objective.theta, seed=0)
    theta = objective.theta
    cases = [
        (lambda: instability(objective, theta, k=0), ValueError, "k is 0, expected at least 1"),
        (lambda: instability(objective, theta, sigma=0.0), ValueError, r"sigma is 0\.0, expected"),
        (lambda: instability(objective, theta, sigma=math.nan), ValueError, "sigma is nan, expect"),
        (lambda: instability(objective, theta[:3]), ValueError, r"shape \(1, 3\), expected"),
        (
            lambda: instability_map(objective, plane, 3, measure="hue"),
            ValueError,
            "measure is 'hue'",
        ),
        (lambda: instability_map(bowl, plane, 3), ValueError, "The plane has 75 parameters"),
        (lambda: instability_map(objective, plane, 10_000), MemoryError, "10000 needs 4.8 GB"),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()
