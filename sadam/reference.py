"""S-Adam as the plainest possible loop, to be read beside the paper.

Nothing is batched, nothing is shared with `update.py`; the tests hold `SAdam` and `Ensemble` to
this file and this file to traces of the released code.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ReferenceStep", "reference_sadam"]


@dataclass(frozen=True)
class ReferenceStep:
    """What one step saw: the loss at theta, at its k probes, and what followed from them."""

    loss: float
    probe_losses: list[float]
    lgi: float
    damping: float


def reference_sadam(
    loss: Callable[[list[Tensor], int], Tensor],
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
) -> Iterator[ReferenceStep]:
    """Train theta in place, one step for each item of draws, and yield what each step saw.

    Args:
        loss: f(theta, t), the loss on the mini-batch of step t = 1, 2, ...
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

    Yields:
        A `ReferenceStep`; when it arrives, theta has already moved.

    Source: arXiv 2605.29547, Algorithm 1; details as in its released code.
    """
    beta1, beta2 = betas
    m = [torch.zeros_like(p) for p in theta]
    v = [torch.zeros_like(p) for p in theta]

    for t, normals in enumerate(draws, start=1):
        # f(theta) and its gradient
        leaves = [p.detach().clone().requires_grad_() for p in theta]
        f0 = loss(leaves, t)
        gradient = torch.autograd.grad(f0, leaves)

        # D_i = (f(theta + sigma u_i) - f(theta)) / sigma, each tensor of u_i of unit norm
        probe_losses = []
        rho, a = math.nan, 1.0
        if lgi_lambda > 0:
            for normal in normals:
                u = [n / (n.norm() + 1e-12) for n in normal]
                point = [p + sigma * q for p, q in zip(theta, u, strict=True)]
                probe_losses.append(loss(point, t).item())
            D = [(f - f0.item()) / sigma for f in probe_losses]

            # rho = Var(D) / (mean(D^2) + zeta),  a = exp(-lambda min(rho, cap))
            k = len(D)
            mean = sum(D) / k
            variance = sum((d - mean) ** 2 for d in D) / (k - 1) if k > 1 else 0.0
            rho = variance / (sum(d**2 for d in D) / k + stabilize_eps)
            a = math.exp(-lgi_lambda * min(rho, lgi_cap))

        # the damped step
        step = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        for i, g in enumerate(gradient):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            decayed = (1 - lr * weight_decay) * theta[i]
            theta[i].copy_(decayed - a * step * m[i] / (v[i].sqrt() + eps))

        yield ReferenceStep(f0.item(), probe_losses, rho, a)
