"""The S-Adam update as pure tensor mathematics, over any leading batch of runs.

S-Adam, AdamW and the controls go through these functions: `SAdam` calls the update once for all
tensors alike, `Ensemble` once for all runs together. With damping 1 the update is AdamW with eps
inside, before the bias correction (torch.optim.AdamW adds eps after it).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["damping_from_lgi", "over_runs", "sadam_update_", "sadam_updates_"]


def damping_from_lgi(rho: Tensor, lgi_lambda: float, cap: float) -> Tensor:
    """How much of its step a run keeps: a = exp(-lambda min(rho, cap)).

    Args:
        rho: the instability (LGI) of each run, any shape, >= 0; nan stays nan.
        lgi_lambda: how strongly instability damps, >= 0; the paper's 2 keeps 13.5 % at rho = 1.
        cap: largest rho that counts, > 0; the paper's 10 never acts, since rho <= k / (k - 1).

    Returns:
        The damping, same shape as rho, in (0, 1].

    Source: arXiv 2605.29547, Algorithm 1, and its released code.
    """
    return torch.exp(-lgi_lambda * rho.clamp(max=cap))


def sadam_update_(
    theta: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    *,
    damping: float | Tensor,
    lr: float | Tensor,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """One S-Adam step, in place on theta, m and v.

        theta <- (1 - lr wd) theta
        m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
        theta <- theta - a lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)

    The decay is decoupled and not damped.

    Args:
        theta: parameters (*runs, *shape); runs may be empty.
        gradient: same shape as theta; only read.
        m: first moment, same shape.
        v: second moment, same shape.
        step: t, counted from 1.
        damping: a, a number or one of each run, shape (*runs,).
        lr: learning rate, a number or one of each run, shape (*runs,).
        betas: decay of the two moments, each in [0, 1).
        eps: keeps the division finite, >= 0.
        weight_decay: wd, >= 0.

    Source: arXiv 2605.29547, Algorithm 1; the place of eps is the released code's.
    """
    beta1, beta2 = betas
    theta.mul_(over_runs(1 - lr * weight_decay, theta))
    m.mul_(beta1).add_(gradient, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    size = damping * (lr * (math.sqrt(1 - beta2**step) / (1 - beta1**step)))
    theta.sub_(over_runs(size, theta) * (m / v.sqrt().add_(eps)))


def sadam_updates_(
    thetas: Sequence[Tensor],
    gradients: Sequence[Tensor],
    ms: Sequence[Tensor],
    vs: Sequence[Tensor],
    step: int,
    *,
    damping: Tensor,
    lr: float | Tensor,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """The same step for many tensors of one run, in place on thetas, ms and vs.

    On a CPU it is one call of torch's own Adam kernel, with learning rate a lr. Adam adds eps after
    its bias correction, so it is given eps / sqrt(1 - beta2^t). Elsewhere, where reading the
    damping would wait for the device, and in short floats it is `sadam_update_`, one by one.

    Args:
        thetas: parameters of one dtype on one device.
        gradients: of the same shapes, as are ms and vs; only read.
        ms: first moments.
        vs: second moments.
        step: t, counted from 1.
        damping: a, a scalar on the device.
        lr: learning rate, a number or a scalar.
        betas: decay of the two moments, each in [0, 1).
        eps: keeps the division finite, >= 0.
        weight_decay: wd, >= 0.
    """
    tensors = thetas, gradients, ms, vs
    if not _has_kernel(thetas[0]) or not all(x.is_contiguous() for each in tensors for x in each):
        common = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        for theta, gradient, m, v in zip(*tensors, strict=True):
            sadam_update_(theta, gradient, m, v, step, damping=damping, **common)
        return
    rate = float(lr)
    for theta in thetas:
        theta.mul_(1 - rate * weight_decay)
    torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
        list(thetas),
        list(gradients),
        list(ms),
        list(vs),
        [],
        [torch.tensor(float(step))] * len(thetas),
        lr=float(damping) * rate,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=0.0,
        eps=eps / math.sqrt(1 - betas[1] ** step),
        amsgrad=False,
        maximize=False,
    )


def _has_kernel(theta: Tensor) -> bool:
    return theta.device.type == "cpu" and theta.dtype in (torch.float32, torch.float64)


def over_runs(value: float | Tensor, theta: Tensor) -> float | Tensor:
    """One value a run, shaped so that it broadcasts over that run's parameters."""
    if not isinstance(value, Tensor):
        return value
    return value.reshape(value.shape + (1,) * (theta.ndim - value.ndim))
