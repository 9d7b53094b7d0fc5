"""A small transformer that reads an image row by row: smooth, where its activation is GELU."""

import torch
from torch import Generator, Tensor, nn

from demo_models.images import image_shape
from demo_models.networks import QuantActivation, QuantLinear
from demo_models.scenario import NetworkSpec

HEADS = 4
POSITION_SPREAD = 0.02  # of the initial position vectors, as in ViT


class Rows(nn.Module):
    """An image's rows as tokens: a rounded linear map of each, plus a vector for its position.

    Args:
        count: tokens.
        features: numbers a token.
        width: of the result.
        bits: rounding of the map's weight: 32 (none), 4 or 2.
    """

    def __init__(self, count: int, features: int, width: int, bits: int) -> None:
        super().__init__()
        self.map = QuantLinear(features, width, bits, device="meta")
        self.positions = nn.Parameter(torch.empty(count, width, device="meta"))

    def draw_positions(self, generator: Generator) -> None:
        """Draw the position vectors, normal with standard deviation 0.02."""
        with torch.no_grad():
            self.positions.normal_(0.0, POSITION_SPREAD, generator=generator)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return (batch, count, width) of input (batch, count, features)."""
        return self.map(input) + self.positions


class Attention(nn.Module):
    """softmax(Q K' / sqrt(d)) V with four heads of d = width / 4, and a linear map of the result.

    Args:
        width: of a token, a multiple of 4.
        bits: rounding of the two weights.

    Source: Vaswani et al. 2017, Attention is all you need, eq. 1.
    """

    def __init__(self, width: int, bits: int) -> None:
        super().__init__()
        self.queries_keys_values = QuantLinear(width, 3 * width, bits, device="meta")
        self.out = QuantLinear(width, width, bits, device="meta")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return (batch, count, width) of the same."""
        heads = self.queries_keys_values(input).unflatten(-1, (3, HEADS, -1))
        query, key, value = heads.movedim(-3, 0).transpose(-3, -2).unbind(0)
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        mixed = scores.softmax(-1) @ value
        return self.out(mixed.transpose(-3, -2).flatten(-2))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): normalisation first (Xiong et al. 2020).

    Args:
        width: of a token.
        hidden: width of the MLP's one hidden layer.
        spec: activation and rounding.
    """

    def __init__(self, width: int, hidden: int, spec: NetworkSpec) -> None:
        super().__init__()
        bits = spec.weight_bits
        self.attention_norm = nn.LayerNorm(width, device="meta")
        self.attention = Attention(width, bits)
        self.mlp_norm = nn.LayerNorm(width, device="meta")
        self.mlp = nn.Sequential(
            QuantLinear(width, hidden, bits, device="meta"),
            QuantActivation(spec.activation, spec.activation_bits),
            QuantLinear(hidden, width, bits, device="meta"),
        )

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return (batch, count, width) of the same."""
        seen = input + self.attention(self.attention_norm(input))
        return seen + self.mlp(self.mlp_norm(seen))


class MeanToken(nn.Module):
    """The mean over an image's tokens."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return (batch, width) of input (batch, count, width)."""
        return input.mean(-2)


def layers(spec: NetworkSpec, features: int, classes: int) -> list[nn.Module]:
    """Return the layers, on the meta device: rows, blocks, normalisation, mean, linear.

    Args:
        spec: `hidden` holds the width of a token, a multiple of 4, and then for each block the
            width of its MLP.
        features: numbers a sample: a square image of 1 or 3 channels; the rows of all channels
            are tokens.
        classes: width of the output.

    Raises:
        ValueError: the features are no such image, or the widths do not fit.
    """
    width, *blocks = spec.hidden
    if width % HEADS or not blocks:
        raise ValueError(
            f"hidden is {spec.hidden!r}; expected a token width that is a multiple of {HEADS}, "
            "and the width of at least one block's MLP."
        )
    channels, side, _ = image_shape(features, 1)
    return [
        nn.Unflatten(-1, (channels * side, side)),
        Rows(channels * side, side, width, spec.weight_bits),
        *(TransformerBlock(width, hidden, spec) for hidden in blocks),
        nn.LayerNorm(width, device="meta"),
        MeanToken(),
        QuantLinear(width, classes, spec.weight_bits, device="meta"),
    ]
