"""Probe directions: standard normal draws, scaled to unit norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from probes.layout import Entry

Sphere = Literal["tensor", "global"]

# Added to a tensor's norm, as the released S-Adam does: a zero draw stays zero.
NORM_EPS = 1e-12


def draw_directions(
    k: int,
    layout: Sequence[Entry] | int,
    *,
    seed: int,
    step: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Raw standard normal draws, a pure function of (seed, step).

    A CPU generator of its own makes them, in float32: equal on every device and in every dtype,
    and untouched by other threads.

    Args:
        k: number of directions, at least 1.
        layout: the objective's layout, or P itself.
        seed: at least 0.
        step: at least 0; another step gives other draws.
        dtype: of the result.
        device: of the result.

    Returns:
        (k, P).

    Raises:
        ValueError: k, seed or step is out of range.
    """
    size = layout if isinstance(layout, int) else layout[-1].stop
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1 direction.")
    draws = torch.randn(k, size, generator=_generator(seed, step))
    return draws.to(device=device, dtype=dtype)


def normalize_directions(raw: Tensor, layout: Sequence[Entry], sphere: Sphere = "tensor") -> Tensor:
    """Scales directions to unit norm.

    Args:
        raw: (..., k, P).
        layout: the objective's layout.
        sphere: "tensor" gives every parameter TENSOR unit norm (the released S-Adam, so the whole
            has norm sqrt(number of tensors)); "global" gives the whole vector unit norm (the
            paper's text, arXiv 2605.29547).

    Returns:
        The directions, of the same shape.

    Raises:
        ValueError: sphere is unknown.
    """
    if sphere == "tensor":
        pieces = raw.split([entry.stop - entry.start for entry in layout], dim=-1)
    elif sphere == "global":
        pieces = (raw,)
    else:
        raise ValueError(f"sphere is {sphere!r}, expected 'tensor' or 'global'.")
    norms = [torch.linalg.vector_norm(piece, dim=-1, keepdim=True) for piece in pieces]
    return torch.cat([p / (n + NORM_EPS) for p, n in zip(pieces, norms, strict=True)], dim=-1)


def _generator(seed: int, step: int) -> torch.Generator:
    if seed < 0 or step < 0:
        raise ValueError(f"seed and step are {seed} and {step}, expected integers from 0 up.")
    mixed = np.random.SeedSequence((seed, step)).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))
