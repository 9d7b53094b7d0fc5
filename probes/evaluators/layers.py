"""The stages of `Layered`: a layer with weights at g points, and the functions that follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from probes.layout import Entry

Function = Callable[[Tensor], Tensor]
Weights = tuple[Tensor, Tensor | None]


@dataclass(eq=False)
class Stage:
    """A layer with weights, and the functions that follow it.

    Attributes:
        layer: nn.Linear or nn.Conv2d, or a subclass with `stacked_weight`.
        weight: where its weight lies in theta.
        bias: the same for the bias; None without one.
        after: functions of its output, in place where they can be.
        width: the most numbers a sample that layer and functions make.
        whole: whether a function looks at all samples together.
    """

    layer: Any
    weight: Entry
    bias: Entry | None
    after: list[Function] = field(default_factory=list)
    width: int = 0
    whole: bool = False

    @property
    def rounding(self) -> Function | None:
        """What makes the weights in use of raw ones; None where these are used as they are."""
        return getattr(self.layer, "stacked_weight", None)

    @property
    def size(self) -> int:
        """How many parameters it has."""
        return sum(e.stop - e.start for e in (self.weight, self.bias) if e is not None)

    def weights(self, points: Tensor) -> Weights:
        """Weights in use (g, out, in) and biases (g, out, 1) of points (g, P)."""
        raw = self.turned(points[:, self.weight.start : self.weight.stop])
        if self.rounding is not None:
            raw = self.rounding(raw.clone())
        if self.bias is None:
            return raw, None
        return raw, points[:, self.bias.start : self.bias.stop, None]

    def turned(self, weights: Tensor) -> Tensor:
        """Flat weights (g, out in) in the order of the input, (g, out, in)."""
        return weights.view(len(weights), self.weight.shape[0], -1)


@dataclass(eq=False)
class Dense(Stage):
    """A linear layer, on activations (g, in, n) with samples last.

    Attributes:
        image: (C, H, W) where the input comes from a convolution, as (n, C, H, W) with channels
            last; the weights are turned to that order.
    """

    image: tuple[int, ...] | None = None

    def fitted(self, inputs: Tensor) -> Tensor:
        """Inputs (n, in) in the layout that all points share, (in, n)."""
        return inputs.T.contiguous()

    def turned(self, weights: Tensor) -> Tensor:
        """Flat weights (g, out in) in the order of the input, (g, out, in)."""
        raw = super().turned(weights)
        if self.image is None:
            return raw
        return raw.unflatten(2, self.image).permute(0, 1, 3, 4, 2).flatten(2)

    def product(self, weights: Weights, x: Tensor, out: Tensor) -> None:
        """Writes W x + b into out (g, out, n)."""
        weight, bias = weights
        if self.image is not None:
            x = x.permute(0, 2, 3, 1).flatten(1).T[None]
        if bias is None:
            torch.bmm(weight, x, out=out)
        else:
            torch.baddbmm(bias, weight, x, out=out)

    def finish(self, out: Tensor) -> None:
        """Applies the functions that follow, in place."""
        for function in self.after:
            y = function(out)
            if y is not out:
                out.copy_(y)


@dataclass(eq=False)
class Convolution(Stage):
    """A convolution at ONE point, on images (n, C, H, W) with channels last.

    A stack of convolutions has no fast form on a CPU: as groups of channels it takes longer than a
    loop. Each tile wipes the second cache, so every call of torch after it starts cold, at 5 to 10
    us: here few calls count for more than few numbers.
    """

    def fitted(self, inputs: Tensor) -> Tensor:
        """Inputs (n, C, H, W) as `images` takes them."""
        return inputs.contiguous(memory_format=torch.channels_last)

    def weights(self, points: Tensor) -> Weights:
        """Weight and bias in use at the one point of points (1, P), in their own shapes."""
        weight, bias = super().weights(points)
        return weight.view(self.weight.shape), None if bias is None else bias.view(-1)

    def images(self, weights: Weights, x: Tensor) -> Tensor:
        """The output, (n, C', H', W'), at one point."""
        layer = self.layer
        y = functional.conv2d(
            x, *weights, layer.stride, layer.padding, layer.dilation, layer.groups
        )
        return self.finished(y)

    def finished(self, y: Tensor) -> Tensor:
        """What the functions that follow make of (n, C', H', W')."""
        for function in self.after:
            y = function(y)
        return y


@dataclass(eq=False)
class Patches(Convolution):
    """The first convolution, as a product with the patches of the fixed images.

    Few channels make a slow convolution: the product takes half as long.

    Attributes:
        grid: (H', W') of the output.
    """

    grid: tuple[int, ...] = (1, 1)

    @staticmethod
    def allows(first: Convolution) -> bool:
        """Whether a convolution can be written so."""
        return first.layer.groups == 1 and not isinstance(first.layer.padding, str)

    @classmethod
    def of(cls, first: Convolution, one: Tensor) -> Patches:
        """The same convolution, for images like `one` (1, C, H, W)."""
        grid = first.layer(one).shape[2:]
        parts = (first.layer, first.weight, first.bias, first.after, first.width, first.whole)
        return cls(*parts, grid=tuple(grid))

    def fitted(self, inputs: Tensor) -> Tensor:
        """The patches of images (n, C, H, W), a row a place, (n H' W', C k k)."""
        layer = self.layer
        columns = functional.unfold(
            inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride
        )
        return columns.transpose(1, 2).flatten(0, 1)

    def weights(self, points: Tensor) -> Weights:
        """Weight (out, in) and bias in use at the one point of points (1, P)."""
        weight, bias = super().weights(points)
        return weight.flatten(1), bias

    def images(self, weights: Weights, x: Tensor) -> Tensor:
        """The output, (n, C', H', W'), channels last, at one point."""
        y = functional.linear(x, *weights)
        return self.finished(y.view(-1, *self.grid, y.shape[1]).permute(0, 3, 1, 2))
