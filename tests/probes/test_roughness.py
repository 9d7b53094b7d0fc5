"""Roughness R4, the Hölder exponent and the noise that bounds them, against known answers.

float64, and radii 0.01, 0.02, 0.04 unless said otherwise; P and k are in each test.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from demo_models.data import DATA_SETS
from demo_models.networks import build
from demo_models.scenario import NetworkSpec
from probes import Objective, roughness_curves
from probes.directions import draw_directions, normalize_directions

RADII = (0.01, 0.02, 0.04)
LOSS = nn.functional.cross_entropy


def at(f, theta, *, dtype=torch.float64, **settings):
    point = torch.as_tensor(theta, dtype=dtype)
    objective = Objective.from_function(f, point)
    return roughness_curves(objective, point[None], **{"radii": RADII, **settings})


SINGULAR = {
    "kink": (lambda x: x[:, 0].abs(), 1.0),
    "jump": (lambda x: (x[:, 0] >= 0.0).to(x), 0.0),
    "root": (lambda x: x[:, 0].abs().sqrt(), 0.5),
    "power": (lambda x: x[:, 0].abs() ** 1.5, 1.5),
    "parabola": (lambda x: x[:, 0].square(), 2.0),
}


@pytest.mark.parametrize("name", SINGULAR)
@pytest.mark.parametrize("theta", [[0.0], [0.0, 1.0, -2.0, 3.0, 0.5]], ids=["P1", "P5"])
@pytest.mark.parametrize("k", [1, 8])
def test_holder_at_a_singularity_is_its_exponent(name, theta, k):
    # |x|^alpha scales as r^alpha, so Delta2 does, and the slope is alpha for every k and P.
    f, alpha = SINGULAR[name]
    curves = at(f, theta, k=k, radii=(1e-4, 1e-3, 0.01, 0.02, 0.04))
    assert curves.holder[0] == pytest.approx(alpha, abs=1e-12)
    assert curves.local_holder[0] == pytest.approx([alpha] * 4, abs=1e-12)
    assert curves.second_resolved.all()


def test_a_smooth_quadratic_has_exponent_2_p_40_k_8():
    # Exact but for rounding: eps f / Delta2 = 2e-16 * 60 / 1e-4.
    assert at(lambda x: x.square().sum(1), [1.2] * 40).holder[0] == pytest.approx(2.0, abs=1e-8)


def test_a_gelu_net_has_exponent_2_p_75_k_8(objective, around):
    curves = roughness_curves(objective, around(objective, 6), radii=RADII)
    assert curves.holder == pytest.approx(np.full(6, 2.0), abs=0.005)
    assert curves.local_holder == pytest.approx(np.full((6, 2), 2.0), abs=0.005)


def test_roughness_of_a_kink_a_jump_and_a_power_on_a_slope_p_1():
    # By hand, u = +-1: Delta4 of |x|, x >= 0 and x^4 is -2r, 3 and 1.5 r^4.
    r = np.array(RADII)
    kink = at(lambda x: x[:, 0].abs() + 3.0 * x[:, 0], [0.0])
    assert kink.ratio[0] == pytest.approx([1 / 3] * 3, rel=1e-12)
    jump = at(lambda x: (x[:, 0] >= 0.0) + 2.0 * x[:, 0], [0.0])
    assert jump.ratio[0] == pytest.approx(3.0 / (1.0 + 4.0 * r), rel=1e-12)
    power = at(lambda x: x[:, 0] ** 4 + x[:, 0], [0.0])
    assert power.ratio[0] == pytest.approx(0.75 * r**3, rel=1e-6)
    assert kink.roughness[0] == kink.ratio[0, 0]


def test_differences_are_what_the_formula_says(objective):
    curves = roughness_curves(objective, objective.theta[None], radii=(0.1, 0.15), k=3, seed=4)
    raw = draw_directions(3, objective.layout, seed=4, dtype=torch.float64)

    def f(offset):
        return objective.loss(objective.theta + offset).item()

    for i, u in enumerate(normalize_directions(raw, objective.layout)):
        for j, r in enumerate((0.1, 0.15)):
            second = f(r * u) - 2.0 * f(0.0 * u) + f(-r * u)
            inner = f(r / 2 * u) + f(-r / 2 * u)
            fourth = f(r * u) + f(-r * u) - 4.0 * inner + 6.0 * f(0.0 * u)
            slope = f(r * u) - f(-r * u)
            assert curves.second[0, i, j] == pytest.approx(second, abs=1e-14)
            assert curves.fourth[0, i, j] == pytest.approx(fourth, abs=1e-14)
            assert curves.slope[0, i, j] == pytest.approx(slope, abs=1e-14)
    mean = np.abs(curves.fourth[0]).mean(axis=0)
    assert curves.mean_fourth[0].tolist() == mean.tolist()
    assert curves.ratio[0] == pytest.approx(mean / np.abs(curves.slope[0]).mean(axis=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 40, 1000])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_a_linear_function_is_never_resolved(dtype, size, shift):
    weights = torch.randn(size, generator=torch.Generator().manual_seed(size)).to(dtype)
    points = torch.randn(20, size, generator=torch.Generator().manual_seed(1)).to(dtype)
    points[0] = 0.0
    objective = Objective.from_function(lambda x: x @ weights + shift, points[0])
    for k in (1, 2, 8):
        curves = roughness_curves(objective, points, radii=(1e-3, 0.01, 0.1, 1.0), k=k)
        assert not curves.second_resolved.any()
        assert not curves.fourth_resolved.any()
        for unresolved in (curves.ratio, curves.local_holder, curves.holder, curves.roughness):
            assert np.isnan(unresolved).all()


def test_a_steep_line_from_a_small_loss_is_not_resolved():
    # The losses at +-r are a thousand times f(theta), and so are their roundings.
    assert not at(lambda x: 1e6 * x[:, 0], [1e-3], radii=(0.3, 1.0)).second_resolved.any()


def test_at_theta_0_the_noise_is_sought_at_the_radius():
    # The losses cancel to 0, and their roundings are those of 1000.
    curves = at(lambda x: (x.sum(1) + 1000.0) - 1000.0, [0.0] * 3, radii=(0.01, 0.1, 1.0))
    assert 1e-14 < curves.noise[0, 0] < 1e-12
    assert not curves.second_resolved.any()


@pytest.mark.parametrize("theta", [[0.0, 0.0], [1.0, 2.0]])
def test_a_constant_is_not_resolved(theta):
    for level in (0.0, 7.0):
        curves = at(lambda x, c=level: 0.0 * x[:, 0] + c, theta)
        assert not curves.second_resolved.any()
        assert np.isnan([curves.holder[0], curves.roughness[0]]).all()


def test_a_slope_of_zero_leaves_the_ratio_unresolved():
    # |x| at 0: Delta4 is resolved, and is no share of a slope that is not there.
    curves = at(lambda x: x[:, 0].abs(), [0.0])
    assert curves.fourth_resolved.all()
    assert np.isnan(curves.ratio).all()


def test_float32_hides_what_float64_resolves_in_a_gelu_net(mlp, batch):
    radii = (1e-3, 0.03, 0.1, 0.3, 1.0)
    single = Objective.from_module(mlp, LOSS, batch, dtype=torch.float32)
    double = Objective.from_module(mlp, LOSS, batch)
    coarse = roughness_curves(single, single.theta[None], radii=radii)
    fine = roughness_curves(double, double.theta[None], radii=radii)
    assert coarse.second_resolved[0].tolist() == [False, True, True, True, True]
    assert coarse.fourth_resolved[0].tolist() == [False, False, False, True, True]
    assert np.isnan(coarse.holder[0])
    assert np.isnan(coarse.local_holder[0]).tolist() == [True, False, False, False]
    assert fine.second_resolved.all()
    assert fine.fourth_resolved[0].tolist() == [False, True, True, True, True]
    assert coarse.local_holder[0, 1:] == pytest.approx(fine.local_holder[0, 1:], abs=0.02)


def test_the_noise_of_a_noisy_loss_is_measured_p_40_k_512():
    # The fraction is white, and uniform in [0, 1): the deviation of one loss is eta/sqrt(12).
    eta = 1e-6
    noisy = at(lambda x: x[:, 0] + eta * (1e5 * (1e13 * x.sum(1)).sin() % 1.0), [0.7] * 40, k=512)
    assert noisy.noise[0] == pytest.approx([eta / 12**0.5] * 3, rel=0.15)
    assert not noisy.second_resolved.any()


def test_the_noise_is_at_least_16_roundings_of_the_loss():
    curves = at(lambda x: 0.0 * x[:, 0] + 5.0, [1.0])
    assert curves.noise[0].tolist() == [16.0 * 2.0**-52 * 5.0] * 3


def test_each_reach_is_evaluated_once():
    counted = []

    def f(x):
        counted.append(len(x))
        return x.square().sum(1)

    objective = Objective.from_function(f, torch.ones(3, dtype=torch.float64))
    points = torch.ones(4, 3, dtype=torch.float64)
    objective.losses(points)
    for radii, reaches in [(RADII, 8), (np.geomspace(0.01, 0.64, 7), 16), ((0.1, 0.15), 8)]:
        counted.clear()
        roughness_curves(objective, points, radii=radii, k=6)
        assert counted == [4 * ((reaches + 5) * 6 + 1)]


def test_many_points_are_the_same_as_one_by_one(objective, around):
    points = around(objective, 3)
    together = roughness_curves(objective, points, radii=RADII, k=4, sphere="global", seed=2)
    for i in range(3):
        alone = roughness_curves(
            objective, points[i : i + 1], radii=RADII, k=4, sphere="global", seed=2
        )
        assert together.second[i] == pytest.approx(alone.second[0], abs=1e-14)
        assert together.holder[i] == pytest.approx(alone.holder[0], rel=1e-8)


@pytest.mark.parametrize("module", ["mlp", "rounded"])
def test_a_small_memory_budget_changes_nothing(module, batch, request):
    net = request.getfixturevalue(module)
    large = Objective.from_module(net, LOSS, batch)
    small = Objective.from_module(net, LOSS, batch, memory_mb=0.005)
    assert small.points_in_budget < 10
    a, b = (roughness_curves(o, o.theta[None], radii=(0.1, 0.2, 0.4)) for o in (large, small))
    assert b.holder == pytest.approx(a.holder, rel=1e-9)
    assert b.ratio == pytest.approx(a.ratio, rel=1e-8)
    assert np.isfinite(a.ratio).all()


def test_on_every_device_there_is_it_agrees_with_the_net_written_out_on_the_cpu(mlp, batch):
    """P = 75, k = 6; float64, but float32 where a device has no other, at radii that resolve."""
    first, second = mlp[0], mlp[2]
    sizes = [p.numel() for p in mlp.parameters()]

    def written_out(points):
        w0, b0, w1, b1 = points.split(sizes, dim=1)
        hidden = batch[0] @ w0.unflatten(1, first.weight.shape).mT + b0[:, None]
        output = nn.functional.gelu(hidden) @ w1.unflatten(1, second.weight.shape).mT + b1[:, None]
        logs = output.log_softmax(dim=2)
        return -logs[:, torch.arange(len(batch[1])), batch[1]].mean(dim=1)

    theta = nn.utils.parameters_to_vector(mlp.parameters()).detach()
    plain = Objective.from_function(written_out, theta)
    settings = {"radii": (0.3, 0.6, 1.2), "k": 6, "sphere": "global", "seed": 3}
    expected = roughness_curves(plain, theta[None], **settings)
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    for device in [torch.device("cpu"), *([accelerator] if accelerator else [])]:
        single = device.type == "mps"
        net = copy.deepcopy(mlp).to(torch.float32 if single else torch.float64).to(device)
        objective = Objective.from_module(net, LOSS, batch)
        assert objective.theta.device.type == device.type
        curves = roughness_curves(objective, objective.theta[None], **settings)
        tolerance = 0.02 if single else 1e-9
        assert np.isfinite(expected.ratio).all()
        assert curves.ratio == pytest.approx(expected.ratio, rel=tolerance)
        assert curves.holder == pytest.approx(expected.holder, rel=tolerance)


def test_nets_stand_in_order_of_their_roughness_p_8970_k_8():
    # The design's pilot has the same order, on other nets.
    inputs, labels = DATA_SETS["digits"]().train
    found = []
    for activation, bits in (("gelu", 32), ("relu", 32), ("relu", 4), ("relu", 2)):
        net = build(NetworkSpec("mlp", (64, 64), activation, bits, bits), 64, 10, seed=0)
        pair = (inputs[:256], labels[:256])
        objective = Objective.from_module(net, LOSS, pair, dtype=torch.float64)
        found.append(roughness_curves(objective, objective.theta[None], radii=RADII))
    gelu, relu, four, two = (curves.roughness[0] for curves in found)
    assert 1e-9 < gelu < 1e-7
    assert 1e-3 < relu < 3e-2
    assert 1.0 < four < 5.0
    assert 10.0 < two < 50.0
    assert found[0].holder[0] == pytest.approx(2.0, abs=1e-3)
    assert found[3].holder[0] == pytest.approx(0.0, abs=0.1)


def test_a_run_that_diverged_is_not_resolved():
    curves = at(lambda x: x.square().sum(1).exp().exp(), [30.0, 30.0])
    assert not curves.second_resolved.any()
    assert np.isnan(curves.holder[0])
    nan = at(lambda x: (x[:, 0] - 1.0).sqrt(), [1.0])
    assert np.isnan([nan.holder[0], nan.roughness[0]]).all()


def test_one_radius_has_a_roughness_and_no_exponent(objective):
    curves = roughness_curves(objective, objective.theta[None], radii=(0.3,))
    assert np.isfinite(curves.roughness[0])
    assert np.isnan(curves.holder[0])
    assert curves.local_holder.shape == (1, 0)


@pytest.mark.parametrize("radii", [(), (0.0, 0.1), (0.2, 0.1), (0.1, 0.1), (0.1, np.inf), 0.1])
def test_bad_radii(objective, radii):
    expected = "expected at least one, finite, above 0, increasing"
    with pytest.raises(ValueError, match=expected):
        roughness_curves(objective, objective.theta[None], radii=radii)


def test_bad_points_and_k(objective):
    with pytest.raises(ValueError, match=r"Pass theta\[None\] for a single point"):
        roughness_curves(objective, objective.theta, radii=RADII)
    with pytest.raises(ValueError, match="k is 0, expected at least 1"):
        roughness_curves(objective, objective.theta[None], radii=RADII, k=0)
