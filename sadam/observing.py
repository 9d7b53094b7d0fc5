"""What an ensemble reads off its runs at a step: who is well, and what goes into the record."""

from dataclasses import replace

import torch
from torch import Tensor

from sadam.record import Record

__all__ = ["all_finite", "kept", "known", "observed"]


def all_finite(rows: Tensor, norms: Tensor) -> Tensor:
    """Which rows (R, P) hold finite values only, given their norms (R,).

    A finite norm says so; where one overflows, 0 times what is not finite is nan.
    """
    finite = norms.isfinite()
    return finite if _all(finite) else (0 * rows).sum(1) == 0


def kept(mask: Tensor, rows: Tensor, other: Tensor | float) -> Tensor:
    """Rows (R, P) where the mask (R,) holds, else the other."""
    return rows if _all(mask) else torch.where(mask[:, None], rows, other)


def _all(mask: Tensor) -> bool:
    """Whether all of a mask holds; no on an accelerator, which asking would wait for."""
    return mask.device.type == "cpu" and bool(mask.all())


def known(
    step: int,
    loss: Tensor,
    slope: Tensor,
    rho: Tensor,
    damping: Tensor,
    lr: Tensor,
    *,
    projections: int,
    probe_loss: Tensor | None,
) -> Record:
    """The record of what training itself knows of a step and its plan; all else is nan.

    Args:
        step: t.
        loss: (R,) on the mini-batch.
        slope: (R,) norm of the gradient.
        rho: (R,), nan where nothing was measured.
        damping: (R,), nan where a run is frozen.
        lr: (R,) the learning rates.
        projections: J.
        probe_loss: (R,) where it is known without asking.
    """
    unknown = torch.full_like(loss, torch.nan)
    shadow = unknown[:, None].expand(-1, projections)
    return Record(
        step=step,
        loss=loss,
        probe_loss=unknown if probe_loss is None else probe_loss,
        gradient_norm=slope,
        lgi=rho,
        damping=damping,
        effective_lr=lr * damping,
        got=unknown,
        slope_after=unknown,
        promised=unknown,
        update_norm=unknown,
        update_cosine=unknown,
        path_length=unknown,
        forwards=torch.zeros_like(loss, dtype=torch.int64),
        gradient_projection=shadow,
        update_projection=shadow,
    )


def observed(
    record: Record,
    gradient: Tensor,
    update: Tensor,
    *,
    before: Tensor,
    before_norm: Tensor,
    projection: Tensor,
) -> Record:
    """The record with what is measured of gradient and update only to be shown.

    Args:
        record: what is known of the step.
        gradient: (R, P).
        update: (R, P) planned.
        before: (R, P) the update that led here, 0 at first.
        before_norm: (R,) its norm.
        projection: (J, P) fixed directions.
    """
    norm = update.norm(dim=1)
    return replace(
        record,
        promised=(gradient * update).sum(1),
        update_norm=norm,
        update_cosine=(update * before).sum(1) / (norm * before_norm),
        path_length=torch.zeros_like(norm),
        # In this order the product runs along memory, three times as fast as the other (measured).
        gradient_projection=(projection @ gradient.T).T,
        update_projection=(projection @ update.T).T,
    )
