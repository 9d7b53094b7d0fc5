"""What is known of all runs at one step, before that step is taken."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

__all__ = ["MEASURED", "Record", "held"]


@dataclass(frozen=True)
class Record:
    """The present state theta_t of R runs and the update planned from it.

    A frozen (diverged) run repeats its last finite loss, probe loss and gradient norm; its update
    is zero and its lgi, damping, effective_lr, got and update_cosine are nan.

    Args:
        step: t, counted from 0.
        loss: (R,) on the step's mini-batch.
        probe_loss: (R,) on the fixed probe set, the objective's own batch.
        gradient_norm: (R,) Euclidean norm of the mini-batch gradient.
        lgi: (R,) rho; nan where a lane does not probe.
        damping: (R,) a_t; 1 for a lane without damping.
        effective_lr: (R,) lr * damping.
        got: (R,) change of the mini-batch loss that the step BEFORE brought, on its own batch:
            f_b(theta_t) - f_b(theta_{t-1}), so promised[t] is answered by got[t + 1]; nan at the
            first step. Where all steps see one batch it is this loss minus the last one;
            otherwise it costs one more forward of all runs.
        promised: (R,) gradient . update, the change of loss that the tangent promises.
        update_norm: (R,) Euclidean norm of the planned update, weight decay included.
        update_cosine: (R,) cosine with the update before; nan at the first step.
        gradient_projection: (R, J) gradient on J fixed directions, the same for all runs.
        update_projection: (R, J) update on the same directions.
    """

    step: int
    loss: Tensor
    probe_loss: Tensor
    gradient_norm: Tensor
    lgi: Tensor
    damping: Tensor
    effective_lr: Tensor
    got: Tensor
    promised: Tensor
    update_norm: Tensor
    update_cosine: Tensor
    gradient_projection: Tensor
    update_projection: Tensor


#: The fields that are tensors: all but the step.
MEASURED = tuple(field.name for field in fields(Record) if field.name != "step")


def held(seen: Record, last: Record, healthy: Tensor) -> Record:
    """The record with a frozen run's last finite values in place of what it reads now."""
    names = ("loss", "probe_loss", "gradient_norm")
    kept = {n: torch.where(healthy, getattr(seen, n), getattr(last, n)) for n in names}
    return replace(seen, **kept)
