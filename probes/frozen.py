"""A module's loss as a pure function of its parameters.

Two layers of training mode are not: batch normalisation writes running statistics, and dropout
redraws its mask. A probe divides a difference of two losses by sigma, so either would measure
bookkeeping and noise instead of geometry.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from probes.layout import Batch, Entry


class FixedDropout(nn.Module):
    """Dropout with one mask a layer and input shape: the same at every point that is probed.

    The mask comes from a generator of its own, never the global one that all threads share.

    Args:
        p: share of the entries set to zero, in [0, 1].
        index: number of the layer, so that two layers of one shape get different masks.
    """

    def __init__(self, p: float, index: int) -> None:
        super().__init__()
        self.p = p
        self.index = index
        # A numpy array: a tensor made inside vmap or grad must not outlive the transform.
        self._mask: np.ndarray | None = None

    def forward(self, x: Tensor) -> Tensor:
        """X times the mask, of x's shape."""
        if self._mask is None or self._mask.shape != tuple(x.shape):
            generator = np.random.default_rng((self.index, *x.shape))
            kept = generator.random(tuple(x.shape)) >= self.p
            self._mask = kept / (1.0 - self.p) if self.p < 1.0 else np.zeros(x.shape)
        return x * torch.as_tensor(self._mask).to(device=x.device, dtype=x.dtype)


def frozen_copy(module: nn.Module) -> nn.Module:
    """Deep-copies a module and makes the copy's forward pass free of side effects.

    Normalisation layers in training mode keep using the statistics of their batch and leave the
    running ones out. `nn.Dropout` in training mode becomes `FixedDropout`. Layers in evaluation
    mode stay as they are. The given module is never touched.

    Args:
        module: any module that can be deep-copied.

    Returns:
        The copy.

    Raises:
        ValueError: the module cannot be deep-copied.
    """
    try:
        frozen = copy.deepcopy(module)
    except RuntimeError as error:
        raise ValueError(
            f"{type(module).__name__} cannot be deep-copied ({error}). Probing works on a copy of"
            " the module: use torch.nn.utils.parametrizations in place of the older hooks."
        ) from error
    dropouts: dict[nn.Module, FixedDropout] = {}
    for parent in list(frozen.modules()):
        if isinstance(parent, _NormBase) and parent.training:
            parent.track_running_stats = False
        for name, child in parent.named_children():
            if type(child) is nn.Dropout and child.training:
                fixed = dropouts.setdefault(child, FixedDropout(child.p, len(dropouts)))
                setattr(parent, name, fixed)
    return frozen


@dataclass(frozen=True)
class ModuleLoss:
    """loss_fn(module_theta(inputs), targets), pure and traceable by torch.func.

    Attributes:
        module: a `frozen_copy`.
        loss_fn: (output, targets) -> scalar.
        layout: where each parameter lies in theta.
        batch: (inputs, targets), used where a call names no other.
    """

    module: nn.Module
    loss_fn: Callable[[Any, Any], Tensor]
    layout: tuple[Entry, ...]
    batch: Batch

    def __call__(self, theta: Tensor, batch: Batch | None = None) -> Tensor:
        """The loss at theta (P,), a scalar."""
        inputs, targets = self.batch if batch is None else batch
        pieces = theta.split([entry.stop - entry.start for entry in self.layout])
        state = {e.name: v.view(e.shape) for e, v in zip(self.layout, pieces, strict=True)}
        # Clones, because a layer may write into its buffers, and probing changes nothing.
        state.update((name, buffer.clone()) for name, buffer in self.module.named_buffers())
        return self.loss_fn(functional_call(self.module, state, (inputs,)), targets)

    def copy(self) -> ModuleLoss:
        """The same loss on a module of its own, for another thread."""
        return replace(self, module=copy.deepcopy(self.module))
