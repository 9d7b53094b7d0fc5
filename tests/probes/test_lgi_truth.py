"""What LGI really measures: known answers, each with its number of parameters P and directions k.

Directions on the unit sphere of all parameters, sigma 0.01, zeta 0 unless said otherwise.
"""

import pytest
import torch

from probes import Objective, instability
from probes.directions import draw_directions, normalize_directions
from probes.instability import asymmetry, lgi, mean_damping_on_slope

SIGMA = 0.01


def kinks(x):
    return x.abs().sum(dim=1)


def fold(x):
    return weighted(x).abs()


def weighted(x):
    return x @ torch.arange(1.0, x.shape[1] + 1.0, dtype=x.dtype)


def bowl(x):
    return x.square().sum(dim=1)


def rho(f, theta, k, repeats):
    """LGI at theta for `repeats` independent draws of k directions."""
    point = torch.tensor(theta, dtype=torch.float64)
    objective = Objective.from_function(f, point)
    raw = draw_directions(k * repeats, objective.layout, seed=k, dtype=torch.float64)
    u = normalize_directions(raw, objective.layout, "global")
    differences = (objective.losses(point + SIGMA * u) - objective.loss(point)) / SIGMA
    return lgi(differences.view(repeats, k), 0.0)


def at_once(f, theta, k=512, zeta=0.0):
    """One measurement by the public function."""
    point = torch.as_tensor(theta, dtype=torch.float64)
    objective = Objective.from_function(f, point)
    return instability(objective, point, k=k, sigma=SIGMA, sphere="global", zeta=zeta)


@pytest.mark.parametrize("P", [2, 40, 300])
@pytest.mark.parametrize("k", [2, 8])
def test_linear_has_mean_1_for_every_k_and_p(P, k):
    values = rho(weighted, [1.0] * P, k, 4000)
    error = values.std() / 4000**0.5
    assert error < 0.015
    assert abs(values.mean() - 1.0) < 4.0 * error


def test_linear_at_k_512_and_p_40():
    assert at_once(weighted, [1.0] * 40).lgi == pytest.approx(1.0, abs=0.01)


def test_l1_far_from_its_kinks_reads_as_linear_k_512_p_40():
    far = at_once(kinks, [1.0] * 40)
    assert far.lgi == pytest.approx(1.0, abs=0.01)
    assert far.asymmetry < 1e-10


@pytest.mark.parametrize("k", [2, 512])
def test_a_smooth_slope_reads_as_linear_p_1000(k):
    # sigma tr(H) = 10 against 2 |g| sqrt(P) = 6000: the slope dominates.
    slope = [50.0 / 1000**0.5] * 1000
    values = rho(bowl, slope, k, 2000 if k == 2 else 4)
    assert values.mean().item() == pytest.approx(1.0, abs=0.05)
    assert at_once(bowl, slope).asymmetry < 0.01


def test_l1_at_its_kink_is_blind():
    assert rho(kinks, [0.0] * 40, 2, 500).mean() < 0.005  # P 40, k 2
    assert at_once(kinks, [0.0] * 40).lgi < 0.005  # P 40, k 512
    assert rho(kinks, [0.0] * 2, 8, 4000).mean().item() == pytest.approx(0.01, abs=0.001)  # P 2
    assert at_once(kinks, [0.0] * 40).asymmetry == pytest.approx(1.0)


@pytest.mark.parametrize(("k", "value"), [(2, 0.7525), (8, 0.6386)])
def test_one_of_two_coordinates_on_its_kink(k, value):
    # By quadrature over the circle; the design's 0.76 and 0.63 are measurements of these.
    values = rho(kinks, [0.0, 1.0], k, 20_000)
    assert values.mean().item() == pytest.approx(value, abs=0.02)


def test_abs_of_a_projection_at_its_kink():
    limit = 1.0 - 2.0 / torch.pi
    assert limit == pytest.approx(0.363, abs=5e-4)
    assert rho(fold, [0.0] * 1000, 512, 8).mean().item() == pytest.approx(limit, abs=0.02)
    assert rho(fold, [0.0] * 2, 2, 20_000).mean().item() == pytest.approx(0.2575, abs=0.01)
    assert rho(fold, [0.0] * 2, 8, 20_000).mean().item() == pytest.approx(0.2074, abs=0.01)


def test_an_isotropic_minimum_reads_0_k_512_p_40():
    minimum = at_once(bowl, [0.0] * 40)
    assert minimum.lgi < 1e-12
    assert minimum.asymmetry == pytest.approx(1.0)


def test_a_minimum_of_curvatures_1_to_10_k_2_p_2():
    def ellipse(x):
        return x[:, 0].square() + 10.0 * x[:, 1].square()

    assert rho(ellipse, [0.0, 0.0], 2, 20_000).mean().item() == pytest.approx(0.2857, abs=0.01)
    # k 512: Var/E[D^2] = 10.125/40.375 on the circle.
    assert rho(ellipse, [0.0, 0.0], 512, 40).mean().item() == pytest.approx(0.2508, abs=0.01)


def test_a_minimum_of_rank_one_k_512_p_1000():
    def valley(x):
        return weighted(x).square()

    assert rho(valley, [0.0] * 1000, 512, 16).mean().item() == pytest.approx(2 / 3, abs=0.02)


def test_zeta_breaks_invariance_under_scaling():
    # On the sphere mean(D^2) = |g|^2/P, so |g|^2 = 1e-3 at P = 1e4 stands for P = 1e7 at |g| = 1.
    theta = torch.zeros(10_000)
    large = at_once(lambda x: x[:, 0], theta, k=512, zeta=1e-6)
    small = at_once(lambda x: 1e-3**0.5 * x[:, 0], theta, k=512, zeta=1e-6)
    assert large.lgi == pytest.approx(0.99, abs=0.01)
    assert small.lgi == pytest.approx(0.09, abs=0.012)


@pytest.mark.parametrize("k", [2, 8])
def test_on_a_slope_the_damping_is_close_to_its_random_law_p_1000(k):
    damping = torch.exp(-2.0 * rho(weighted, [0.0] * 1000, k, 4000))
    assert damping.mean().item() == pytest.approx(mean_damping_on_slope(k, 2.0), abs=0.015)


def test_asymmetry_of_unrelated_increments_and_of_white_roughness():
    draws = draw_directions(3, 200_000, seed=0, dtype=torch.float64)
    unrelated = asymmetry(draws[0], draws[1]).item()
    white = asymmetry(draws[0] - draws[2], draws[1] - draws[2]).item()
    assert unrelated == pytest.approx(0.5**0.5, abs=0.005)
    assert white == pytest.approx(3**0.5 / 2.0, abs=0.005)
