"""A small residual network with batch normalisation, for square images."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from demo_models.images import image_shape
from demo_models.networks import QuantActivation, QuantConv2d, QuantLinear
from demo_models.scenario import NetworkSpec


class ResidualBlock(nn.Module):
    """act(norm(conv(act(norm(conv(x))))) + shortcut(x)), on the meta device.

    The shortcut has no parameters: further channels start as zeros (He et al. 2016, option A).

    Args:
        channels_in, channels_out: of x and of the output; never fewer than before.
        spec: activation and rounding.
    """

    def __init__(self, channels_in: int, channels_out: int, spec: NetworkSpec) -> None:
        super().__init__()
        self.first = convolution(channels_in, channels_out, spec)
        self.second = convolution(channels_out, channels_out, spec)
        self.first_norm = nn.BatchNorm2d(channels_out, device="meta")
        self.second_norm = nn.BatchNorm2d(channels_out, device="meta")
        self.inner = QuantActivation(spec.activation, spec.activation_bits)
        self.outer = QuantActivation(spec.activation, spec.activation_bits)
        self.padding = channels_out - channels_in

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return (batch, channels_out, height, width) of input (batch, channels_in, ...)."""
        hidden = self.inner(self.first_norm(self.first(input)))
        shortcut = functional.pad(input, (0, 0, 0, 0, 0, self.padding))
        return self.outer(self.second_norm(self.second(hidden)) + shortcut)


def convolution(channels_in: int, channels_out: int, spec: NetworkSpec) -> QuantConv2d:
    """Return a rounded convolution without a bias, which the normalisation would take away."""
    made = QuantConv2d(channels_in, channels_out, spec.weight_bits, device="meta")
    made.register_parameter("bias", None)
    return made


def layers(spec: NetworkSpec, features: int, classes: int) -> list[nn.Module]:
    """Return the layers, on the meta device: a convolution, one block a width, mean, linear.

    Every block but the first sees the image at half the side. In training mode normalisation uses
    the statistics of the batch and, called directly, writes running ones into its buffers;
    `Objective` leaves those out, so that probing writes none.

    Args:
        spec: `hidden` are the channels of the blocks, not decreasing.
        features: numbers a sample: a square image of 1 or 3 channels.
        classes: width of the output.

    Raises:
        ValueError: the features are no such image, or the channels decrease.

    Source: He, Zhang, Ren, Sun 2016, Deep residual learning, section 4.2.
    """
    if any(after < before for before, after in pairwise(spec.hidden)):
        raise ValueError(
            f"hidden is {spec.hidden!r}; expected channels that never decrease for a residual "
            "network."
        )
    channels, side, _ = image_shape(features, 2 ** (len(spec.hidden) - 1))
    made: list[nn.Module] = [
        nn.Unflatten(-1, (channels, side, side)),
        convolution(channels, spec.hidden[0], spec),
        nn.BatchNorm2d(spec.hidden[0], device="meta"),
        QuantActivation(spec.activation, spec.activation_bits),
        ResidualBlock(spec.hidden[0], spec.hidden[0], spec),
    ]
    for before, after in pairwise(spec.hidden):
        made += [nn.AvgPool2d(2), ResidualBlock(before, after, spec)]
    made += [nn.AdaptiveAvgPool2d(1), nn.Flatten(-3)]
    made.append(QuantLinear(spec.hidden[-1], classes, spec.weight_bits, device="meta"))
    return made
