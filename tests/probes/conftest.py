"""Small modules and objectives that several tests share; nothing here comes from demo_models."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from probes import Objective


class Round2Bit(torch.autograd.Function):
    """Rounds to 2 bits with a straight-through gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        scale = 1.5 / (x.abs().max() + 1e-5)
        return torch.clamp(torch.round(x * scale), -2, 1) / scale

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        pass

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return gradient


class RoundedLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, Round2Bit.apply(self.weight), self.bias)


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return build().double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (12,), generator=generator)


@pytest.fixture
def mlp() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 3)))


@pytest.fixture
def rounded() -> nn.Module:
    return seeded(lambda: nn.Sequential(RoundedLinear(5, 8), nn.ReLU(), RoundedLinear(8, 3)))


@pytest.fixture
def objective(mlp: nn.Module, batch: tuple[Tensor, Tensor]) -> Objective:
    return Objective.from_module(mlp, nn.functional.cross_entropy, batch)


@pytest.fixture
def bowl() -> Objective:
    """f(x) = |x|^2 / 2 over two parameters, at (1, 2)."""
    theta = torch.tensor([1.0, 2.0], dtype=torch.float64)
    return Objective.from_function(lambda x: x.square().sum(dim=1) / 2.0, theta)


@pytest.fixture
def around() -> Callable[..., Tensor]:
    """Points scattered around an objective's theta."""

    def scatter(objective: Objective, count: int, spread: float = 0.3) -> Tensor:
        draws = torch.randn(
            count, objective.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        return objective.theta + spread * draws.to(objective.dtype)

    return scatter
