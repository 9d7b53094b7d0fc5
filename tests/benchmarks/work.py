"""The workloads that figures are taken on."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from probes import Objective, Plane, random_plane
from probes.memory import in_chunks

cross_entropy = nn.functional.cross_entropy


def digits() -> tuple[Tensor, Tensor]:
    """All 1797 digits, (1797, 64) from 0 to 1, and their classes."""
    images, classes = load_digits(return_X_y=True)
    return torch.from_numpy(images).float() / 16.0, torch.from_numpy(classes)


def seeded(build) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def mlp() -> nn.Module:
    """W1's network, 64-128-128-10."""
    return seeded(
        lambda: nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
        )
    )


def cnn() -> nn.Module:
    """W2's network on 1 x 8 x 8 images, 16 and 32 channels."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(512, 10),
        )
    )


# FLOP a sample and point, all layers counted in full.
MLP_FLOP = 2 * (64 * 128 + 128 * 128 + 128 * 10)
CNN_FLOP = 2 * (64 * 9 * 16 + 64 * 144 * 32 + 512 * 10)


def plain_loop(module: nn.Module, batch: tuple[Tensor, Tensor], plane: Plane, side: int) -> Tensor:
    """A slice as anybody writes it: set the parameters, run the module, take the loss."""
    losses = []
    parameters = list(module.parameters())
    with torch.no_grad():
        for point in plane.points(*plane.grid(side)):
            nn.utils.vector_to_parameters(point, parameters)
            losses.append(cross_entropy(module(batch[0]), batch[1]).item())
    return torch.tensor(losses).view(side, side)


def through_vmap(objective: Objective, plane: Plane, side: int) -> Tensor:
    """The same by `torch.func.vmap`, in the chunks that its footprint asks for."""
    general = objective.copy()
    general._layered = "left out here"
    points = plane.points(*plane.grid(side))
    chunk = general._chunk(backward=False)
    with torch.no_grad():
        (losses,), _ = in_chunks(lambda part: (torch.func.vmap(general.loss)(part),), points, chunk)
    return losses.view(side, side)


def sliced(module: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Objective, Plane]:
    """An objective and a plane of random, filter-normalised axes."""
    objective = Objective.from_module(module, cross_entropy, batch)
    return objective, random_plane(objective, objective.theta, seed=0)
