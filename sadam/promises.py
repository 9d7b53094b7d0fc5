"""What the gradient promised and what the loss did: jumps, broken promises, promises kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["broken_promises", "loss_jump", "promise_kept", "relative_jump"]


def loss_jump(losses: ArrayLike) -> float:
    """Mean |change| of a loss from one step to the next, in the loss's own unit.

    Args:
        losses: (T,) loss on fixed samples at consecutive steps.

    Returns:
        The mean, or nan for fewer than two finite neighbours.
    """
    changes = np.abs(np.diff(_row(losses, "losses")))
    changes = changes[np.isfinite(changes)]
    return float(changes.mean()) if changes.size else float("nan")


def relative_jump(losses: ArrayLike) -> float:
    """The loss jump as a share of the mean loss: comparable between optimizers at other heights.

    Divided by the mean and not step by step, where a loss near 0 would outweigh all the rest.

    Args:
        losses: (T,) as for `loss_jump`.

    Returns:
        The share, or nan where there is no jump to state or the mean loss is 0.
    """
    values = _row(losses, "losses")
    finite = np.abs(values[np.isfinite(values)])
    height = finite.mean() if finite.size else 0.0
    return loss_jump(values) / float(height) if height > 0 else float("nan")


def broken_promises(promised: ArrayLike, got: ArrayLike) -> float | None:
    """The share of steps that promised a fall (gradient . update < 0) after which the loss rose.

    Args:
        promised: (T,) gradient . update of the step that is taken from row t.
        got: (T,) change that the step before row t brought on its own batch, so that
            promised[t] is answered by got[t + 1].

    Returns:
        The share in [0, 1] of those whose answer is known, or None where no step promised a fall.

    Raises:
        ValueError: promised and got of different length, or not of one run.
    """
    promises, answers = _answered(promised, got)
    falls = promises < 0
    return float((answers[falls] > 0).mean()) if falls.any() else None


def promise_kept(promised: ArrayLike, got: ArrayLike) -> float | None:
    """Sum of real change / sum of promised change: 1 where the loss does what its tangent says.

    Args:
        promised: (T,) as for `broken_promises`.
        got: (T,) as for `broken_promises`.

    Returns:
        The ratio, negative where the loss rose on the whole, or None where nothing was promised.

    Raises:
        ValueError: as for `broken_promises`.
    """
    promises, answers = _answered(promised, got)
    total = promises.sum()
    return float(answers.sum() / total) if total != 0 else None


def _answered(
    promised: ArrayLike, got: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each promise beside its answer; pairs with a nan are left out."""
    promises, answers = _row(promised, "promised"), _row(got, "got")
    if len(promises) != len(answers):
        raise ValueError(
            f"there are {len(promises)} promised and {len(answers)} got; give both of the same "
            "steps, as `History` holds them."
        )
    promises, answers = promises[:-1], answers[1:]
    whole = np.isfinite(promises) & np.isfinite(answers)
    return promises[whole], answers[whole]


def _row(values: ArrayLike, name: str) -> NDArray[np.float64]:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1:
        raise ValueError(f"{name} has shape {row.shape}; give one run at a time, shape (T,).")
    return row
