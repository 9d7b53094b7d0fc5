"""The data: scikit-learn's digits, two moons and two spirals, each with one fixed split."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

Samples = tuple[Tensor, Tensor]

SPLIT_SEED = 20260  # any constant: the split is one and the same in every process and release
DIGITS_TRAIN = 1437  # four fifths of the 1797 images
TOY_SAMPLES = 1000
TOY_NOISE = 0.15  # of two moons: they nearly touch, and 2 % of the samples lie on the wrong side


@dataclass(frozen=True)
class Pixels:
    """What bytes of images are as numbers: (x / 255 - mean) / std of each channel.

    Args:
        mean, std: of each channel, in units of 0..1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return float32 of inputs (..., channels x height x width) uint8, channel by channel."""
        x = inputs.to(torch.float32).unflatten(-1, (len(self.mean), -1))
        mean, std = (255.0 * x.new_tensor(part)[:, None] for part in (self.mean, self.std))
        return x.sub_(mean).div_(std).flatten(-2)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set with its split.

    Args:
        train, test: samples (inputs (N, features) float32 or bytes, labels (N,) int64).
        classes: number of classes; labels are 0 to classes - 1.
        pixels: makes numbers of inputs that are bytes; None where they are numbers already.
    """

    train: Samples
    test: Samples
    classes: int
    pixels: Pixels | None = None


@lru_cache(maxsize=1)
def digits() -> Data:
    """Return scikit-learn's 8 x 8 digits, scaled from 0..16 to 0..1: 1437 to train, 360 to test."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _split(np.asarray(images) / 16.0, np.asarray(labels), DIGITS_TRAIN, classes=10)


@lru_cache(maxsize=1)
def two_moons() -> Data:
    """Return scikit-learn's two moons with noise 0.15: 800 to train, 200 to test."""
    from sklearn.datasets import make_moons

    points, labels = make_moons(TOY_SAMPLES, noise=TOY_NOISE, random_state=SPLIT_SEED)
    return _split(np.asarray(points), np.asarray(labels), TOY_SAMPLES * 4 // 5, classes=2)


@lru_cache(maxsize=1)
def spirals() -> Data:
    """Return two interleaved spirals of 1.5 turns: 800 to train, 200 to test.

    Sample i of a class has radius sqrt(i / n), so that the samples lie evenly along the arm.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    radius = np.sqrt(np.linspace(0.02, 1.0, TOY_SAMPLES // 2))
    angle = 3.0 * np.pi * radius
    arm = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)
    points = np.concatenate((arm, -arm)) + rng.normal(scale=0.02, size=(TOY_SAMPLES, 2))
    labels = np.repeat((0, 1), TOY_SAMPLES // 2)
    return _split(points, labels, TOY_SAMPLES * 4 // 5, classes=2)


DATA_SETS: dict[str, Callable[[], Data]] = {
    "digits": digits,
    "two-moons": two_moons,
    "spirals": spirals,
}


def with_label_noise(data: Data, share: float, seed: int) -> Data:
    """Return `data` with round(share N) training labels moved to another class.

    Which labels, and to which of the other classes, is uniform and depends on `seed` alone. The
    test labels and the inputs stay as they are.

    Args:
        data: what to start from; it is not changed.
        share: of the training labels, in [0, 1].
        seed: of the draw.

    Raises:
        ValueError: `share` is outside [0, 1].
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share is {share!r}; expected 0 to 1.")
    inputs, labels = data.train
    rng = np.random.default_rng(seed)
    flipped = rng.permutation(len(labels))[: round(share * len(labels))]
    # Adding 1 to classes - 1 modulo the number of classes reaches every class but the own one.
    shift = rng.integers(1, data.classes, size=len(flipped))
    noisy = labels.clone()
    noisy[flipped] = (labels[flipped] + torch.from_numpy(shift)) % data.classes
    return replace(data, train=(inputs, noisy))


def _split(inputs: np.ndarray, labels: np.ndarray, train: int, classes: int) -> Data:
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))

    def samples(rows: np.ndarray) -> Samples:
        x = torch.from_numpy(inputs[rows].astype(np.float32))
        return x, torch.from_numpy(labels[rows].astype(np.int64))

    return Data(samples(order[:train]), samples(order[train:]), classes)
