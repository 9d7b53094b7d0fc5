"""What a file turns into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AdamState", "Checkpoint", "Moments"]


@dataclass(frozen=True)
class Moments:
    """What Adam remembers of one parameter.

    Args:
        name: the tensor that it belongs to, where the file leaves no doubt, else None.
        exp_avg: m, float32, shaped like the parameter.
        exp_avg_sq: v, float32, >= 0, of the same shape.
        step: steps taken, >= 0.
    """

    name: str | None
    exp_avg: Tensor
    exp_avg_sq: Tensor
    step: int


@dataclass(frozen=True)
class AdamState:
    """The state of torch's Adam or AdamW, or of `sadam.SAdam`.

    A setting is None where it is not a plain number, or where groups of parameters differ in it.

    Args:
        moments: place of a parameter in the order that the optimizer was given -> what it
            remembers; parameters that never had a gradient are missing.
        parameters: how many parameters the optimizer was given.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the square root of v.
        weight_decay: as the optimizer applies it.
    """

    moments: dict[int, Moments]
    parameters: int
    lr: float | None
    betas: tuple[float, float] | None
    eps: float | None
    weight_decay: float | None


@dataclass(frozen=True)
class Checkpoint:
    """A file that was read.

    Args:
        tensors: name without the wrapper's prefix -> float32, finite and contiguous, or int64 for
            scalar counters; in the file's order.
        optimizer: Adam's state where the file has one, else None.
        meta: "format" ("torch" or "safetensors"); "wrapper", the key above the state dict, or
            None; "prefix" that was taken off the names; "dtypes", name -> type in the file;
            "values", the plain values beside the state dict, such as epoch; "left_aside", the keys
            of what was not read.
    """

    tensors: dict[str, Tensor]
    optimizer: AdamState | None
    meta: dict[str, Any]
