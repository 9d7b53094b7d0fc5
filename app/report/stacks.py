"""Plain stacks inferred from names and shapes: MLPs, and Conv/ReLU/MaxPool/Linear."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from app.checkpoints.errors import shown
from demo_models.networks import QuantActivation

#: Sides of square images that are tried, in this order, by channels: digits, MNIST, CIFAR, ...
SIDES = {1: (8, 28, 32, 16, 64), 3: (32, 64, 28, 96, 224)}
OTHER_SIDES = (8, 16, 28, 32, 64)
#: Layers of a stack, and partial orders that a search for theirs may look at.
LAYERS, LOOKS = 64, 20_000
#: Placements of as many pools that are looked through, and that are told apart at the end.
SUBSETS, PLACEMENTS = 2_000, 6


class StackProblem(ValueError):  # noqa: N818 (a reason, told within another error's sentence)
    """Why tensors are no plain stack, as a part of a sentence."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer with weights.

    Args:
        name: the tensors' common name in the file, "" for a bare "weight".
        weight: (out, in) or (out, in, height, width).
        bias: (out,), or None.
    """

    name: str
    weight: Tensor
    bias: Tensor | None

    @property
    def convolves(self) -> bool:
        """Whether this is a convolution."""
        return self.weight.dim() == 4

    def tensor(self, kind: str) -> str:
        """The full name of its "weight" or "bias"."""
        return f"{self.name}.{kind}" if self.name else kind


@dataclass(frozen=True)
class Placement:
    """What shapes leave open in a stack with convolutions.

    Args:
        side: of the square input.
        padding: whether convolutions keep the side (padding (k - 1)/2), else they shrink it.
        pools: numbers of the convolutions, from 1, that are followed by MaxPool2d(2).
    """

    side: int
    padding: bool
    pools: tuple[int, ...]


def read_layers(tensors: Mapping[str, Tensor]) -> list[Layer]:
    """The layers of a plain stack in the order in which their shapes follow on each other.

    The order is found from shapes and, where those leave a choice, from the numbers in the names,
    never from the order in the file: safetensors sorts its names.

    Args:
        tensors: name -> tensor.

    Raises:
        StackProblem: they are no such stack.
    """
    layers = _paired(tensors)
    if len(layers) > LAYERS:
        raise StackProblem(f"it has {len(layers)} layers, more than {LAYERS}")
    ordered = _chained(sorted(layers, key=lambda layer: _natural(layer.name)))
    if ordered is None:
        raise StackProblem("the shapes of its layers do not follow on each other")
    if ordered[-1].convolves:
        raise StackProblem(f"its last layer {shown(ordered[-1].name)} is a convolution")
    if len(ordered[-1].weight) < 2:
        raise StackProblem("it has one output, and classes need two or more")
    return ordered


def placements(layers: Sequence[Layer], features: int | None) -> list[Placement]:
    """Where pools and padding may stand so that the flattened image fits the first Linear.

    Args:
        layers: of `read_layers`, at least one a convolution.
        features: numbers a sample of the data; None tries the usual sides.

    Returns:
        What fits at the first side where anything does, the one with most pools first, early ones
        before late ones, at most 6; [] where nothing fits.
    """
    convolutions = [layer for layer in layers if layer.convolves]
    channels = convolutions[0].weight.shape[1]
    last = convolutions[-1].weight.shape[0]
    wanted = layers[len(convolutions)].weight.shape[1]
    rest = math.isqrt(wanted // last)
    if rest * rest * last != wanted:
        return []
    for side in _sides(channels, features):
        found = list(_fitting(convolutions, side, rest))
        if found:
            ordered = sorted(found, key=lambda p: (not p.padding, -len(p.pools), p.pools))
            return ordered[:PLACEMENTS]
    return []


def build_stack(
    layers: Sequence[Layer], activation: str, placement: Placement | None
) -> tuple[nn.Sequential, dict[str, str]]:
    """The stack as a module that takes flat samples, with the file's weights.

    Args:
        layers: of `read_layers`.
        activation: "relu", "gelu" or "tanh", after every layer but the last.
        placement: of a stack with convolutions, else None.

    Returns:
        The module in evaluation mode, and its parameters' names -> the file's.
    """
    modules: list[nn.Module] = []
    names: dict[str, str] = {}
    if placement is not None:
        channels = layers[0].weight.shape[1]
        modules.append(nn.Unflatten(-1, (channels, placement.side, placement.side)))
    for number, layer in enumerate(layers, 1):
        if number > 1 and layers[number - 2].convolves and not layer.convolves:
            modules.append(nn.Flatten(-3))
        names |= {
            f"{len(modules)}.{kind}": layer.tensor(kind)
            for kind in ("weight", "bias")
            if kind == "weight" or layer.bias is not None
        }
        modules.append(_module(layer, padded=placement is not None and placement.padding))
        if number < len(layers):
            modules.append(QuantActivation(activation, 32))
        if placement is not None and number in placement.pools:
            modules.append(nn.MaxPool2d(2))
    return nn.Sequential(*modules).eval(), names


def _module(layer: Layer, *, padded: bool) -> nn.Module:
    weight, bias = layer.weight, layer.bias is not None
    if layer.convolves:
        kernel = (weight.shape[2], weight.shape[3])
        padding: Any = tuple((k - 1) // 2 for k in kernel) if padded else 0
        made: nn.Linear | nn.Conv2d = nn.Conv2d(
            weight.shape[1], weight.shape[0], kernel, padding=padding, bias=bias, device="meta"
        )
    else:
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias, device="meta")
    made.weight = nn.Parameter(weight.clone())
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.clone())
    return made


def _paired(tensors: Mapping[str, Tensor]) -> list[Layer]:
    """Every tensor as the weight or bias of a layer."""
    layers = []
    left = dict(tensors)
    for name, weight in tensors.items():
        owner, _, kind = name.rpartition(".")
        if kind != "weight" or weight.dim() not in (2, 4) or not weight.is_floating_point():
            continue
        layer = Layer(owner, left.pop(name), None)
        bias = left.get(layer.tensor("bias"))
        if bias is not None and tuple(bias.shape) == (len(weight),):
            layer = Layer(owner, weight, left.pop(layer.tensor("bias")))
        layers.append(layer)
    if left:
        name, tensor = next(iter(left.items()))
        raise StackProblem(
            f"{shown(name)} of shape {tuple(tensor.shape)} is no weight or bias of a Linear or a "
            "Conv2d"
        )
    if not layers:
        raise StackProblem("it has no layer with weights")
    return layers


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A name as a key that sorts fc2 before fc10."""
    parts = re.findall(r"\d{1,18}|\D+", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _follows(after: Layer, before: Layer) -> bool:
    width = len(before.weight)
    if before.convolves and not after.convolves:
        return after.weight.shape[1] % width == 0
    return before.convolves >= after.convolves and after.weight.shape[1] == width


def _chained(layers: list[Layer]) -> list[Layer] | None:
    """The first order, by the layers' own one, in which each follows on the one before."""
    looks = 0
    waiting: list[tuple[int, ...]] = [(i,) for i in reversed(range(len(layers)))]
    while waiting:
        chain = waiting.pop()
        if len(chain) == len(layers):
            return [layers[i] for i in chain]
        looks += 1
        if looks > LOOKS:
            raise StackProblem("its layers fit together in too many ways")
        rest = [i for i in range(len(layers)) if i not in chain]
        waiting += [(*chain, i) for i in reversed(rest) if _follows(layers[i], layers[chain[-1]])]
    return None


def _sides(channels: int, features: int | None) -> tuple[int, ...]:
    if features is None:
        return SIDES.get(channels, OTHER_SIDES)
    side = math.isqrt(features // channels)
    return (side,) if channels * side * side == features else ()


def _fitting(convolutions: Sequence[Layer], side: int, rest: int) -> Iterator[Placement]:
    """All paddings and pools that bring the side down to `rest`."""
    kernels = [tuple(layer.weight.shape[2:]) for layer in convolutions]
    if any(height != width for height, width in kernels):
        return
    odd = all(height % 2 for height, _ in kernels)
    trivial = all(height == 1 for height, _ in kernels)
    numbers = range(1, len(kernels) + 1)
    most = int(math.log2(side)) if side else 0
    for padding in (True, False) if odd and not trivial else (odd,):
        for count in range(min(len(kernels), most) + 1):
            # A deep stack has more subsets than anyone could tell apart.
            if math.comb(len(kernels), count) > SUBSETS:
                continue
            for pools in combinations(numbers, count):
                if _shrunk(kernels, side, padding, pools) == rest:
                    yield Placement(side, padding, pools)


def _shrunk(
    kernels: Sequence[tuple[int, ...]], side: int, padding: bool, pools: tuple[int, ...]
) -> int:
    for number, (kernel, *_) in enumerate(kernels, 1):
        side -= 0 if padding else kernel - 1
        side //= 2 if number in pools else 1
        if side < 1:
            return 0
    return side
