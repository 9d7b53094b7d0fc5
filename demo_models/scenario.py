"""What a scenario is: a plain declaration that loads without torch."""

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
        probe: training samples at most, from the front of the pool, that every loss, slice and jump
            on the page is measured on; and test samples that it counts right answers on.
        most_runs: optimizers x seeds that the page trains at once; None: no bound of its own.

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
    probe: int = 512
    most_runs: int | None = None

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
        for field in ("batch", "pool", "steps", "probe", "most_runs"):
            value = getattr(self, field)
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
