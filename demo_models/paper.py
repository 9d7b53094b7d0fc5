"""The paper's network on the paper's data, for the command line: they need files."""

from demo_models.scenarios import NetworkSpec, Scenario

_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "tiny-imagenet": "Tiny ImageNet"}
_BITS = (2, 4, 32)
EPOCHS = 20  # of 50,000 images in batches of 128


def _scenario(data: str, bits: int) -> Scenario:
    return Scenario(
        key=f"{data}-{bits}bit",
        name=f"{_TITLES[data]}, the paper's CNN with dropout, batch of 128",
        about="The paper's quantized network on the paper's data.",
        network=NetworkSpec("qat", (16, 32), "relu", bits, bits),
        data=data,
        lr=0.001,
        batch=128,
        steps=EPOCHS * 50_000 // 128,
    )


PAPER: dict[str, Scenario] = {
    made.key: made for made in (_scenario(data, bits) for data in _TITLES for bits in _BITS)
}
