"""The rivals' rules against torch's own optimizers, their plain twins, and the lasso."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sadam import Lane, Settings
from sadam.reference import (
    reference_adamw,
    reference_prox_sgd,
    reference_rmsprop,
    reference_sgd,
)
from sadam.rules import advance_, prox_sgd_update_, rmsprop_update_, sgd_update_

STEPS = 50
WD = 0.1


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


H = torch.diag(torch.tensor([1.0, 3.0, 10.0], dtype=torch.float64)) + 0.3
B = H @ torch.tensor([1.0, -0.5, 1e-4], dtype=torch.float64)


def bowl(theta: Tensor) -> Tensor:
    """A parabola with cosines on it, so that gradients change from step to step."""
    return theta @ H @ theta / 2 - B @ theta + 0.5 * torch.cos(3 * theta).sum()


def gradient_of(f: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    leaf = theta.clone().requires_grad_()
    return torch.autograd.grad(f(leaf), leaf)[0]


def walk(update_, theta: Tensor, f=bowl, steps: int = STEPS) -> Tensor:
    """(steps, P): theta after each update_(theta, gradient, buffer)."""
    theta, buffer, path = theta.clone(), torch.zeros_like(theta), []
    for _ in range(steps):
        update_(theta, gradient_of(f, theta), buffer)
        path.append(theta.clone())
    return torch.stack(path)


def walk_torch(build, theta: Tensor, wd: float, lr: float) -> Tensor:
    """The same by one of torch's optimizers, each step after the decoupled decay by hand."""
    p = torch.nn.Parameter(theta.clone())
    optimizer, path = build([p]), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        bowl(p).backward()
        with torch.no_grad():
            p.mul_(1 - lr * wd)
        optimizer.step()
        path.append(p.detach().clone())
    return torch.stack(path)


@pytest.mark.parametrize("wd", [0.0, WD])
@pytest.mark.parametrize("mu", [0.0, 0.9])
def test_sgd_is_torchs(mu: float, wd: float):
    found = walk(lambda *a: sgd_update_(*a, lr=0.02, momentum=mu, weight_decay=wd), normal(3))
    expected = walk_torch(
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=mu), normal(3), wd=wd, lr=0.02
    )
    assert (found - expected).abs().max() <= 1e-12
    assert (found[-1] - found[0]).abs().max() > 0.1


@pytest.mark.parametrize("wd", [0.0, WD])
@pytest.mark.parametrize(("alpha", "eps"), [(0.99, 1e-8), (0.9, 1e-3)])
def test_rmsprop_is_torchs(alpha: float, eps: float, wd: float):
    found = walk(
        lambda *a: rmsprop_update_(*a, lr=0.02, alpha=alpha, eps=eps, weight_decay=wd), normal(3)
    )
    expected = walk_torch(
        lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=alpha, eps=eps), normal(3), wd=wd, lr=0.02
    )
    assert (found - expected).abs().max() <= 1e-12
    assert (found[-1] - found[0]).abs().max() > 0.1


