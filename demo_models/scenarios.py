"""The scenarios a person can choose, as plain declarations that load without torch."""

from __future__ import annotations

from dataclasses import replace

from demo_models.paper import PAPER
from demo_models.scenario import NetworkSpec, Scenario

DEFAULT = "digits-2bit"

_MLP = NetworkSpec("mlp", (64, 64))
_MLP_4BIT = replace(_MLP, weight_bits=4, activation_bits=4)
_MLP_2BIT = replace(_MLP, weight_bits=2, activation_bits=2)

_BUILT_IN = (
    # 512 fixed images: without batch noise every jump of the loss is the landscape's own.
    Scenario(
        key="digits-2bit",
        name="Digits, MLP, no batch noise",
        about="Rounding makes the loss a staircase, and AdamW at this rate chatters across it.",
        network=_MLP_2BIT,
        data="digits",
        batch=512,
        pool=512,
    ),
    Scenario(
        key="digits-4bit",
        name="Digits, MLP, no batch noise",
        about="Sixteen codes a weight: the stairs are finer and the jumps smaller.",
        network=_MLP_4BIT,
        data="digits",
        batch=512,
        pool=512,
    ),
    Scenario(
        key="digits-32bit",
        name="Digits, MLP, no batch noise",
        about="The same network with kinks (ReLU) but no stairs: promises of the gradient hold.",
        network=_MLP,
        data="digits",
        batch=512,
        pool=512,
    ),
    Scenario(
        key="digits-gelu",
        name="Digits, MLP with GELU, no batch noise",
        about="A smooth loss without kinks or stairs, to compare every instrument with.",
        network=replace(_MLP, activation="gelu"),
        data="digits",
        batch=512,
        pool=512,
    ),
    Scenario(
        key="digits-2bit-batch8",
        name="Digits, MLP, batch of 8",
        about="Stairs and batch noise together, as in training with very small batches.",
        network=_MLP_2BIT,
        data="digits",
        batch=8,
        steps=2000,
    ),
    Scenario(
        key="digits-noise",
        name="Digits, MLP, one label in five wrong, batch of 16",
        about="Batch noise without stairs: the loss jumps though the landscape has only kinks.",
        network=_MLP,
        data="digits",
        label_noise=0.2,
        batch=16,
        steps=2000,
    ),
    Scenario(
        key="cnn-2bit",
        name="Digits, CNN, batch of 64",
        about="A small convolutional network with rounded weights and activations.",
        network=NetworkSpec("cnn", (16, 32), "relu", 2, 2),
        data="digits",
        lr=0.003,
        batch=64,
        steps=600,
    ),
    Scenario(
        key="digits-qat",
        name="Digits, the paper's CNN with dropout, batch of 64",
        about="The paper's quantized network on small images; one dropout mask is kept throughout.",
        network=NetworkSpec("qat", (16, 32), "relu", 2, 2),
        data="digits",
        lr=0.003,
        batch=64,
        steps=600,
    ),
    Scenario(
        key="digits-residual",
        name="Digits, residual network, batch of 64",
        about="Kinks without stairs, and batch normalisation that ties the samples together.",
        network=NetworkSpec("residual", (8, 16)),
        data="digits",
        lr=0.003,
        batch=64,
        steps=600,
    ),
    Scenario(
        key="digits-transformer",
        name="Digits, transformer with GELU, batch of 64",
        about="Attention over the eight rows of an image: another smooth loss, to compare with.",
        network=NetworkSpec("transformer", (32, 64), "gelu"),
        data="digits",
        lr=0.003,
        batch=64,
        steps=600,
    ),
    Scenario(
        key="moons",
        name="Two moons, MLP with tanh",
        about="A small smooth problem that every optimizer solves.",
        network=NetworkSpec("mlp", (32, 32), "tanh"),
        data="two-moons",
        batch=256,
        pool=256,
    ),
    Scenario(
        key="spirals",
        name="Two spirals, MLP, batch of 64",
        about="A boundary that coarse weights find hard to draw.",
        network=_MLP_2BIT,
        data="spirals",
        batch=64,
        steps=2000,
    ),
    Scenario(
        key="abs-l1",
        name="L1 norm",
        about="A kink along each axis: at the minimum every step crosses one.",
        function="l1",
        lr=0.05,
        steps=400,
    ),
    Scenario(
        key="rosenbrock",
        name="Non-smooth Rosenbrock",
        about="A curved valley whose floor is a kink, to be followed to its end.",
        function="rosenbrock",
        lr=0.02,
        steps=2000,
    ),
    Scenario(
        key="max-of-planes",
        name="Maximum of three planes",
        about="Three faces meet at the minimum; two of them along each edge.",
        function="max-of-planes",
        lr=0.05,
        steps=400,
    ),
    Scenario(
        key="quadratic",
        name="Smooth quadratic",
        about="No singularity at all, for comparison: curvatures 1 and 10.",
        function="quadratic",
        lr=0.05,
        steps=400,
    ),
)

SCENARIOS: dict[str, Scenario] = {scenario.key: scenario for scenario in (*_BUILT_IN, *PAPER)}
