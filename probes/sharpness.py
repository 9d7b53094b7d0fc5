"""Sharpness, the largest eigenvalue of the Hessian, and what an optimizer bears of it.

On a parabola of curvature h a rule converges below its limit and diverges above, so training on a
full batch at a constant step hovers where the sharpness meets the limit (the edge of stability).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from probes.layout import Batch, described
from probes.objective import Objective


@dataclass(frozen=True, eq=False)
class Sharpness:
    """The largest eigenvalue that was found, and how sure it is.

    Attributes:
        value: the largest eigenvalue, or what the iterations reached of it, from below.
        residual: |H q - value q|: an eigenvalue lies within that distance of the value. Where it
            is far from the others, the error is about residual^2 over that distance.
        converged: whether the residual is within the tolerance.
        iterations: Hessian-vector products used.
        vector: (P,) its unit eigenvector q, of D^-1/2 H D^-1/2 with a preconditioner; it starts
            the next measurement nearby.
    """

    value: float
    residual: float
    converged: bool
    iterations: int
    vector: Tensor


def sharpness(
    objective: Objective,
    theta: Tensor,
    *,
    preconditioner: Tensor | None = None,
    iterations: int = 64,
    tolerance: float = 1e-3,
    rows: int | None = None,
    start: Tensor | None = None,
    seed: int = 0,
) -> Sharpness:
    """The largest eigenvalue of H, or of D^-1/2 H D^-1/2, by Lanczos.

    H v = gradient of (gradient f . v): one backward pass through the gradient's own graph. The
    basis is kept and orthogonalised anew against all of it, so the answer is there, with its
    residual, whatever budget of products it stopped at.

    H is the Hessian that autograd sees. Where rounding passes its gradient straight through, that
    is the SURROGATE's: rounding counts as the identity, at rounded values; f itself is piecewise
    constant and has no curvature. Kinks count as flat.

    Args:
        objective: the loss; the limits hold for its FULL batch.
        theta: (P,).
        preconditioner: D, (P,), all above 0: `adam_preconditioner`. None is the plain Hessian.
        iterations: products at most, at least 1; fewer where the objective's memory budget holds
            fewer vectors. 64 finds a network's largest eigenvalue, which stands apart, with room.
        tolerance: of residual / |value|, above 0. 1e-3 is far below what a chart shows.
        rows: samples of the batch at a time, at least 1, which bounds memory for a loss that is a
            mean over samples without batch normalisation. None takes all at once.
        start: (P,), not zero, for example the `vector` of a step before: fewer products, but an
            eigenvalue that has just overtaken its own may be missed. None draws it.
        seed: of the starting vector, at least 0.

    Returns:
        The `Sharpness`, nan where the gradient is not finite.

    Raises:
        TypeError, ValueError: a vector is not (P,), D is not above 0, a number is out of range, or
            the loss is no mean over rows.

    Source: Lanczos 1950; Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at
    the Edge of Stability", ICLR 2021 (arXiv 2103.00065); for the preconditioned Hessian Cohen et
    al., "Adaptive Gradient Methods at the Edge of Stability", 2022 (arXiv 2207.14484).
    """
    if iterations < 1 or not tolerance > 0.0 or seed < 0:
        raise ValueError(
            f"iterations is {iterations}, tolerance {tolerance}, seed {seed}; expected at least 1,"
            " above 0, and at least 0."
        )
    theta = _vector(theta, "theta", objective)
    product = _hessian_product(objective, theta, rows)
    if preconditioner is not None:
        product = _preconditioned(product, _vector(preconditioner, "preconditioner", objective))
    if start is None:
        start = torch.as_tensor(np.random.default_rng(seed).standard_normal(objective.size))
    q = _vector(start, "start", objective)
    if not q.norm() > 0.0:
        raise ValueError("start is zero, expected a direction: leave it out to draw one.")
    budget = min(iterations, objective.size, objective.points_in_budget)
    return _lanczos(product, q / q.norm(), budget, tolerance)


def sgd_limit(lr: ArrayLike, momentum: ArrayLike = 0.0) -> np.ndarray:
    """The sharpness above which SGD diverges on a parabola: (2 + 2 mu) / lr.

    Args:
        lr: learning rate, above 0; any shape, for example of every step.
        momentum: mu of torch.optim.SGD without dampening or Nesterov (b <- mu b + g, theta <-
            theta - lr b), in [0, 1).

    Returns:
        The limit of H's largest eigenvalue, of the shape the arguments broadcast to. Decoupled or
        coupled weight decay is not counted.

    Raises:
        ValueError: an argument is out of range.

    Source: Cohen et al. 2021 (arXiv 2103.00065), appendix on momentum; heavy ball of Polyak 1964.
    """
    lr, mu = np.asarray(lr, np.float64), np.asarray(momentum, np.float64)
    if np.any(lr <= 0.0) or np.any((mu < 0.0) | (mu >= 1.0)):
        raise ValueError(f"lr is {lr} and momentum {mu}, expected lr above 0, momentum in [0, 1).")
    return (2.0 + 2.0 * mu) / lr


def adam_limit(lr: ArrayLike, beta1: ArrayLike = 0.9, damping: ArrayLike = 1.0) -> np.ndarray:
    """The preconditioned sharpness above which Adam diverges: (2 + 2 beta1)/((1 - beta1) a lr).

    38 / lr for beta1 = 0.9: of a parabola, with the second moment held fixed.

    Args:
        lr: learning rate, above 0; any shape, for example of every step.
        beta1: in [0, 1).
        damping: a, what S-Adam multiplies the step with, in (0, 1]; 1 for Adam. A damping that
            changes from step to step has no limit of its own: the line is the present step's.

    Returns:
        The limit of the largest eigenvalue of D^-1/2 H D^-1/2, D from `adam_preconditioner`, of
        the shape the arguments broadcast to. Weight decay is not counted.

    Raises:
        ValueError: an argument is out of range.

    Source: Cohen et al. 2022 (arXiv 2207.14484), whose 38/eta it is at beta1 = 0.9.
    """
    lr, beta, a = (np.asarray(x, np.float64) for x in (lr, beta1, damping))
    if np.any(lr <= 0.0) or np.any((beta < 0.0) | (beta >= 1.0)) or np.any((a <= 0.0) | (a > 1.0)):
        raise ValueError(
            f"lr is {lr}, beta1 {beta} and damping {a}, expected lr above 0, beta1 in [0, 1) and"
            " damping in (0, 1]."
        )
    return (2.0 + 2.0 * beta) / ((1.0 - beta) * a * lr)


def adam_preconditioner(
    second_moment: Tensor,
    *,
    step: int,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Tensor:
    """What Adam's step divides by: theta <- theta - lr D^-1 m.

    D = (1 - beta1^t) (sqrt(v) + eps) / sqrt(1 - beta2^t)

    eps stands inside, before the bias correction, as in S-Adam's released code;
    torch.optim.AdamW adds it after. At eps = 1e-8 that matters only where the gradient is as small.

    Args:
        second_moment: v, (P,), not corrected.
        step: t, updates taken, at least 1.
        betas: each in [0, 1).
        eps: above 0, or a parameter without a gradient would have no step.

    Returns:
        D, (P,).

    Raises:
        ValueError: an argument is out of range.
    """
    beta1, beta2 = betas
    if step < 1 or not (0.0 <= beta1 < 1.0 and 0.0 <= beta2 < 1.0) or not eps > 0.0:
        raise ValueError(
            f"step is {step}, betas {betas}, eps {eps}; expected at least 1, each in [0, 1), and"
            " above 0."
        )
    return (second_moment.sqrt() + eps) * ((1.0 - beta1**step) / (1.0 - beta2**step) ** 0.5)


def _lanczos(
    product: Callable[[Tensor], Tensor], q: Tensor, budget: int, tolerance: float
) -> Sharpness:
    """The largest Ritz pair of the Krylov space of q, grown until its residual is small."""
    basis = q.new_zeros(budget, len(q))
    diagonal, beside = np.zeros(budget), np.zeros(budget)
    j = 0
    while True:
        basis[j] = q
        w = product(q)
        diagonal[j] = float(w @ q)
        if not np.isfinite(diagonal[j]):
            return Sharpness(float("nan"), float("nan"), False, j + 1, q)
        for _ in range(2):  # twice is enough to be orthogonal to rounding
            w = w - basis[: j + 1].T @ (basis[: j + 1] @ w)
        beside[j] = float(w.norm())
        values, vectors = eigh_tridiagonal(
            diagonal[: j + 1], beside[:j], select="i", select_range=(j, j)
        )
        value, residual = float(values[0]), float(beside[j] * abs(vectors[-1, 0]))
        converged = residual <= tolerance * abs(value)
        if converged or j + 1 == budget:
            vector = basis[: j + 1].T @ torch.as_tensor(vectors[:, 0]).to(basis)
            return Sharpness(value, residual, converged, j + 1, vector)
        q = w / beside[j]
        j += 1


def _hessian_product(
    objective: Objective, theta: Tensor, rows: int | None
) -> Callable[[Tensor], Tensor]:
    """H v as a function of v, at theta."""
    if rows is None:
        return _product_on(objective, theta, None)
    parts = _parts(objective, theta, rows)

    def summed(v: Tensor) -> Tensor:
        # Each part's graph is built anew and let go: one is in memory at a time.
        return sum(
            (weight * _product_on(objective, theta, part)(v) for part, weight in parts),
            torch.zeros_like(v),
        )

    return summed


def _product_on(
    objective: Objective, theta: Tensor, batch: Batch | None
) -> Callable[[Tensor], Tensor]:
    """H v on one batch; the gradient's graph is built once and kept."""
    point = theta.clone().requires_grad_()
    with torch.enable_grad():
        loss = objective.loss(point, batch)
        gradient = torch.zeros_like(point)
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, point, create_graph=True)

    def product(v: Tensor) -> Tensor:
        if not gradient.requires_grad:
            return torch.zeros_like(v)  # f is linear to autograd
        (found,) = torch.autograd.grad(
            gradient, point, v, retain_graph=True, materialize_grads=True
        )
        return found

    return product


