import numpy as np
import pytest
import torch
from torch import nn

from probes import Objective
from probes.sharpness import adam_limit, adam_preconditioner, sgd_limit, sharpness

PRECISE = {"iterations": 200, "tolerance": 1e-9}


def exact(objective, theta, preconditioner=None):
    """All eigenvalues, from the dense Hessian row by row."""
    point = theta.clone().requires_grad_()
    hessian = torch.autograd.functional.hessian(objective.loss, point)
    if preconditioner is not None:
        scale = preconditioner.rsqrt()
        hessian = scale[:, None] * hessian * scale
    return torch.linalg.eigvalsh(hessian)


def positive(count, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64) * 3.0 + 0.05


def parabola(curvatures, theta=None):
    """f(x) = x^T H x / 2 in a turned basis, with these curvatures."""
    generator = torch.Generator().manual_seed(2)
    size = len(curvatures)
    turn, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    hessian = turn * torch.tensor(curvatures, dtype=torch.float64) @ turn.T
    start = torch.ones(size, dtype=torch.float64) if theta is None else theta
    return Objective.from_function(lambda x: ((x @ hessian) * x).sum(dim=1) / 2.0, start)


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_it_is_the_largest_eigenvalue_of_the_dense_hessian(objective, spread, preconditioned):
    generator = torch.Generator().manual_seed(1)
    theta = objective.theta + spread * torch.randn(
        objective.size, generator=generator, dtype=torch.float64
    )
    scale = positive(objective.size) if preconditioned else None
    expected = exact(objective, theta, scale)
    found = sharpness(objective, theta, preconditioner=scale, **PRECISE)
    assert found.value == pytest.approx(float(expected[-1]), rel=1e-6)
    assert found.converged
    assert found.residual <= 1e-9 * found.value
    assert found.iterations < objective.size
    assert float(expected[0]) < 0.0 or spread == 0.0  # the largest, not the largest in size


def test_the_vector_is_an_eigenvector_and_starts_the_next_measurement(objective):
    theta = objective.theta
    found = sharpness(objective, theta, **PRECISE)
    point = theta.clone().requires_grad_()
    hessian = torch.autograd.functional.hessian(objective.loss, point)
    torch.testing.assert_close(
        hessian @ found.vector, found.value * found.vector, atol=1e-8, rtol=0
    )
    again = sharpness(objective, theta, start=found.vector)
    assert again.iterations == 1
    assert again.value == pytest.approx(found.value)
    assert sharpness(objective, theta, seed=1, **PRECISE).value == pytest.approx(found.value)


def test_a_spent_budget_leaves_a_lower_bound_with_its_residual(objective):
    eigenvalues = exact(objective, objective.theta)
    values = []
    for budget in (1, 2, 4, 8):
        found = sharpness(objective, objective.theta, iterations=budget, tolerance=1e-12)
        assert (found.iterations, found.converged) == (budget, False)
        assert (eigenvalues - found.value).abs().min() <= found.residual * (1.0 + 1e-9)
        values.append(found.value)
    assert values == sorted(values)
    assert values[-1] <= float(eigenvalues[-1])


@pytest.mark.parametrize(
    "curvatures", [[3.0], [2.0, 2.0], [-1.0, -5.0, -3.0], [0.0, 0.0, 7.0, 7.0]]
)
def test_small_and_degenerate_hessians(curvatures):
    bowl = parabola(curvatures)
    found = sharpness(bowl, bowl.theta, **PRECISE)
    assert found.value == pytest.approx(max(curvatures), rel=1e-9)
    assert found.converged


def test_a_linear_a_constant_and_a_broken_loss():
    theta = torch.ones(3, dtype=torch.float64)
    linear = Objective.from_function(lambda x: x.sum(dim=1), theta)
    assert (sharpness(linear, theta).value, sharpness(linear, theta).converged) == (0.0, True)
    constant = Objective.from_function(lambda x: torch.ones_like(x[:, 0]), theta)
    assert sharpness(constant, theta).value == 0.0
    root = Objective.from_function(lambda x: x.sqrt().sum(dim=1), theta)
    broken = sharpness(root, torch.zeros_like(theta))
    assert np.isnan(broken.value)
    assert not broken.converged


def test_the_batch_may_be_taken_in_parts(objective):
    whole = sharpness(objective, objective.theta, **PRECISE)
    for rows in (1, 5, 100):
        parts = sharpness(objective, objective.theta, rows=rows, **PRECISE)
        assert parts.value == pytest.approx(whole.value, rel=1e-12)


def test_float32_finds_it_as_well(mlp, batch, objective):
    single = Objective.from_module(mlp, nn.functional.cross_entropy, batch, dtype=torch.float32)
    found = sharpness(single, objective.theta)
    assert found.vector.dtype == torch.float32
    assert found.value == pytest.approx(float(exact(objective, objective.theta)[-1]), rel=1e-3)


