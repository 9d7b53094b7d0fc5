"""The work behind One step ahead: the loss along the next update of every optimizer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from app.live.run import Run
from app.live.view import Ahead
from probes import StepLine, step_lines


def compute_ahead(run: Run, step: int) -> Iterator[Ahead]:
    """Follow the loss on the probe set from two steps back to three steps ahead.

    Args:
        run: owned by the calling thread.
        step: before which update; the nearest step whose update is known serves for one that
            is no longer.

    Yields:
        The lines so far, coarse ones of all lanes first.
    """
    step, theta, update = step_of(run, step)
    gradients = run.objective.gradients(theta)
    rest = {
        key: step_lines(run.objective, theta[lane], update[lane], gradient=gradients[lane])
        for lane, key in enumerate(run.experiment.lanes)
    }
    lines: dict[str, StepLine] = {}
    while rest:
        for key in list(rest):
            line = next(rest[key], None)
            if line is None:
                del rest[key]
            else:
                lines[key] = line
        yield Ahead(step, dict(lines), run.problem.quantized > 0)


def step_of(run: Run, step: int) -> tuple[int, Tensor, Tensor]:
    """A step, the parameters (L, P) before it and its updates (L, P)."""
    if step >= run.ensemble.t:
        theta = run.shown(run.ensemble.theta)
        return run.ensemble.t, theta, run.shown(run.ensemble.next_theta) - theta
    whole = [t for t in run.snapshots.steps if run.snapshots.at(t + 1) is not None]
    step = min(whole, key=lambda t: abs(t - step))
    before, after = run.snapshots.at(step), run.snapshots.at(step + 1)
    theta = torch.tensor(before).to(run.objective.theta)
    return step, theta, torch.tensor(after).to(theta) - theta