def _parts(objective: Objective, theta: Tensor, rows: int) -> list[tuple[Batch, float]]:
    """The batch in parts and their weights, of which the loss must be the mean."""
    if objective.batch is None or rows < 1:
        raise ValueError(
            f"rows is {rows}, expected at least 1 and an objective with a batch: leave it out."
        )
    inputs, targets = objective.batch
    parts = [
        ((x, y), len(x) / len(inputs))
        for x, y in zip(inputs.split(rows), targets.split(rows), strict=True)
    ]
    with torch.no_grad():
        whole = float(objective.loss(theta))
        mean = sum(weight * float(objective.loss(theta, part)) for part, weight in parts)
    if np.isfinite(whole) and not np.isclose(mean, whole, rtol=1e-4):
        raise ValueError(
            f"The loss is {whole:.6g} on the batch and {mean:.6g} as the mean of its parts,"
            " expected a mean over samples: leave rows out."
        )
    return parts


def _preconditioned(
    product: Callable[[Tensor], Tensor], preconditioner: Tensor
) -> Callable[[Tensor], Tensor]:
    if not bool((preconditioner > 0.0).all()):
        raise ValueError("The preconditioner has values of 0 or below, expected all above 0.")
    scale = preconditioner.rsqrt()
    return lambda v: scale * product(scale * v)


def _vector(vector: Tensor, name: str, objective: Objective) -> Tensor:
    if not isinstance(vector, Tensor) or not vector.is_floating_point():
        raise TypeError(f"{name} is {described(vector)}, expected a floating-point tensor.")
    if tuple(vector.shape) != (objective.size,):
        raise ValueError(
            f"{name} has shape {tuple(vector.shape)}, expected ({objective.size},), one number a"
            " parameter."
        )
    return vector.detach().to(objective.device, objective.dtype)