def test_behind_a_straight_through_gradient_it_is_the_surrogates(rounded, batch):
    theta = torch.tensor([0.8, 2.3], dtype=torch.float64)
    curvatures = torch.tensor([3.0, 5.0], dtype=torch.float64)

    def stairs(x):
        rounded = x + (x.round() - x).detach()
        return (curvatures * rounded.square()).sum(dim=1) / 2.0

    flat = Objective.from_function(stairs, theta)
    near = flat.losses(theta + 0.1 * torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
    assert near[0] == near[1] == flat.losses(theta[None])[0]  # f itself has no curvature
    assert sharpness(flat, theta).value == pytest.approx(5.0)

    network = Objective.from_module(rounded, nn.functional.cross_entropy, batch)
    dense = exact(network, network.theta)
    found = sharpness(network, network.theta, **PRECISE)
    assert found.value == pytest.approx(float(dense[-1]), rel=1e-6)


def grown(optimizer, objective, theta, steps=1500):
    """How much further from the minimum, the origin, a run is at its end than at its start."""
    start = theta.detach().clone()
    for _ in range(steps):
        optimizer.zero_grad()
        theta.grad = objective.gradients(theta.detach()[None])[0]
        optimizer.step()
        if theta.detach().norm() > 1e6:
            break
    return float(theta.detach().norm() / start.norm())


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_converges_below_its_limit_and_diverges_above(momentum):
    bowl = parabola([0.1, 0.5, 2.0])
    found = sharpness(bowl, bowl.theta, **PRECISE).value
    at_limit = float(sgd_limit(1.0, momentum)) / found  # the rate whose limit the sharpness is
    assert sgd_limit(at_limit, momentum) == pytest.approx(found)
    for share, converges in ((0.99, True), (1.01, False)):
        theta = bowl.theta.clone().requires_grad_()
        optimizer = torch.optim.SGD([theta], lr=share * at_limit, momentum=momentum)
        end = grown(optimizer, bowl, theta)
        assert end < 1e-3 if converges else end > 1e3


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("damping", [1.0, 0.3])
def test_adam_of_a_fixed_second_moment_converges_below_its_limit_and_diverges_above(beta1, damping):
    bowl = parabola([0.1, 0.5, 2.0])
    scale = positive(3)
    found = sharpness(bowl, bowl.theta, preconditioner=scale, **PRECISE).value
    at_limit = float(adam_limit(1.0, beta1, damping)) / found
    assert adam_limit(at_limit, beta1, damping) == pytest.approx(found)
    for share, converges in ((0.99, True), (1.01, False)):
        theta, m = bowl.theta, torch.zeros(3, dtype=torch.float64)
        for _ in range(1500):
            m = beta1 * m + (1.0 - beta1) * bowl.gradients(theta[None])[0]
            theta = theta - damping * share * at_limit * m / scale
            if theta.norm() > 1e6:
                break
        end = float(theta.norm() / bowl.theta.norm())
        assert end < 1e-3 if converges else end > 1e3


def test_the_preconditioner_is_what_torchs_adam_divides_by():
    bowl = parabola([0.1, 0.5, 2.0])
    theta = bowl.theta.clone().requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=0.01, betas=(0.8, 0.95), eps=1e-30)
    for step in range(1, 6):
        before = theta.detach().clone()
        theta.grad = bowl.gradients(before[None])[0]
        optimizer.step()
        state = optimizer.state[theta]
        divisor = adam_preconditioner(state["exp_avg_sq"], step=step, betas=(0.8, 0.95), eps=1e-30)
        expected = before - 0.01 * state["exp_avg"] / divisor
        torch.testing.assert_close(theta.detach(), expected, rtol=1e-14, atol=0)
    # eps is inside, before the correction, as in the released S-Adam.
    zero = adam_preconditioner(torch.zeros(1, dtype=torch.float64), step=1, eps=1e-4)
    assert float(zero) == pytest.approx(0.1 * 1e-4 / 0.001**0.5)


def test_limits_by_hand_and_along_a_run():
    assert sgd_limit(0.01) == pytest.approx(200.0)
    assert sgd_limit(0.01, 0.9) == pytest.approx(380.0)
    assert adam_limit(1e-3) == pytest.approx(38_000.0)  # 38 / eta, Cohen et al. 2022
    assert adam_limit(1e-3, damping=0.5) == pytest.approx(76_000.0)
    np.testing.assert_allclose(adam_limit(0.1, 0.0, [1.0, 0.5]), [20.0, 40.0])
    np.testing.assert_allclose(sgd_limit([0.1, 0.2]), [20.0, 10.0])


def test_bad_values(objective, mlp, batch):
    theta = objective.theta
    total = Objective.from_module(
        mlp,
        lambda output, target: nn.functional.cross_entropy(output, target, reduction="sum"),
        batch,
    )
    bowl = parabola([1.0, 2.0])
    cases = [
        (
            lambda: sharpness(objective, theta, iterations=0),
            "iterations is 0, tolerance 0.001, seed",
        ),
        (lambda: sharpness(objective, theta, tolerance=0.0), r"tolerance 0\.0, seed 0; expected"),
        (lambda: sharpness(objective, theta[:4]), r"theta has shape \(4,\), expected \(75,\), one"),
        (
            lambda: sharpness(objective, theta, preconditioner=torch.zeros_like(theta)),
            "The preconditioner has values of 0 or below, expected all above 0",
        ),
        (
            lambda: sharpness(objective, theta, start=torch.zeros_like(theta)),
            "start is zero, expected a direction",
        ),
        (lambda: sharpness(total, theta, rows=5), "expected a mean over samples: leave rows out"),
        (
            lambda: sharpness(bowl, bowl.theta, rows=5),
            "expected at least 1 and an objective with a",
        ),
        (lambda: sgd_limit(0.0), r"lr is 0\.0 and momentum 0\.0, expected lr above 0"),
        (lambda: sgd_limit(0.1, 1.0), r"momentum 1\.0, expected lr above 0, momentum in \[0, 1\)"),
        (lambda: adam_limit(0.1, damping=0.0), r"damping 0\.0, expected lr above 0, beta1 in \[0"),
        (
            lambda: adam_preconditioner(theta, step=0),
            r"step is 0, betas \(0\.9, 0\.999\), eps 1e-08",
        ),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(TypeError, match="theta is of type list, expected a floating-point tensor"):
        sharpness(objective, [1.0])
