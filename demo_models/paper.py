"""The paper's network, and a small residual one, on the paper's data, which comes from files."""

from __future__ import annotations

from demo_models.scenario import NetworkSpec, Scenario

_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "tiny-imagenet": "Tiny ImageNet"}
_TRAINED = {"cifar10": 50_000, "cifar100": 50_000, "tiny-imagenet": 100_000}
_BATCH = 128
_EPOCHS = 20
#: Runs at once on the page: 24 of CIFAR take about five seconds a step, 8 of the larger images too.
_MOST_RUNS = {"cifar10": 24, "cifar100": 24, "tiny-imagenet": 8}


def _scenario(data: str, kind: str, name: str, about: str, network: NetworkSpec) -> Scenario:
    return Scenario(
        key=f"{data}-{kind}",
        name=f"{_TITLES[data]}, {name}, batch of {_BATCH}",
        about=about,
        network=network,
        data=data,
        lr=0.001,
        batch=_BATCH,
        steps=_EPOCHS * _TRAINED[data] // _BATCH,
        probe=256,
        most_runs=_MOST_RUNS[data],
    )


def _papers(data: str, bits: int) -> Scenario:
    network = NetworkSpec("qat", (16, 32), "relu", bits, bits)
    about = "The paper's quantized network on its data; one dropout mask is kept throughout."
    return _scenario(data, f"{bits}bit", "the paper's CNN", about, network)


def _residual(data: str) -> Scenario:
    network = NetworkSpec("residual", (8, 16, 32))
    about = "Kinks without stairs on natural images; normalisation ties the samples together."
    return _scenario(data, "residual", "residual network", about, network)


PAPER: tuple[Scenario, ...] = (
    *(_papers(data, bits) for data in _TITLES for bits in (2, 4, 32)),
    *(_residual(data) for data in ("cifar10", "cifar100")),
)