TWINS = {
    "sgd": (
        lambda *a: sgd_update_(*a, lr=0.02, momentum=0.9, weight_decay=WD),
        lambda *a: reference_sgd(*a, [0.02] * STEPS, weight_decay=WD),
    ),
    "rmsprop": (
        lambda *a: rmsprop_update_(*a, lr=0.02, alpha=0.99, eps=1e-8, weight_decay=WD),
        lambda *a: reference_rmsprop(*a, [0.02] * STEPS, weight_decay=WD),
    ),
    "prox": (
        lambda *a: prox_sgd_update_(*a, lr=0.02, momentum=0.9, l1=0.3),
        lambda *a: reference_prox_sgd(*a, [0.02] * STEPS, l1=0.3),
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_each_rule_is_its_plain_twin(name: str):
    update_, reference = TWINS[name]
    theta, twin = normal(3), [normal(3)]
    path = [twin[0].clone() for _ in reference(lambda p, _: bowl(p[0]), twin)]
    assert (walk(update_, theta) - torch.stack(path)).abs().max() <= 1e-14


@pytest.mark.parametrize("mu", [0.0, 0.9])
def test_prox_sgd_rests_at_the_lassos_minimum(mu: float):
    # KKT of f + w |theta|_1 with w = (1 - mu) l1: the gradient is -w sign(theta) where theta is
    # not 0, and at most w where it is.
    l1 = 0.05
    w = (1 - mu) * l1

    def f(theta: Tensor) -> Tensor:
        return theta @ H @ theta / 2 - B @ theta

    path = walk(
        lambda *a: prox_sgd_update_(*a, lr=0.02, momentum=mu, l1=l1), normal(3), f, steps=2000
    )
    rest = path[-1]
    slope = gradient_of(f, rest)
    zero = rest == 0
    assert zero.any()
    assert not zero.all()
    assert (slope[~zero] + w * rest[~zero].sign()).abs().max() <= 1e-12
    assert (slope[zero].abs() < w).all()


def test_a_soft_threshold_by_hand():
    theta = torch.tensor([0.5, -0.5, 0.01, -0.01, 0.0], dtype=torch.float64)
    gradient, m = torch.zeros(5).double(), torch.zeros(5).double()
    prox_sgd_update_(theta, gradient, m, lr=0.1, momentum=0.9, l1=0.2)
    assert theta.tolist() == pytest.approx([0.48, -0.48, 0.0, 0.0, 0.0], abs=1e-15)
    broken = torch.tensor([math.nan, math.inf], dtype=torch.float64)
    prox_sgd_update_(broken, torch.zeros(2), torch.zeros(2).double(), lr=0.1, momentum=0.9, l1=0.2)
    assert not broken.isfinite().any()  # what is not finite is not thresholded away


@pytest.mark.parametrize("name", TWINS)
def test_runs_do_not_meet_and_have_rates_of_their_own(name: str):
    theta, gradient, buffer = (normal(2, 3, 4, 5, seed=i) for i in range(3))
    buffer, lr = buffer.square(), normal(2, 3, seed=3).sigmoid()
    more = {
        "sgd": {"momentum": 0.9, "weight_decay": WD},
        "rmsprop": {"alpha": 0.99, "eps": 1e-8, "weight_decay": WD},
        "prox": {"momentum": 0.9, "l1": 0.3},
    }[name]
    update_ = {"sgd": sgd_update_, "rmsprop": rmsprop_update_, "prox": prox_sgd_update_}[name]
    alone = [t.clone().flatten(0, 1) for t in (theta, buffer)]
    update_(theta, gradient, buffer, lr=lr, **more)
    for r in range(6):
        own = gradient.flatten(0, 1)[r]
        update_(alone[0][r], own, alone[1][r], lr=lr.flatten()[r].item(), **more)
    for found, expected in zip((theta, buffer), alone, strict=True):
        assert (found.flatten(0, 1) - expected).abs().max() <= 1e-15


def test_neighbouring_lanes_move_by_their_own_rule_and_rate():
    rules = ("adam", "adam", "adam", "sgd", "rmsprop", "prox", "sgd")
    rates = [0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1]
    lanes = [Lane(str(i), "", rule=rule) for i, rule in enumerate(rules)]
    start, dampings = normal(14, 3), normal(14, seed=1).sigmoid()
    theta, m, v = start.clone(), torch.zeros(14, 3).double(), torch.zeros(14, 3).double()
    for t in (1, 2, 3):
        gradient = torch.stack([gradient_of(bowl, row) for row in theta])
        advance_(
            lanes, theta, gradient, m, v, t, damping=dampings, rates=rates, settings=Settings()
        )
    for r in range(14):
        own, lr = [start[r].clone()], rates[r // 2]
        lone = {
            "adam": lambda *a, r=r, lr=lr: reference_adamw(*a, [(dampings[r].item(), lr)] * 3),
            "sgd": lambda *a, lr=lr: reference_sgd(*a, [lr] * 3),
            "rmsprop": lambda *a, lr=lr: reference_rmsprop(*a, [lr] * 3),
            "prox": lambda *a, lr=lr: reference_prox_sgd(*a, [lr] * 3),
        }[rules[r // 2]]
        for _ in lone(lambda p, _: bowl(p[0]), own):
            pass
        assert (theta[r] - own[0]).abs().max() <= 1e-14
