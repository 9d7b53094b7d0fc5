"""Small networks whose weights and activations can be rounded, built from an explicit seed."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from demo_models.quantizers import fake_quantize, fake_quantize_
from demo_models.scenario import NetworkSpec


class QuantLinear(nn.Linear):
    """A linear layer that rounds its weight in each forward pass; its bias is never rounded.

    Args:
        in_features, out_features, device: as in `torch.nn.Linear`.
        bits: 32 (not rounded), 4 or 2.
    """

    def __init__(
        self, in_features: int, out_features: int, bits: int, device: str | None = None
    ) -> None:
        super().__init__(in_features, out_features, device=device)
        self.bits = bits

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return input W_q' + b; input (..., in_features)."""
        return functional.linear(input, fake_quantize(self.weight, self.bits), self.bias)

    @property
    def stacked_weight(self) -> Callable[[Tensor], Tensor] | None:
        """What rounds a stack of weights (g, ...) in place; None at 32 bits."""
        return _stacked_rounding(self.bits)


class QuantConv2d(nn.Conv2d):
    """A 3 x 3 convolution with padding 1 that rounds its weight in each forward pass.

    Args:
        in_channels, out_channels, device: as in `torch.nn.Conv2d`.
        bits: 32 (not rounded), 4 or 2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bits: int, device: str | None = None
    ) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, device=device)
        self.bits = bits

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return the convolution of input (..., in_channels, height, width)."""
        return self._conv_forward(input, fake_quantize(self.weight, self.bits), self.bias)

    @property
    def stacked_weight(self) -> Callable[[Tensor], Tensor] | None:
        """What rounds a stack of weights (g, ...) in place; None at 32 bits."""
        return _stacked_rounding(self.bits)


class QuantActivation(nn.Module):
    """An activation whose output is rounded, with one scale for the whole batch.

    Args:
        name: "relu", "gelu" or "tanh".
        bits: 32 (not rounded), 4 or 2.
    """

    def __init__(self, name: str, bits: int) -> None:
        super().__init__()
        self.name = name
        self.bits = bits

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Apply the activation, then round; any shape."""
        return fake_quantize(_ACTIVATIONS[self.name](input), self.bits)

    @property
    def stacked_output(self) -> Callable[[Tensor], Tensor]:
        """What does the same to a stack (g, ...) in place, each of the g with its own scale."""
        own = _IN_PLACE[self.name]
        if self.bits == 32:
            return own
        if self.name == "relu":
            return partial(fake_quantize_, bits=self.bits, relu=True)
        return lambda x: fake_quantize_(own(x), self.bits)

    def extra_repr(self) -> str:
        """Show the arguments when the network is printed."""
        return f"{self.name}, bits={self.bits}"


_ACTIVATIONS = {"relu": torch.relu, "gelu": functional.gelu, "tanh": torch.tanh}
_IN_PLACE = {"relu": torch.relu_, "gelu": torch.ops.aten.gelu_, "tanh": torch.tanh_}


def _stacked_rounding(bits: int) -> Callable[[Tensor], Tensor] | None:
    return None if bits == 32 else partial(fake_quantize_, bits=bits)


def build(spec: NetworkSpec, features: int, classes: int, seed: int) -> nn.Sequential:
    """Build the network of `spec` with initial weights that depend on `seed` alone.

    Weights are normal with standard deviation sqrt(2 / fan_in) (He et al. 2015, eq. 10), biases
    zero. Torch's own default law is narrower and halves the loss jumps of a 2-bit network. The
    draws come from a generator of their own: the global one is shared by all threads.

    Args:
        spec: kind, widths, activation and rounding.
        features: numbers a sample; a CNN takes them as one square image.
        classes: width of the output, at least 2.
        seed: any integer that torch's generator takes.

    Returns:
        A network from (batch, features) to logits (batch, classes), float32, on the CPU.

    Raises:
        ValueError: a CNN whose features are no square, or too small an image for its pools.
    """
    layers = _mlp(spec, features, classes) if spec.kind == "mlp" else _cnn(spec, features, classes)
    network = nn.Sequential(*layers).to_empty(device="cpu")
    draw_weights(network, torch.Generator().manual_seed(seed))
    return network


def _mlp(spec: NetworkSpec, features: int, classes: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise((features, *spec.hidden)):
        layers.append(QuantLinear(width_in, width_out, spec.weight_bits, device="meta"))
        layers.append(QuantActivation(spec.activation, spec.activation_bits))
    layers.append(QuantLinear(spec.hidden[-1], classes, spec.weight_bits, device="meta"))
    return layers


def _cnn(spec: NetworkSpec, features: int, classes: int) -> list[nn.Module]:
    side = math.isqrt(features)
    smallest = 2 ** len(spec.hidden)
    if side * side != features or side < smallest:
        raise ValueError(
            f"A CNN with {len(spec.hidden)} convolutions got {features} features a sample; "
            f"expected a square image of at least {smallest} x {smallest}. "
            "Use an MLP for this data."
        )
    layers: list[nn.Module] = [nn.Unflatten(-1, (1, side, side))]
    for channels_in, channels_out in pairwise((1, *spec.hidden)):
        layers.append(QuantConv2d(channels_in, channels_out, spec.weight_bits, device="meta"))
        layers.append(QuantActivation(spec.activation, spec.activation_bits))
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten(-3))
    width = spec.hidden[-1] * (side // smallest) ** 2
    layers.append(QuantLinear(width, classes, spec.weight_bits, device="meta"))
    return layers


def draw_weights(network: nn.Module, generator: Generator) -> None:
    """Draw all weights of rounded layers, as `build` says, and set their biases to zero."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, QuantLinear | QuantConv2d):
                fan_in = layer.weight[0].numel()
                layer.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
