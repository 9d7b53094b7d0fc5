"""What is known of all runs at one step, before that step is taken."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

__all__ = ["MEASURED", "Record", "fixed_directions", "following"]

# Seeds the fixed directions on which gradient and update are watched: the same in every session.
_PROJECTION_SEED = 20_260


@dataclass(frozen=True)
class Record:
    """The present state theta_t of R runs and the update planned from it.

    A frozen (diverged) run repeats its last finite loss, probe loss and gradient norm; its update
    is zero, its path and its forward passes grow no more, and its lgi, damping, effective_lr, got,
    slope_after and update_cosine are nan.

    Args:
        step: t, counted from 0.
        loss: (R,) on the step's mini-batch.
        probe_loss: (R,) on the fixed probe set, the objective's own batch.
        gradient_norm: (R,) Euclidean norm of the mini-batch gradient.
        lgi: (R,) rho; nan where a lane does not probe. A lane damped by asymmetry probes too.
        damping: (R,) a_t; 1 for a lane without damping.
        effective_lr: (R,) damping * the lane's learning rate at t.
        got: (R,) change of the mini-batch loss that the step BEFORE brought, on its own batch:
            f_b(theta_t) - f_b(theta_{t-1}), so promised[t] is answered by got[t + 1]; nan at the
            first step. Where all steps see one batch it is this loss minus the last one;
            otherwise it costs one more forward of all runs.
        slope_after: (R,) gradient at theta_t . the update that led there, on the batch of the step
            BEFORE, so promised[t] and slope_after[t + 1] are the slopes at both ends of one step,
            as Cockpit's alpha needs them. Known where all steps see one batch (full batch, or a
            function); nan with mini-batches, where it would cost another gradient, and at first.
        promised: (R,) gradient . update, the change of loss that the tangent promises.
        update_norm: (R,) Euclidean norm of the planned update, weight decay included.
        update_cosine: (R,) cosine with the update before; nan at the first step.
        path_length: (R,) sum of the Euclidean lengths of all updates that led to theta_t; 0 first.
        forwards: (R,) whole number of forward passes over a mini-batch that the optimizer itself
            spent up to the planned update: each step 1 for the gradient (its backward pass is not
            counted), k more where it probes, 2 k for asymmetry. What is measured only to be shown
            (probe_loss, got) does not count.
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
    slope_after: Tensor
    promised: Tensor
    update_norm: Tensor
    update_cosine: Tensor
    path_length: Tensor
    forwards: Tensor
    gradient_projection: Tensor
    update_projection: Tensor


#: The fields that are tensors: all but the step.
MEASURED = tuple(field.name for field in fields(Record) if field.name != "step")


def following(
    seen: Record,
    last: Record,
    healthy: Tensor,
    alive: Tensor,
    *,
    loss_after: Tensor,
    slope_after: Tensor,
    spent: Tensor,
) -> Record:
    """The record of a step that follows another one.

    Args:
        seen: what is known of theta_t by itself.
        last: the record before.
        healthy: (R,) whether loss and gradient at theta_t are finite, so that the run is there.
        alive: (R,) whether it goes on from there.
        loss_after: (R,) loss at theta_t on the batch of the step before.
        slope_after: (R,) gradient there . the update that led to theta_t, nan where not known.
        spent: (R,) forward passes at this step.

    Returns:
        The record with what the last step brought, what was walked and spent by now, and a frozen
        run's last finite values in place of what it reads now.
    """
    names = ("loss", "probe_loss", "gradient_norm")
    kept = {n: torch.where(healthy, getattr(seen, n), getattr(last, n)) for n in names}
    return replace(
        seen,
        got=torch.where(alive, loss_after - last.loss, torch.nan),
        slope_after=torch.where(alive, slope_after, torch.nan),
        path_length=last.path_length + torch.where(healthy, last.update_norm, 0.0),
        forwards=last.forwards + spent,
        **kept,
    )


def fixed_directions(size: int, count: int) -> Tensor:
    """(P, J) fixed directions of about unit length; the coordinates themselves for P <= J."""
    if size <= count:
        return torch.eye(size, dtype=torch.float64)
    generator = torch.Generator().manual_seed(_PROJECTION_SEED)
    return torch.randn(size, count, generator=generator, dtype=torch.float64) / size**0.5
