"""Which modules are evaluated layer by layer: reads a stack of known layers.

A layer of a class of its own takes part where that class defines, beside `forward`, one of the
attributes (properties)

    stacked_weight    of a subclass of nn.Linear or nn.Conv2d: the function that makes the weights
                      in use of the raw ones, both (g, ...); None where raw ones are in use
    stacked_output    of a layer without parameters: its function of inputs, both (g, ...)

The functions run without gradients, treat each of the g on its own, and may write into what they
are given. Behind a linear layer the dimensions after the first come in any order (samples last), so
each number may depend on itself and on the whole, such as a maximum over all of it, not on
neighbours; behind a convolution they are (g, n, C, H, W).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from probes.evaluators.layers import Convolution, Dense, Function
from probes.layout import Entry

# Monotone, so a pool may go before them, and they then have less to do.
MONOTONE = (torch.relu_, torch.tanh_)


class RefusedError(Exception):
    """A module that is not evaluated layer by layer; the text says why."""


def read_stages(
    module: nn.Module, trained: dict[int, Entry], inputs: Tensor
) -> tuple[Tensor, list[Dense | Convolution]]:
    """Reads a stack of known layers.

    Args:
        module: a known layer, or nested `nn.Sequential` of them, the last with weights linear.
        trained: where each trained parameter lies in theta, by its `id`.
        inputs: (N, ...).

    Returns:
        The inputs behind the leading layers without parameters, and the stages.

    Raises:
        RefusedError: the module holds something else.
    """
    made: list[Dense | Convolution] = []
    layers = list(_layers(module))
    while layers and not isinstance(layers[0], nn.Linear | nn.Conv2d):
        layer = layers.pop(0)
        if type(layer) not in (nn.Flatten, nn.Unflatten):
            _function(layer)
        inputs = layer(inputs)
    one = inputs[:1]
    image: tuple[int, ...] | None = None
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            made.append(_stage(layer, trained, one, image))
            image = None
        elif type(layer) is nn.Flatten:
            image = tuple(one.shape[1:]) if one.dim() == 4 else image
            if layer(one).shape != (1, one.numel()):
                raise RefusedError("a Flatten keeps more than one dimension")
        elif (function := _function(layer)) is not None:
            if hasattr(layer, "stacked_output") and function not in MONOTONE:
                made[-1].whole = True
                if isinstance(made[-1], Convolution):
                    function = _on_images(function)
            _append(made[-1].after, function, pool=type(layer) is nn.MaxPool2d)
        one = layer(one)
        made[-1].width = max(made[-1].width, one.numel())
    if not made or not isinstance(made[-1], Dense):
        raise RefusedError("the last layer with weights is no Linear")
    return inputs, made


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    if module._forward_hooks or module._forward_pre_hooks:
        raise RefusedError(f"a {type(module).__name__} has a hook")
    if type(module) is nn.Sequential:
        for child in module:
            yield from _layers(child)
    else:
        yield module


def _stage(
    layer: nn.Linear | nn.Conv2d,
    trained: dict[int, Entry],
    one: Tensor,
    image: tuple[int, ...] | None,
) -> Dense | Convolution:
    name = type(layer).__name__
    if type(layer) not in (nn.Linear, nn.Conv2d) and not _defines(layer, "stacked_weight"):
        raise RefusedError(f"{name} changes its weights and has no stacked_weight")
    if any(id(p) not in trained for p in (layer.weight, layer.bias) if p is not None):
        raise RefusedError(f"a {name} has parameters that are not trained")
    weight = trained[id(layer.weight)]
    bias = None if layer.bias is None else trained[id(layer.bias)]
    if isinstance(layer, nn.Linear) and one.dim() == 2:
        return Dense(layer, weight, bias, image=image)
    if isinstance(layer, nn.Conv2d) and one.dim() == 4 and layer.padding_mode == "zeros":
        return Convolution(layer, weight, bias)
    raise RefusedError(f"a {name} has inputs of shape {tuple(one.shape[1:])} a sample")


def _function(layer: nn.Module) -> Function | None:
    """The function of a layer without weights; None where it changes nothing."""
    kind = type(layer)
    if isinstance(layer, nn.Identity) or (kind is nn.Dropout and not layer.training):
        return None
    if kind is nn.ReLU:
        return torch.relu_
    if kind is nn.Tanh:
        return torch.tanh_
    if isinstance(layer, nn.GELU) and kind is nn.GELU:
        return partial(torch.ops.aten.gelu_, approximate=layer.approximate)
    if isinstance(layer, nn.MaxPool2d) and not layer.return_indices:
        return _pool(layer)
    if _defines(layer, "stacked_output") and not list(layer.parameters()):
        return layer.stacked_output  # type: ignore[return-value]
    raise RefusedError(f"{kind.__name__} is no layer that it knows")


def _append(after: list[Function], function: Function, *, pool: bool) -> None:
    place = len(after)
    while pool and place and after[place - 1] in MONOTONE:
        place -= 1
    after.insert(place, function)


def _on_images(function: Function) -> Function:
    """A function of a stack, for images (n, C, H, W) at one point."""
    return lambda x: function(x[None])[0]


def _pool(layer: nn.MaxPool2d) -> Function:
    """A pool of (n, C, H, W), as the maximum of strided views where its windows are tiles."""
    size, step, padding, dilation = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    if size == step and padding == (0, 0) and dilation == (1, 1) and not layer.ceil_mode:
        return lambda x: _maximum(_maximum(x, size[0], 2), size[1], 3)
    return layer


def _maximum(x: Tensor, size: int, dim: int) -> Tensor:
    before, stop = (slice(None),) * dim, x.shape[dim] // size * size
    largest, *others = (x[(*before, slice(i, stop, size))] for i in range(size))
    for view in others:
        largest = torch.maximum(largest, view)
    return largest


def _defines(layer: nn.Module, method: str) -> bool:
    """Whether the class that defines the layer's forward defines this method too."""
    owner = next(kind for kind in type(layer).__mro__ if "forward" in vars(kind))
    return method in vars(owner)
