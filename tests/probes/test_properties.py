"""What holds for every function, scale, shift and draw: properties of the instruments."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from probes import Objective, clarke_scales, instability, min_norm, roughness_curves
from probes.instability import asymmetry, lgi

numbers = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6)
shapes = arrays.array_shapes(min_dims=1, max_dims=3, max_side=9)
many = arrays.arrays(np.float64, shapes, elements=numbers)
scales, shifts, seeds = st.floats(0.01, 100), st.floats(-100, 100), st.integers(0, 50)
THETA = torch.linspace(-1, 1, 12, dtype=torch.float64)


def bent(x):
    return (x.sin() + x.abs() + 0.1 * (10.0 * x).cos()).sum(dim=1)


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


@given(shifts, scales, seeds, st.integers(1, 8), st.sampled_from([0.1, 0.2]))
@settings(max_examples=60, deadline=None)
def test_without_zeta_no_measure_of_an_objective_sees_shift_and_scale(shift, scale, seed, k, sigma):
    # A shift of 100 costs eps 100 / 0.01 = 2e-12 of a loss, and Delta2 and Delta4 exceed 1e-5.
    plain = Objective.from_function(bent, THETA)
    moved = Objective.from_function(lambda x: scale * bent(x) + shift, THETA)
    first = instability(plain, THETA, k=k, sigma=sigma, seed=seed, zeta=0.0)
    second = instability(moved, THETA, k=k, sigma=sigma, seed=seed, zeta=0.0)
    assert first.holder is not None
    assert first.roughness is not None
    assert second.lgi == pytest.approx(first.lgi, rel=1e-6, abs=1e-9)
    assert second.variance == pytest.approx(scale**2 * first.variance, rel=1e-6, abs=1e-12)
    assert second.asymmetry == pytest.approx(first.asymmetry, rel=1e-6, abs=1e-9)
    assert second.holder == pytest.approx(first.holder, rel=1e-5)
    assert second.roughness == pytest.approx(first.roughness, rel=1e-5)


@given(st.floats(0.1, 3.5), st.integers(1, 6), st.integers(1, 4), seeds)
@settings(max_examples=60, deadline=None)
def test_the_holder_exponent_of_a_power_at_0_is_the_power(alpha, size, k, seed):
    objective = Objective.from_function(
        lambda x: torch.linalg.vector_norm(x, dim=1) ** alpha, torch.zeros(size).double()
    )
    curves = roughness_curves(
        objective, objective.theta[None], radii=(0.01, 0.03, 0.1), k=k, seed=seed
    )
    assert curves.holder[0] == pytest.approx(alpha, abs=1e-9)


@given(shifts, scales, seeds, st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_clarke_scales_with_the_function(shift, scale, seed, samples):
    plain = Objective.from_function(bent, THETA)
    moved = Objective.from_function(lambda x: scale * bent(x) + shift, THETA)
    pairs = zip(
        clarke_scales(plain, THETA, delta=0.3, samples=samples, seed=seed),
        clarke_scales(moved, THETA, delta=0.3, samples=samples, seed=seed),
        strict=True,
    )
    for first, second in pairs:
        assert second.diameter == pytest.approx(scale * first.diameter, rel=1e-9)
        assert second.stationarity == pytest.approx(scale * first.stationarity, rel=1e-6)


matrices = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 8), st.integers(1, 6)), elements=numbers
)


@given(matrices, st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_the_smallest_element_lies_in_the_hull_and_below_each_gradient(gradients, scale):
    element, weights = min_norm(gradients)
    largest = np.linalg.norm(gradients, axis=1).max()
    norm = np.linalg.norm(element)
    assert norm <= np.linalg.norm(gradients, axis=1).min() + 1e-9 * largest
    assert weights.min() >= 0.0
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert element == pytest.approx(weights @ gradients)
    scaled, _ = min_norm(scale * gradients)
    assert scaled == pytest.approx(scale * element, abs=1e-6 * scale * largest)
