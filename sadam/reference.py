"""Every rule as the plainest possible loop, S-Adam's to be read beside the paper.

Nothing is batched, nothing is shared with `update.py`, `rules.py` and `dampings.py`; the tests
hold `SAdam` and `Ensemble` to this file, and this file to traces of the released code and to
torch's own optimizers.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "ReferenceStep",
    "reference_adamw",
    "reference_prox_sgd",
    "reference_rmsprop",
    "reference_sadam",
    "reference_sgd",
]

#: f(theta, t), the loss on the mini-batch of step t = 1, 2, ...
Loss = Callable[[list[Tensor], int], Tensor]


@dataclass(frozen=True)
class ReferenceStep:
    """What one step saw: the loss at theta, at its probes, and what followed from them."""

    loss: float
    probe_losses: list[float]
    lgi: float
    damping: float


def reference_sadam(
    loss: Loss,
    theta: list[Tensor],
    draws: Iterable[list[list[Tensor]]],
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    sigma: float = 0.01,
    lgi_lambda: float = 2.0,
    stabilize_eps: float = 1e-6,
    lgi_cap: float = 10.0,
    damped_by: Literal["lgi", "asymmetry"] = "lgi",
) -> Iterator[ReferenceStep]:
    """Train theta in place, one step for each item of draws, and yield what each step saw.

    Args:
        loss: see `Loss`.
        theta: the parameters, one tensor a layer's weight or bias; written in place.
        draws: for each step k lists of standard normal draws, shaped like theta; k is its length.
        lr: learning rate; the paper's 1e-3.
        betas: decay of the two moments; Adam's usual pair.
        eps: inside, before the bias correction.
        weight_decay: decoupled, not damped.
        sigma: length of a probe, in units of the parameters.
        lgi_lambda: strength of the damping; 0 measures nothing and never damps.
        stabilize_eps: zeta, keeps rho finite where f is flat.
        lgi_cap: the largest rho that counts.
        damped_by: "lgi" is the paper's; "asymmetry" takes mean|D+ + D-| / mean(|D+| + |D-|) in
            its place, with k more probes the other way.

    Yields:
        A `ReferenceStep`; when it arrives, theta has already moved.

    Source: arXiv 2605.29547, Algorithm 1; details as in its released code.
    """
    beta1, beta2 = betas
    m = [torch.zeros_like(p) for p in theta]
    v = [torch.zeros_like(p) for p in theta]

    for t, normals in enumerate(draws, start=1):
        # f(theta) and its gradient
        f0, gradient = _slope(loss, theta, t)

        # D_i = (f(theta + sigma u_i) - f(theta)) / sigma, each tensor of u_i of unit norm
        probe_losses = []
        rho, a = math.nan, 1.0
        if lgi_lambda > 0:
            units = [[n / (n.norm() + 1e-12) for n in normal] for normal in normals]
            for sign in (1, -1) if damped_by == "asymmetry" else (1,):
                for u in units:
                    point = [p + sign * sigma * q for p, q in zip(theta, u, strict=True)]
                    probe_losses.append(loss(point, t).item())
            k = len(units)
            D = [(f - f0) / sigma for f in probe_losses[:k]]

            # rho = Var(D) / (mean(D^2) + zeta),  a = exp(-lambda min(rho, cap))
            mean = sum(D) / k
            variance = sum((d - mean) ** 2 for d in D) / (k - 1) if k > 1 else 0.0
            rho = variance / (sum(d**2 for d in D) / k + stabilize_eps)
            unstable = rho
            if damped_by == "asymmetry":
                back = [(f - f0) / sigma for f in probe_losses[k:]]
                total = sum(abs(d) + abs(b) for d, b in zip(D, back, strict=True))
                left = sum(abs(d + b) for d, b in zip(D, back, strict=True))
                unstable = left / total if total > 0 else 0.0
            a = math.exp(-lgi_lambda * min(unstable, lgi_cap))

        # the damped step
        step = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        for i, g in enumerate(gradient):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            decayed = (1 - lr * weight_decay) * theta[i]
            theta[i].copy_(decayed - a * step * m[i] / (v[i].sqrt() + eps))

        yield ReferenceStep(f0, probe_losses, rho, a)


def reference_adamw(
    loss: Loss,
    theta: list[Tensor],
    moves: Iterable[tuple[float, float]],
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Iterator[float]:
    """AdamW, eps where S-Adam has it, with the damping and the learning rate given at each step.

    Args:
        loss: see `Loss`.
        theta: the parameters, written in place.
        moves: damping a and learning rate of each step; (1, lr) is plain AdamW.
        betas: decay of the two moments.
        eps: inside, before the bias correction.
        weight_decay: decoupled, not damped.

    Yields:
        f at theta before the step, which has already been taken.
    """
    beta1, beta2 = betas
    m = [torch.zeros_like(p) for p in theta]
    v = [torch.zeros_like(p) for p in theta]
    for t, (a, lr) in enumerate(moves, start=1):
        f0, gradient = _slope(loss, theta, t)
        for i, g in enumerate(gradient):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            step = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
            decayed = (1 - lr * weight_decay) * theta[i]
            theta[i].copy_(decayed - a * step * m[i] / (v[i].sqrt() + eps))
        yield f0


def reference_rmsprop(
    loss: Loss,
    theta: list[Tensor],
    rates: Iterable[float],
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Iterator[float]:
    """RMSprop with decoupled weight decay: theta <- (1 - lr wd) theta - lr g / (sqrt(v) + eps)."""
    v = [torch.zeros_like(p) for p in theta]
    for t, lr in enumerate(rates, start=1):
        f0, gradient = _slope(loss, theta, t)
        for i, g in enumerate(gradient):
            v[i] = alpha * v[i] + (1 - alpha) * g**2
            decayed = (1 - lr * weight_decay) * theta[i]
            theta[i].copy_(decayed - lr * g / (v[i].sqrt() + eps))
        yield f0


def reference_sgd(
    loss: Loss,
    theta: list[Tensor],
    rates: Iterable[float],
    *,
    momentum: float = 0.9,
    weight_decay: float = 1e-2,
) -> Iterator[float]:
    """SGD with momentum and decoupled weight decay: theta <- (1 - lr wd) theta - lr m."""
    m: list[Tensor] = []
    for t, lr in enumerate(rates, start=1):
        f0, gradient = _slope(loss, theta, t)
        m = [momentum * b + g for b, g in zip(m, gradient, strict=True)] if m else gradient
        for i, b in enumerate(m):
            theta[i].copy_((1 - lr * weight_decay) * theta[i] - lr * b)
        yield f0


def reference_prox_sgd(
    loss: Loss,
    theta: list[Tensor],
    rates: Iterable[float],
    *,
    momentum: float = 0.9,
    l1: float = 1e-4,
) -> Iterator[float]:
    """SGD with momentum, then argmin_x |x - z|^2 / 2 + lr l1 |x|_1 of where it arrives, z.

    The minimum is z moved by lr l1 towards 0, and 0 where z is nearer than that.
    """
    m: list[Tensor] = []
    for t, lr in enumerate(rates, start=1):
        f0, gradient = _slope(loss, theta, t)
        m = [momentum * b + g for b, g in zip(m, gradient, strict=True)] if m else gradient
        for p, b in zip(theta, m, strict=True):
            z, reach = p - lr * b, lr * l1
            nearer = torch.where(z > 0, z - reach, z + reach)
            p.copy_(torch.where(z.abs() <= reach, 0.0, nearer))
        yield f0


def _slope(loss: Loss, theta: list[Tensor], t: int) -> tuple[float, list[Tensor]]:
    """f(theta) and its gradient."""
    leaves = [p.detach().clone().requires_grad_() for p in theta]
    f0 = loss(leaves, t)
    return f0.item(), list(torch.autograd.grad(f0, leaves))
