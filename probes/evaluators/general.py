"""Losses and gradients at many points of any module: under `vmap`, or in a plain loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

Loss = Callable[[Tensor], Tensor]


def mapped_losses(loss: Loss, points: Tensor) -> Tensor:
    """f at points (g, P) -> (g,), all at once."""
    return vmap(loss)(points)


def looped_losses(loss: Loss, points: Tensor) -> Tensor:
    """f at points (g, P) -> (g,), one after another."""
    return torch.stack([loss(point) for point in points])


def mapped_slopes(loss: Loss, points: Tensor) -> tuple[Tensor, Tensor]:
    """f and its gradient at points (g, P) -> (g,), (g, P), all at once."""
    gradients, losses = vmap(grad_and_value(loss))(points)
    return losses, gradients


def summed_slopes(losses_at: Loss, points: Tensor) -> tuple[Tensor, Tensor]:
    """The same by one backward pass through points (g, P) -> losses (g,) that do not meet.

    Autograd, not torch.func: it also takes modules that torch.func refuses.
    """
    points = points.clone().requires_grad_()
    with torch.enable_grad():
        losses = losses_at(points)
    if not losses.requires_grad:
        return losses, torch.zeros_like(points)  # f is constant to autograd
    (gradients,) = torch.autograd.grad(losses.sum(), points)
    return losses.detach(), gradients
