"""The rivals' updates as pure tensor mathematics, over any leading batch of runs.

RMSprop and SGD decay their weights as `sadam_update_` does, theta <- (1 - lr wd) theta, so that
lanes side by side differ in their rule and not in what they minimise: torch's own L2 term goes
through RMSprop's denominator and SGD's momentum, where one wd means another thing for each rule.
With wd = 0 both equal torch's. Prox-SGD has its l1 term in place of a decay.
"""

from collections.abc import Sequence
from itertools import groupby

from torch import Tensor

from sadam.lanes import Lane
from sadam.settings import Settings
from sadam.update import over_runs, sadam_update_

__all__ = ["advance_", "prox_sgd_update_", "rmsprop_update_", "sgd_update_"]


def advance_(
    lanes: Sequence[Lane],
    theta: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    *,
    damping: Tensor,
    rates: Sequence[float],
    settings: Settings,
) -> None:
    """One step of every lane by its rule, in place on theta and on those of m and v that it keeps.

    Neighbouring lanes of one rule and one learning rate move together.

    Args:
        lanes: L lanes.
        theta: parameters (R, P) of R = L x S runs, lane-major.
        gradient: same shape as theta; only read.
        m: first moments and momentum buffers, same shape; zeros before the first step.
        v: second moments, same shape; zeros before the first step.
        step: t, counted from 1.
        damping: (R,); only the rule "adam" is damped.
        rates: the learning rate of each lane at this step.
        settings: all other numbers.
    """
    s, seeds, start = settings, len(theta) // len(lanes), 0
    moves = [(lane.rule, lr) for lane, lr in zip(lanes, rates, strict=True)]
    for (rule, lr), alike in groupby(moves):
        stop = start + seeds * len(list(alike))
        rows = slice(start, stop)
        start = stop
        place, slope = theta[rows], gradient[rows]
        common = {"lr": lr, "weight_decay": s.weight_decay}
        if rule == "adam":
            sadam_update_(
                place,
                slope,
                m[rows],
                v[rows],
                step,
                damping=damping[rows],
                betas=s.betas,
                eps=s.eps,
                **common,
            )
        elif rule == "rmsprop":
            rmsprop_update_(place, slope, v[rows], alpha=s.rms_alpha, eps=s.eps, **common)
        elif rule == "sgd":
            sgd_update_(place, slope, m[rows], momentum=s.momentum, **common)
        else:
            prox_sgd_update_(place, slope, m[rows], lr=lr, momentum=s.momentum, l1=s.l1)


def rmsprop_update_(
    theta: Tensor,
    gradient: Tensor,
    v: Tensor,
    *,
    lr: float | Tensor,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None:
    """One RMSprop step, in place on theta and v.

        theta <- (1 - lr wd) theta
        v <- alpha v + (1 - alpha) g^2
        theta <- theta - lr g / (sqrt(v) + eps)

    Args:
        theta: parameters (*runs, *shape); runs may be empty.
        gradient: same shape as theta; only read.
        v: second moment, same shape; zeros before the first step.
        lr: learning rate, a number or one of each run, shape (*runs,).
        alpha: decay of the moment, in [0, 1).
        eps: outside of the root, >= 0.
        weight_decay: wd, decoupled, >= 0.

    Source: torch.optim.RMSprop (neither centered nor with momentum).
    """
    theta.mul_(over_runs(1 - lr * weight_decay, theta))
    v.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
    theta.sub_(over_runs(lr, theta) * (gradient / v.sqrt().add_(eps)))


def sgd_update_(
    theta: Tensor,
    gradient: Tensor,
    m: Tensor,
    *,
    lr: float | Tensor,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step of SGD with momentum, in place on theta and m.

        theta <- (1 - lr wd) theta
        m <- mu m + g,   so m = g at the first step
        theta <- theta - lr m

    Args:
        theta: parameters (*runs, *shape); runs may be empty.
        gradient: same shape as theta; only read.
        m: momentum buffer, same shape; zeros before the first step.
        lr: learning rate, a number or one of each run, shape (*runs,).
        momentum: mu, in [0, 1).
        weight_decay: wd, decoupled, >= 0.

    Source: torch.optim.SGD (no dampening, no Nesterov).
    """
    theta.mul_(over_runs(1 - lr * weight_decay, theta))
    m.mul_(momentum).add_(gradient)
    theta.sub_(over_runs(lr, theta) * m)


def prox_sgd_update_(
    theta: Tensor,
    gradient: Tensor,
    m: Tensor,
    *,
    lr: float | Tensor,
    momentum: float,
    l1: float,
) -> None:
    """One step of SGD with momentum, then the prox of lr l1 |.|_1, in place on theta and m.

        m <- mu m + g
        theta <- theta - lr m
        theta <- sign(theta) max(|theta| - lr l1, 0)

    The buffer adds up 1 / (1 - mu) gradients where the threshold acts once a step, so it comes to
    rest at the minimum of f + (1 - mu) l1 |theta|_1.

    Args:
        theta: parameters (*runs, *shape); runs may be empty.
        gradient: same shape as theta; only read.
        m: momentum buffer, same shape; zeros before the first step.
        lr: learning rate, a number or one of each run, shape (*runs,).
        momentum: mu, in [0, 1).
        l1: weight of the l1 norm, >= 0.

    Source: the rival of arXiv 2605.29547, momentum 0.9 and l1 1e-4.
    """
    m.mul_(momentum).add_(gradient)
    theta.sub_(over_runs(lr, theta) * m)
    shrunk = (theta.abs() - over_runs(lr * l1, theta)).clamp_(min=0)
    theta.copy_(theta.sign() * shrunk)
