"""The fake quantizer of the released S-Adam experiments, with a straight-through gradient.

A tensor x is rounded to few integer codes and scaled back, so that it keeps its type and size:

    scale = top / (max|x| + 1e-5)        top = 7 at 4 bits, 1.5 at 2 bits
    code  = clamp(round(x scale), low, high)      -8..7 at 4 bits, -2..1 at 2 bits
    q(x)  = code / scale

At 2 bits |x| scale stays below 1.5 thanks to the 1e-5, so the code -2 is never used as long as the
1e-5 survives the sum with max|x|: in float32 up to about 80, far above any weight here. A 2-bit
weight is thus one of three values, and a 2-bit ReLU output one of two.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

OFFSET = 1e-5  # of the released code; keeps the scale of an all-zero tensor finite


@dataclass(frozen=True)
class Grid:
    """The codes of one bit width: `top` is what max|x| is scaled to, before rounding."""

    top: float
    low: int
    high: int


GRIDS: dict[int, Grid] = {4: Grid(7.0, -8, 7), 2: Grid(1.5, -2, 1)}


def fake_quantize(x: Tensor, bits: int) -> Tensor:
    """Round `x` to the values that `bits` bits can hold; the gradient passes straight through.

    The largest magnitude is taken over the whole tensor, and under `torch.func.vmap` over each
    run's own. The backward pass is the identity, also where the value was clamped, so autograd's
    gradient is that of a surrogate and not of the rounded function.

    Args:
        x: floating tensor of any shape.
        bits: 32 (returns `x` itself), 4 or 2.

    Returns:
        A tensor like `x`.

    Raises:
        ValueError: `bits` is something else.

    Source: released code of Xu et al. 2026 (arXiv 2605.29547), experiments on quantized networks.
    """
    if bits == 32:
        return x
    grid = _grid(bits)
    return FakeQuantize.apply(x, grid, 0)


def levels(x: Tensor, bits: int, runs: int = 0) -> Tensor:
    """Return the integer codes that `fake_quantize` rounds `x` to, as a tensor of x's own type.

    Args:
        x: floating tensor of any shape.
        bits: 4 or 2.
        runs: how many leading dimensions count runs, each rounded with a scale of its own.

    Raises:
        ValueError: `bits` is something else; at 32 bits there are no codes.
    """
    grid = _grid(bits)
    return _codes(x, _scale(x, grid, runs), grid)


def fake_quantize_(x: Tensor, bits: int, *, relu: bool = False) -> Tensor:
    """`fake_quantize` of a whole stack, in place and without a gradient: for evaluation alone.

    Args:
        x: floating tensor (g, ...); each of the g is rounded with a scale of its own.
        bits: 4 or 2.
        relu: round relu(x) instead, in the same passes over x.

    Returns:
        x, equal to `fake_quantize` of each part to one rounding.

    Raises:
        ValueError: `bits` is something else.
    """
    grid = _grid(bits)
    own = tuple(range(1, x.ndim))
    largest = x.amax(own, keepdim=True)
    # Two maxima are faster than one over |x|, which would have to be written out.
    largest = largest.clamp_(min=0.0) if relu else largest.maximum(-x.amin(own, keepdim=True))
    scale = grid.top / (largest + OFFSET)
    codes = x.mul_(scale).round_().clamp_(0 if relu else grid.low, grid.high)
    return codes.mul_(scale.reciprocal_())


class FakeQuantize(torch.autograd.Function):
    """The rounding with its straight-through gradient, in the form that `torch.func` can map.

    The first `runs` dimensions of x count runs, each with a scale of its own. The rule for vmap is
    ours because torch's generated one takes ten times as long a call, half of a training step.
    """

    @staticmethod
    def forward(x: Tensor, grid: Grid, runs: int) -> Tensor:
        """Round to codes and scale back."""
        scale = _scale(x, grid, runs)
        return _codes(x, scale, grid).div_(scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing: the straight-through gradient needs neither input nor output."""

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any,  # noqa: ARG004 (autograd passes it)
        grad: Tensor,
    ) -> tuple[Tensor, None, None]:
        """Pass the gradient on as if nothing had been rounded."""
        return grad, None, None

    @staticmethod
    def vmap(  # type: ignore[override]
        info: Any,  # noqa: ARG004 (torch.func passes it)
        in_dims: tuple[int, None, None],
        x: Tensor,
        grid: Grid,
        runs: int,
    ) -> tuple[Tensor, int]:
        """Make the mapped dimension one more of those that count runs."""
        return FakeQuantize.apply(x.movedim(in_dims[0], 0), grid, runs + 1), 0


def _grid(bits: int) -> Grid:
    if bits not in GRIDS:
        raise ValueError(f"bits is {bits!r}; expected 4 or 2, or 32 for no rounding.")
    return GRIDS[bits]


def _scale(x: Tensor, grid: Grid, runs: int) -> Tensor:
    """What x is multiplied with, one number a run, of as many dimensions as x."""
    own = tuple(range(runs, x.ndim))
    largest = x.abs().amax(own, keepdim=True) if own else x.abs()
    return grid.top / (largest + OFFSET)


def _codes(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    return (x * scale).round_().clamp_(grid.low, grid.high)
