"""Where each parameter tensor lies in the flat vector, and the data that go with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Entry:
    """One parameter tensor in the flat vector: theta[start:stop].view(shape)."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


def flattened(module: nn.Module) -> tuple[Tensor, tuple[Entry, ...]]:
    """The trainable parameters of a module as one vector.

    Args:
        module: parameters with requires_grad count, in the order of `named_parameters`.

    Returns:
        theta (P,), a copy, and the layout.

    Raises:
        ValueError: no trainable parameter, or more than one dtype or device among them.
    """
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    if not trained:
        raise ValueError(
            f"{type(module).__name__} has no parameter with requires_grad, expected at least one:"
            " pass a module that can be trained."
        )
    kinds = {(p.dtype, p.device) for _, p in trained}
    if len(kinds) > 1 or not trained[0][1].is_floating_point():
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(
            f"The parameters are {found}, expected one floating-point dtype on one device: pass"
            " dtype=torch.float32 or move the module first."
        )
    layout: list[Entry] = []
    for name, parameter in trained:
        start = layout[-1].stop if layout else 0
        layout.append(Entry(name, tuple(parameter.shape), start, start + parameter.numel()))
    return torch.cat([p.detach().reshape(-1) for _, p in trained]).clone(), tuple(layout)


def fitted_batch(batch: Batch, theta: Tensor) -> Batch:
    """The batch on theta's device, its floating-point tensors in theta's dtype.

    Tensors that fit already are returned as they are, not copied.

    Raises:
        TypeError: the batch is not a pair of tensors.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(f"batch is {described(batch)}, expected a pair (inputs, targets).")
    for name, part in zip(("inputs", "targets"), batch, strict=True):
        if not isinstance(part, Tensor):
            raise TypeError(f"The batch's {name} are {described(part)}, expected a tensor.")
    inputs, targets = (
        part.to(theta.device, theta.dtype) if part.is_floating_point() else part.to(theta.device)
        for part in batch
    )
    return inputs, targets


def checked_points(points: Tensor, theta: Tensor) -> Tensor:
    """Points (G, P) on theta's device and in its dtype.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: not of shape (G, P).
    """
    if not isinstance(points, Tensor) or not points.is_floating_point():
        raise TypeError(f"points are {described(points)}, expected a floating-point tensor.")
    if points.dim() != 2 or points.shape[1] != len(theta):
        hint = " Pass theta[None] for a single point." if points.dim() == 1 else ""
        raise ValueError(
            f"points have shape {tuple(points.shape)}, expected (G, {len(theta)}):"
            f" one row a point, one column a parameter.{hint}"
        )
    return points.detach().to(theta.device, theta.dtype)


def described(value: object) -> str:
    """A value's kind for an error: "a torch.int64 tensor", "of type list"."""
    return f"a {value.dtype} tensor" if isinstance(value, Tensor) else f"of type {_name(value)}"


def _name(value: object) -> str:
    return type(value).__name__
