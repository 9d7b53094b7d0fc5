"""Every kind of network by its name in a scenario, with initial weights from an explicit seed."""

import torch
from torch import Generator, nn
from torch.nn.modules.batchnorm import _BatchNorm

from demo_models import networks, qat, residual, transformer
from demo_models.scenario import NetworkSpec

MASK_SEED = 0
_LAYERS = {"qat": qat.layers, "residual": residual.layers, "transformer": transformer.layers}


def build(spec: NetworkSpec, features: int, classes: int, seed: int) -> nn.Sequential:
    """Build the network of `spec` with initial weights that depend on `seed` alone.

    Rounded layers start as in `networks.build`, normalisations with scale 1 and shift 0. The first
    dropout mask is one and the same for all seeds, as runs in lockstep share one network.

    Args:
        spec: kind, widths, activation and rounding.
        features: numbers a sample.
        classes: width of the output, at least 2.
        seed: any integer that torch's generator takes.

    Returns:
        A network from (batch, features) to logits (batch, classes), float32, on the CPU, in
        training mode.

    Raises:
        ValueError: the kind does not take such features or widths; the text says what it takes.
    """
    if spec.kind not in _LAYERS:
        return networks.build(spec, features, classes, seed)
    made = nn.Sequential(*_LAYERS[spec.kind](spec, features, classes)).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    networks.draw_weights(made, generator)
    _start_the_rest(made, generator)
    qat.redraw_dropout(made, torch.Generator().manual_seed(MASK_SEED))
    return made


def _start_the_rest(network: nn.Module, generator: Generator) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.LayerNorm | _BatchNorm):
            layer.reset_parameters()
        elif isinstance(layer, transformer.Rows):
            layer.draw_positions(generator)
