"""The paper's quantized network: rounded convolutions, dropout, one rounded linear layer."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from demo_models.images import image_shape
from demo_models.networks import QuantActivation, QuantConv2d, QuantLinear
from demo_models.scenario import NetworkSpec

DROPOUT = 0.25  # of the paper's experiments


class MaskedDropout(nn.Module):
    """Dropout whose mask is a buffer, so that a loss and all its probes see one and the same.

    In training mode the output is input * mask / (1 - p), with one mask for all samples of a
    batch; in evaluation mode the input itself. The mask stays until `redraw`: a mask drawn anew in
    each forward pass would put noise, divided by the probe radius, into every difference.

    Args:
        shape: of one sample.
        p: share of the entries that are dropped, in [0, 1).
        device: as in torch.

    Raises:
        ValueError: `p` is out of range.
    """

    mask: Tensor

    def __init__(self, shape: tuple[int, ...], p: float, device: str | None = None) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"p is {p!r}; expected at least 0 and less than 1.")
        self.p = p
        self.register_buffer("mask", torch.ones(shape, device=device))

    def redraw(self, generator: Generator) -> None:
        """Draw another mask, each entry kept with probability 1 - p."""
        drawn = torch.rand(self.mask.shape, generator=generator, device=generator.device)
        self.mask.copy_(drawn >= self.p)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Drop entries of input (..., *shape)."""
        return input * (self.mask / (1.0 - self.p)) if self.training else input

    @property
    def stacked_output(self) -> Callable[[Tensor], Tensor]:
        """What does the same to a stack of images (g, n, *shape), in place."""
        return (lambda x: x.mul_(self.mask / (1.0 - self.p))) if self.training else (lambda x: x)

    def extra_repr(self) -> str:
        """Show the arguments when the network is printed."""
        return f"{tuple(self.mask.shape)}, p={self.p}"


def redraw_dropout(network: nn.Module, generator: Generator) -> None:
    """Draw new masks for all `MaskedDropout` layers of `network`, as before a training step."""
    for layer in network.modules():
        if isinstance(layer, MaskedDropout):
            layer.redraw(generator)


def layers(spec: NetworkSpec, features: int, classes: int) -> list[nn.Module]:
    """Return the layers, on the meta device: convolutions, each with a pool, dropout, linear.

    Weights, activations and the last layer are rounded as `spec` says; for 32 x 32 x 3 and
    (16, 32) channels these are 16 and 32 filters of 3 x 3 and a linear layer from 2048.

    Args:
        spec: `hidden` are the channels.
        features: numbers a sample: a square image of 1 or 3 channels.
        classes: width of the output.

    Raises:
        ValueError: the features are no such image.

    Source: arXiv 2605.29547, experiments on quantization-aware training.
    """
    shrink = 2 ** len(spec.hidden)
    channels, side, _ = image_shape(features, shrink)
    made: list[nn.Module] = [nn.Unflatten(-1, (channels, side, side))]
    for before, after in pairwise((channels, *spec.hidden)):
        made.append(QuantConv2d(before, after, spec.weight_bits, device="meta"))
        made.append(QuantActivation(spec.activation, spec.activation_bits))
        made.append(nn.MaxPool2d(2))
    shape = (spec.hidden[-1], side // shrink, side // shrink)
    made.append(MaskedDropout(shape, DROPOUT, device="meta"))
    made.append(nn.Flatten(-3))
    width = shape[0] * shape[1] * shape[2]
    made.append(QuantLinear(width, classes, spec.weight_bits, device="meta"))
    return made
