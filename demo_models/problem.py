"""A scenario made ready to train: its samples, its network and where each seed starts."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor, nn
from torch.nn import functional

from demo_models import architectures
from demo_models.archives import read_cifar
from demo_models.data import DATA_SETS, Data, Pixels, Samples, with_label_noise
from demo_models.functions import FUNCTIONS, AnalyticFunction
from demo_models.networks import QuantConv2d, QuantLinear
from demo_models.published import CIFAR, found
from demo_models.quantizers import levels
from demo_models.scenario import Scenario
from demo_models.tiny_imagenet import read_tiny_imagenet

_LOADING = Lock()
LABEL_NOISE_SEED = 0  # one fixed draw, so that all seeds of a scenario see the same wrong labels


@dataclass(frozen=True, eq=False)
class Problem:
    """What a scenario trains on; `build` makes it. The samples are shared: never write to them.

    Args:
        scenario: the declaration this was built from.
        function: f from points (G, 2) to values (G,), or None for a network.
        train: samples (inputs, labels) that batches are drawn from; None for a function.
        probe: the first `scenario.probe` of `train`, as numbers; the same tensors where `train` has
            no more and holds numbers already; or None.
        test: samples never trained on; None for a function.
        classes: number of classes; 0 for a function.
        pixels: makes numbers of the inputs of `train` and `test` where these are bytes, or None.
    """

    scenario: Scenario
    function: AnalyticFunction | None
    train: Samples | None
    probe: Samples | None
    test: Samples | None
    classes: int
    pixels: Pixels | None = None

    def numbers(self, samples: Samples) -> Samples:
        """Return samples of `train` or `test` as the network takes them."""
        return samples if self.pixels is None else (self.pixels(samples[0]), samples[1])

    def network(self, seed: int) -> nn.Sequential:
        """Return a new network with the initial weights of `seed`.

        Raises:
            ValueError: the scenario is an analytic function.
        """
        if self.train is None or self.scenario.network is None:
            raise ValueError(
                f"Scenario {self.scenario.key!r} is an analytic function and has no network; "
                "use .function and .start(seed)."
            )
        features = self.train[0].shape[1]
        return architectures.build(self.scenario.network, features, self.classes, seed)

    def start(self, seed: int) -> Tensor:
        """Return the initial parameters of `seed`, (P,) float32, in named_parameters order."""
        if self.function is not None:
            return self.function.start(seed)
        parameters = self.network(seed).parameters()
        return torch.cat([parameter.detach().reshape(-1) for parameter in parameters])

    @property
    def quantized(self) -> int:
        """The number W of weights that are rounded; 0 for a function and at 32 bits."""
        return sum(stop - start for start, stop in self._rounded)

    @property
    def rounded_layers(self) -> tuple[tuple[int, int], ...]:
        """Where each rounded layer's weights stand among all W of `codes`: (start, stop)."""
        sizes = [stop - start for start, stop in self._rounded]
        stops = list(accumulate(sizes))
        return tuple(zip([0, *stops[:-1]], stops, strict=True)) if stops else ()

    def codes(self, theta: Tensor) -> Tensor:
        """Return the integer levels that all rounded weights are at.

        Weights stand in the order of `named_parameters`; biases, which are never rounded, are
        left out. Two steps of one run changed levels where the rows differ.

        Args:
            theta: (N, P) parameter vectors, each rounded with scales of its own.

        Returns:
            (N, W) int8, W = `quantized`: (N, 0) where nothing is rounded.

        Raises:
            ValueError: theta has another shape.
        """
        if theta.dim() != 2 or theta.shape[1] != self._parameters:
            raise ValueError(
                f"theta has shape {tuple(theta.shape)}; expected (N, {self._parameters}): one row "
                "a parameter vector."
            )
        codes = torch.empty(len(theta), self.quantized, dtype=torch.int8, device=theta.device)
        if self.scenario.network is None or not self._rounded or not len(theta):
            return codes
        bits, done = self.scenario.network.weight_bits, 0
        for start, stop in self._rounded:
            codes[:, done : done + stop - start] = levels(theta[:, start:stop].detach(), bits, 1)
            done += stop - start
        return codes

    @cached_property
    def _parameters(self) -> int:
        return self.start(0).numel()

    @cached_property
    def _rounded(self) -> tuple[tuple[int, int], ...]:
        """Where the rounded weights of each layer stand in a parameter vector: (start, stop)."""
        if self.scenario.network is None or self.scenario.network.weight_bits == 32:
            return ()
        spans, stop, network = [], 0, self.network(0)
        layers = [m for m in network.modules() if isinstance(m, QuantLinear | QuantConv2d)]
        rounded = {id(layer.weight) for layer in layers}
        for parameter in network.parameters():
            start, stop = stop, stop + parameter.numel()
            if id(parameter) in rounded:
                spans.append((start, stop))
        return tuple(spans)

    @staticmethod
    def loss(output: Tensor, target: Tensor) -> Tensor:
        """Return the mean cross entropy of logits (B, classes) against labels (B,), in nats."""
        return functional.cross_entropy(output, target)

    @staticmethod
    def error(output: Tensor, target: Tensor) -> Tensor:
        """Return the share of wrong answers in [0, 1], a scalar of the logits' own type."""
        return (output.argmax(-1) != target).to(output.dtype).mean()


def build(scenario: Scenario) -> Problem:
    """Make `scenario` ready to train.

    Raises:
        ValueError: the scenario's function is unknown, or its pool or batch asks for more samples
            than there are; the text names the number and the limit.
        published.DataError: a ValueError: the data's files are absent or damaged.
    """
    if scenario.function is not None:
        if scenario.function not in FUNCTIONS:
            expected = ", ".join(repr(key) for key in FUNCTIONS)
            raise ValueError(f"function is {scenario.function!r}; expected one of {expected}.")
        return Problem(scenario, FUNCTIONS[scenario.function], None, None, None, 0)
    assert scenario.data is not None
    data = _data(scenario.data, scenario.label_noise)
    train = _first(data.train, scenario.pool)
    if scenario.batch > len(train[1]):
        raise ValueError(
            f"batch is {scenario.batch}; expected at most the {len(train[1])} samples of the pool."
        )
    made = Problem(scenario, None, train, None, data.test, data.classes, data.pixels)
    few = len(train[1]) <= scenario.probe
    return replace(made, probe=made.numbers(train if few else _first(train, scenario.probe)))


def _data(name: str, label_noise: float) -> Data:
    data = _loaded(name)
    return with_label_noise(data, label_noise, LABEL_NOISE_SEED) if label_noise else data


def _loaded(name: str) -> Data:
    if name in DATA_SETS:
        return DATA_SETS[name]()
    with _LOADING:  # two sessions that ask at once get one copy
        return _from_files(name, found(name))


@lru_cache(maxsize=1)  # the last one alone: each takes hundreds of megabytes
def _from_files(name: str, folder: Path) -> Data:
    return read_cifar(CIFAR[name], folder) if name in CIFAR else read_tiny_imagenet(folder)


def _first(samples: Samples, count: int | None) -> Samples:
    inputs, labels = samples
    if count is not None and count > len(labels):
        raise ValueError(f"pool is {count}; expected at most the {len(labels)} training samples.")
    return (inputs[:count], labels[:count]) if count is not None else samples
