"""The scenarios a person can choose, as plain declarations that load without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["mlp", "cnn", "qat", "residual", "transformer"]
Activation = Literal["relu", "gelu", "tanh"]

KINDS: tuple[Kind, ...] = ("mlp", "cnn", "qat", "residual", "transformer")
ACTIVATIONS: tuple[Activation, ...] = ("relu", "gelu", "tanh")
BITS: tuple[int, ...] = (32, 4, 2)
BUILT_IN: tuple[str, ...] = ("digits", "two-moons", "spirals")
FROM_FILES: tuple[str, ...] = ("cifar10", "cifar100", "tiny-imagenet")
DATA_SETS = BUILT_IN + FROM_FILES


@dataclass(frozen=True)
class NetworkSpec:
    """Which network is built, and how its numbers are rounded.

    Args:
        kind: "mlp", or for square images given as flat features "cnn", "qat" (the paper's: a CNN
            with dropout), "residual" (with batch normalisation) or "transformer" (rows as tokens).
        hidden: widths of the hidden layers of an MLP; channels of the convolutions or residual
            blocks; of a transformer the width of a token, then of each block's hidden layer.
        activation: "relu" and "tanh" as in torch, "gelu" the exact one.
        weight_bits: 32 (not rounded), 4 or 2, for every weight, the last layer's too; never biases.
        activation_bits: the same for the outputs of the hidden layers.

    Raises:
        ValueError: a value is not one of these; the text names the field, the value and the choice.
    """

    kind: Kind
    hidden: tuple[int, ...]
    activation: Activation = "relu"
    weight_bits: int = 32
    activation_bits: int = 32

    def __post_init__(self) -> None:
        """Refuse what `architectures.build` could not build."""
        _one_of("kind", self.kind, KINDS)
        _one_of("activation", self.activation, ACTIVATIONS)
        _one_of("weight_bits", self.weight_bits, BITS)
        _one_of("activation_bits", self.activation_bits, BITS)
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(
                f"hidden is {self.hidden!r}; expected at least one layer, each at least 1 wide."
            )

    @property
    def rounding(self) -> str:
        """The rounding in words, for titles."""
        if self.weight_bits == self.activation_bits == 32:
            return "not rounded"
        if self.weight_bits == self.activation_bits:
            return f"{self.weight_bits}-bit"
        return f"weights {self.weight_bits}-bit, activations {self.activation_bits}-bit"


@dataclass(frozen=True)
class Scenario:
    """One thing to train, with the settings that it starts with.

    Args:
        key: the name in URLs and on the command line.
        name: the name on the page, without the rounding, which `title` adds.
        about: one sentence: what to look for.
        network: the network, or None for an analytic function.
        data: one of `DATA_SETS`; `FROM_FILES` need files. None for an analytic function.
        label_noise: share of the training labels replaced by another class, in [0, 1].
        function: a key of `functions.FUNCTIONS`, or None for a network.
        lr: learning rate the scenario starts with.
        batch: samples a step, at least 1; equal to `pool` means the same full batch at each step.
        pool: training samples used, from the front of the fixed split; None uses them all.
        steps: steps a run lasts.

    Raises:
        ValueError: the scenario is neither a network on data nor a function, or a number is out
            of its range; the text names the field, the value and the range.
    """

    key: str
    name: str
    about: str
    network: NetworkSpec | None = None
    data: str | None = None
    label_noise: float = 0.0
    function: str | None = None
    lr: float = 0.01
    batch: int = 1
    pool: int | None = None
    steps: int = 1000

    def __post_init__(self) -> None:
        """Refuse a scenario that no problem could be built from."""
        if (self.network is None) != (self.data is None) or (self.network is None) == (
            self.function is None
        ):
            raise ValueError(
                f"Scenario {self.key!r} has network {self.network!r}, data {self.data!r} and "
                f"function {self.function!r}; expected a network with data, or a function alone."
            )
        if self.data is not None:
            _one_of("data", self.data, DATA_SETS)
        if not 0.0 <= self.label_noise <= 1.0:
            raise ValueError(f"label_noise is {self.label_noise!r}; expected 0 to 1.")
        if not self.lr > 0.0:
            raise ValueError(f"lr is {self.lr!r}; expected more than 0.")
        for field, value in (("batch", self.batch), ("pool", self.pool), ("steps", self.steps)):
            if value is not None and value < 1:
                raise ValueError(f"{field} is {value!r}; expected at least 1.")

    @property
    def title(self) -> str:
        """The name with the rounding in words: "Digits, MLP: 2-bit"."""
        return self.name if self.network is None else f"{self.name}: {self.network.rounding}"

    @property
    def is_function(self) -> bool:
        """Whether this is an analytic function of two parameters, which has no data."""
        return self.function is not None

    def rounded(self, bits: int) -> Scenario:
        """Return the same scenario with weights and activations at `bits`: 32, 4 or 2.

        Raises:
            ValueError: this is an analytic function, or `bits` is something else.
        """
        if self.network is None:
            raise ValueError(
                f"Scenario {self.key!r} is an analytic function and has nothing to round; "
                "choose one with a network."
            )
        network = replace(self.network, weight_bits=bits, activation_bits=bits)
        return replace(self, network=network)


def _one_of(field: str, value: object, choice: tuple[object, ...]) -> None:
    if value not in choice:
        expected = ", ".join(repr(item) for item in choice)
        raise ValueError(f"{field} is {value!r}; expected one of {expected}.")


DEFAULT = "digits-2bit"

_MLP = NetworkSpec("mlp", (64, 64))
_MLP_4BIT = replace(_MLP, weight_bits=4, activation_bits=4)
_MLP_2BIT = replace(_MLP, weight_bits=2, activation_bits=2)

_ALL = (
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

SCENARIOS: dict[str, Scenario] = {scenario.key: scenario for scenario in _ALL}
