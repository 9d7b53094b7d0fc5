import math

import pytest
import torch
from scipy.integrate import quad
from scipy.special import iv

from probes import Objective, instabilities, instability, roughness_curves
from probes.directions import draw_directions, normalize_directions
from probes.instability import MEASURES, asymmetry, lgi, mean_damping_on_slope, variance


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


def test_holder_and_roughness_are_those_of_the_curves(objective):
    found = instability(objective, objective.theta, k=5, sigma=0.1, seed=3)
    point = objective.theta[None]
    curves = roughness_curves(objective, point, radii=(0.1, 0.2, 0.4), k=5, seed=3)
    assert found.holder == pytest.approx(curves.holder[0], rel=1e-9)
    assert found.roughness == pytest.approx(curves.roughness[0], rel=1e-9)
    assert found.curves.radii.tolist() == [0.1, 0.2, 0.4]
    assert found.curves.second == pytest.approx(curves.second, abs=1e-14)
    other = instability(objective, objective.theta, k=5, sigma=0.1, seed=3, radii=(0.3, 0.7))
    assert other.curves.radii.tolist() == [0.3, 0.7]
    assert torch.equal(other.differences, found.differences)
    assert other.roughness == pytest.approx(other.curves.ratio[0, 0])


def test_what_is_not_resolved_is_none(mlp, batch):
    loss = torch.nn.functional.cross_entropy
    single = Objective.from_module(mlp, loss, batch, dtype=torch.float32)
    found = instability(single, single.theta, sigma=1e-3)
    assert (found.holder, found.roughness) == (None, None)
    assert 0.0 < found.lgi < 8 / 7
    larger = instability(single, single.theta, sigma=0.03)
    assert larger.holder == pytest.approx(2.0, abs=0.05)
    assert larger.roughness is None


def test_many_points_share_their_directions(objective, around):
    points = around(objective, 4)
    found = instabilities(objective, points, k=3, sigma=0.1, seed=5, zeta=0.0, sphere="global")
    assert tuple(found) == MEASURES
    for i, point in enumerate(points):
        alone = instability(objective, point, k=3, sigma=0.1, seed=5, zeta=0.0, sphere="global")
        for name in MEASURES:
            assert found[name][i] == pytest.approx(getattr(alone, name), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(
    ("measures", "evaluations"),
    [
        (("lgi",), 5),
        (("variance", "lgi"), 5),
        (("asymmetry",), 9),
        (("lgi", "variance", "asymmetry"), 9),
        (("roughness",), 9 * 4 + 1),
        (("holder",), 13 * 4 + 1),
        (MEASURES, 13 * 4 + 1),
    ],
)
def test_a_measure_pays_only_for_what_it_needs(objective, measures, evaluations):
    counted = []
    original = objective.losses
    objective.losses = lambda points: (counted.append(len(points)), original(points))[1]
    points = objective.theta.expand(2, -1)
    found = instabilities(objective, points, measures=measures, k=4, sigma=0.1)
    assert counted == [2 * evaluations]
    every = instabilities(objective, points, k=4, sigma=0.1)
    assert tuple(found) == measures
    for name in measures:
        assert found[name] == pytest.approx(every[name], rel=1e-9, abs=1e-14)


def test_bad_values(objective):
    theta = objective.theta
    cases = [
        (lambda: instability(objective, theta, k=0), ValueError, "k is 0, expected at least 1"),
        (lambda: instability(objective, theta, sigma=0.0), ValueError, r"sigma is 0\.0, expected"),
        (lambda: instability(objective, theta, sigma=math.nan), ValueError, "sigma is nan, expect"),
        (lambda: instability(objective, theta, zeta=-1.0), ValueError, r"zeta is -1\.0, expected"),
        (
            lambda: instability(objective, theta, radii=(0.2, 0.1)),
            ValueError,
            r"radii are \(0\.2, ",
        ),
        (lambda: instability(objective, theta[:3]), ValueError, r"shape \(1, 3\), expected"),
        (
            lambda: instabilities(objective, theta[None], measures=("lgi", "hue")),
            ValueError,
            "measure is 'hue', expected one of lgi, variance, asymmetry, holder, roughness",
        ),
        (
            lambda: instabilities(objective, theta[None], measures=()),
            ValueError,
            "measures are empty, expected some of lgi",
        ),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()
