"""Analytic functions: values by hand, minima, gradients away from kinks, and starts."""

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from demo_models.functions import FUNCTIONS, START_SPREAD

ALL = pytest.mark.parametrize("key", FUNCTIONS)


def points(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("key", "point", "value", "gradient"),
    [
        ("l1", (1.5, -1.0), 2.5, (1.0, -1.0)),
        ("l1", (-0.25, 0.5), 0.75, (-1.0, 1.0)),
        # y below x^2: 10 (4 - 1) + |1 - 2| and the gradient (20 x + 1, -10).
        ("rosenbrock", (2.0, 1.0), 31.0, (41.0, -10.0)),
        ("rosenbrock", (0.5, 1.0), 8.0, (-11.0, 10.0)),
        ("max-of-planes", (1.0, 0.0), 3.0, (3.0, 1.0)),
        ("max-of-planes", (-1.0, 1.0), 3.0, (-1.0, 2.0)),
        ("max-of-planes", (0.0, -1.0), 2.0, (-1.0, -2.0)),
        ("quadratic", (3.0, 2.0), 24.5, (3.0, 20.0)),
    ],
)
def test_values_and_gradients_by_hand(
    key: str, point: tuple[float, float], value: float, gradient: tuple[float, float]
) -> None:
    function = FUNCTIONS[key]
    assert function(points(point)).tolist() == [value]
    actual = grad(lambda p: function(p[None])[0])(points(point)[0])
    assert actual.tolist() == list(gradient)


@ALL
def test_the_minimum_is_where_it_is_said_to_be(key: str) -> None:
    function = FUNCTIONS[key]
    at_minimum = function(points(function.minimum)).item()
    assert at_minimum == function.value
    generator = torch.Generator().manual_seed(0)
    for radius in (1e-6, 1e-3, 0.1, 1.0, 3.0):
        direction = torch.randn(2000, 2, generator=generator, dtype=torch.float64)
        direction *= radius / direction.norm(dim=1, keepdim=True)
        around = points(function.minimum) + direction
        assert float(function(around).min()) > at_minimum


@ALL
def test_many_points_at_once_agree_with_one_at_a_time(key: str) -> None:
    function = FUNCTIONS[key]
    many = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([function(row[None])[0] for row in many])
    assert torch.equal(function(many), expected)
    assert torch.equal(vmap(lambda row: function(row[None])[0])(many), expected)


@ALL
def test_the_extent_holds_the_start_and_the_minimum(key: str) -> None:
    function = FUNCTIONS[key]
    x0, x1, y0, y1 = function.extent
    for x, y in (function.start_point, function.minimum):
        assert x0 < x < x1
        assert y0 < y < y1


@ALL
def test_starts_depend_on_the_seed_alone(key: str) -> None:
    function = FUNCTIONS[key]
    before = torch.get_rng_state()
    assert torch.equal(function.start(0), torch.tensor(function.start_point))
    assert torch.equal(function.start(3), function.start(3))
    assert not torch.equal(function.start(3), function.start(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_starts_spread_by_a_tenth() -> None:
    function = FUNCTIONS["l1"]
    starts = torch.stack([function.start(seed) for seed in range(1, 401)])
    away = starts - torch.tensor(function.start_point)
    # 400 draws: the standard deviation is known to 3.5 %, the mean to 0.005.
    torch.testing.assert_close(away.std(0), torch.full((2,), START_SPREAD), rtol=0.15, atol=0)
    torch.testing.assert_close(away.mean(0), torch.zeros(2), rtol=0, atol=0.025)
