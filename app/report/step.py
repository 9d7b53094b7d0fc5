"""Adam's state out of a file: sharpness against its limit, and the step that comes next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.charts.sampling import damping_law
from app.checkpoints import AdamState
from app.live.readings import Readings
from app.report.findings import Edge, NextStep
from app.report.network import Network
from probes import Objective, step_lines
from probes.instability import lgi, mean_damping_on_slope
from probes.layout import Entry
from probes.rays import cast_rays, directions_of
from probes.sharpness import adam_limit, adam_preconditioner, sharpness
from sadam.update import damping_from_lgi, sadam_update_

#: S-Adam's own strength, directions and cap; torch's Adam where the file leaves a number out.
LGI_LAMBDA, K, CAP = 2.0, 2, 10.0
BETAS, EPS, WEIGHT_DECAY = (0.9, 0.999), 1e-8, 0.0


class StateProblem(ValueError):  # noqa: N818 (a reason, shown as a note)
    """Why Adam's state does not go with the network, in one sentence."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Adam's state as flat vectors in the objective's layout, float64.

    Args:
        m, v: (P,).
        step: updates taken.
    """

    m: Tensor
    v: Tensor
    step: int


def moments_of(layout: Sequence[Entry], network: Network, state: AdamState) -> Moments:
    """Put Adam's moments where the parameters are.

    A moment belongs to the parameter of its name, or where the file leaves that open to the one at
    its place, if all shapes agree.

    Args:
        layout: where each of the network's parameters lies.
        network: gives the file's names.
        state: of the file.

    Raises:
        StateProblem: some are missing, do not fit, or differ in their steps.
    """
    named = {kept.name: kept for kept in state.moments.values() if kept.name is not None}
    m, v = torch.zeros(2, layout[-1].stop, dtype=torch.float64)
    steps = set()
    missing = 0
    for place, entry in enumerate(layout):
        kept = named.get(network.names.get(entry.name, entry.name))
        if kept is None and not named and state.parameters == len(layout):
            kept = state.moments.get(place)
        if kept is None or tuple(kept.exp_avg.shape) != entry.shape:
            missing += 1
            continue
        m[entry.start : entry.stop] = kept.exp_avg.reshape(-1).to(m)
        v[entry.start : entry.stop] = kept.exp_avg_sq.reshape(-1).to(v)
        steps.add(kept.step)
    if missing:
        raise StateProblem(
            f"Adam's state in the file fits {len(layout) - missing} of "
            f"{len(layout)} parameter tensors; expected all of them."
        )
    if len(steps) != 1 or max(steps) < 1:
        raise StateProblem(
            f"Adam's state in the file counts {sorted(steps)[:5]} steps; expected one number, at "
            "least 1, for all parameters."
        )
    return Moments(m, v, steps.pop())


def edge_of(objective: Objective, network: Network, state: AdamState | None) -> Edge:
    """Sharpness of the measured rows' loss, and its limit where a learning rate is known.

    With Adam's state it is that of the preconditioned Hessian D^-1/2 H D^-1/2, limit
    (2 + 2 beta1)/((1 - beta1) lr); else that of H, and a plain gradient step of lr bears 2/lr.

    Args:
        objective: float64; the limit holds for its full batch.
        network: gives the file's names.
        state: of the file, or None.

    Raises:
        StateProblem: the state does not go with the network.
    """
    if state is None:
        return Edge(sharpness(objective, objective.theta), False, None, None)
    moments = moments_of(objective.layout, network, state)
    betas, lr = state.betas or BETAS, state.lr
    eps = _inner_eps(state, moments.step)
    scale = adam_preconditioner(moments.v, step=moments.step, betas=betas, eps=eps)
    measured = sharpness(objective, objective.theta, preconditioner=scale)
    limit = float(adam_limit(lr, betas[0])) if lr else None
    return Edge(measured, True, lr, limit)


def next_steps(
    objective: Objective, network: Network, state: AdamState, readings: Readings
) -> Iterator[NextStep]:
    """Take the step that Adam takes next, on the measured rows, and look along it.

    Args:
        objective: float64.
        network: gives the file's names.
        state: of the file; a number that it leaves out is torch's default.
        readings: their draws give the mean damping.

    Yields:
        The step with ever more of its line.

    Raises:
        StateProblem: the state does not go with the network, or has no learning rate.
    """
    if not state.lr:
        raise StateProblem("Adam's state in the file has no learning rate; expected one above 0.")
    moments = moments_of(objective.layout, network, state)
    theta = objective.theta
    gradient = objective.gradients(theta[None])[0]
    after, m, v = theta.clone(), moments.m.clone(), moments.v.clone()
    sadam_update_(
        after,
        gradient,
        m,
        v,
        moments.step + 1,
        damping=1.0,
        lr=state.lr,
        betas=state.betas or BETAS,
        eps=_inner_eps(state, moments.step + 1),
        weight_decay=WEIGHT_DECAY if state.weight_decay is None else state.weight_decay,
    )
    update = after - theta
    length = float(update.norm())
    rho, damping = _damping(objective, readings)
    known = np.zeros(0) if readings.draws is None else readings.draws.values["lgi"]
    dampings = np.exp(-LGI_LAMBDA * np.minimum(known[np.isfinite(known)], CAP))
    for line in step_lines(objective, theta, update, gradient=gradient):
        yield NextStep(
            line=line,
            length=length,
            relative=length / max(float(theta.norm()), 1e-300),
            lr=state.lr,
            step=moments.step + 1,
            rho=rho,
            damping=damping,
            k=K,
            lgi_lambda=LGI_LAMBDA,
            quantile=law_quantile(damping),
            law=mean_damping_on_slope(K, LGI_LAMBDA),
            mean=float(dampings.mean()) if dampings.size else float("nan"),
            draws=int(dampings.size),
        )


def _inner_eps(state: AdamState, step: int) -> float:
    """The eps that, before the bias correction, acts as torch's does after it: eps sqrt(1 - b2^t).

    It decides where v is 0, as for a unit that was dead until now. A file does not say whose state
    it is, and torch's Adam and AdamW are the usual ones.
    """
    _, beta2 = state.betas or BETAS
    return (state.eps or EPS) * (1.0 - beta2**step) ** 0.5


def law_quantile(damping: float, k: int = K, lgi_lambda: float = LGI_LAMBDA) -> float:
    """The share of dampings on a plain slope that are at most this one, in [0, 1].

    Args:
        damping: a = exp(-lambda rho), in (0, 1].
        k: number of directions, at least 2.
        lgi_lambda: above 0.
    """
    share = damping_law(k, lgi_lambda, np.array([1e-300]), np.array([damping]))
    return float(np.clip(share[0], 0.0, 1.0))


def _damping(objective: Objective, readings: Readings) -> tuple[float, float]:
    """LGI of one draw, and the damping that S-Adam makes of it."""
    setup, theta = readings.setup, objective.theta
    directions = directions_of(objective, K, "tensor", setup.seed)
    rays = cast_rays(objective, theta[None], directions, [setup.sigma])
    forward = (rays.losses[0, :, 0] - rays.centre[0]) / setup.sigma
    rho = lgi(forward, setup.zeta)
    return float(rho), float(damping_from_lgi(rho, LGI_LAMBDA, CAP))
