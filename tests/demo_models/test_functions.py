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


@pytest.mark.parametrize(
    ("key", "point", "distance"),
    [
        ("l1", (1.5, -1.0), -1.0),
        ("l1", (0.25, -1.0), 0.25),
        ("l1", (-0.25, 3.0), -0.25),
        ("l1", (2.0, 0.0), 0.0),
        # The floor: (3 - 1) / sqrt(1 + 4) against 1 - (-1) = 2, then x = 1 the nearer.
        ("rosenbrock", (-1.0, 3.0), 2.0 / 5.0**0.5),
        ("rosenbrock", (0.0, -0.5), -0.5),
        ("rosenbrock", (0.75, 3.0), 0.25),
        ("rosenbrock", (1.5, 5.0), -0.5),
        ("rosenbrock", (-1.5, 2.25), 0.0),
        # Planes 3x + y, -x + 2y, -x - 2y: they meet along 4x = y, 4x = -3y and y = 0.
        ("max-of-planes", (1.0, 1.0), 3.0 / 17.0**0.5),
        ("max-of-planes", (0.0, 1.0), -1.0 / 17.0**0.5),
        ("max-of-planes", (1.0, -1.0), 1.0 / 5.0),
        ("max-of-planes", (0.0, -1.0), -3.0 / 5.0),
        ("max-of-planes", (-2.0, 0.5), 0.5),
        ("max-of-planes", (-2.0, -0.5), -0.5),
        ("max-of-planes", (1.0, 4.0), 0.0),
        ("max-of-planes", (-1.0, 0.0), 0.0),
        # y = 0 is an edge to the left of the origin only; here the nearest is 4x = -3y.
        ("max-of-planes", (2.0, 0.0), 8.0 / 5.0),
    ],
)
def test_the_distance_from_a_kink_by_hand(
    key: str, point: tuple[float, float], distance: float
) -> None:
    kink = FUNCTIONS[key].kink
    assert kink is not None
    assert kink(points(point)).tolist() == pytest.approx([distance], abs=1e-15)


@pytest.mark.parametrize("key", ["l1", "rosenbrock", "max-of-planes"])
def test_the_gradient_is_constant_nearer_than_the_kink(key: str) -> None:
    function = FUNCTIONS[key]
    assert function.kink is not None
    generator = torch.Generator().manual_seed(0)
    centres = 2.0 * torch.randn(300, 2, generator=generator, dtype=torch.float64)
    # The curved floor is right to first order only: points near it, and a margin.
    share, near = (0.5, 0.1) if key == "rosenbrock" else (0.999, 9.0)
    far = function.kink(centres).abs()
    centres, far = centres[far < near], far[far < near]
    turn = torch.linspace(0.0, 6.2, 41, dtype=torch.float64)
    circle = torch.stack((turn.cos(), turn.sin()), dim=-1)

    def signs(many: Tensor) -> Tensor:
        """What is inside the absolute values, or which plane is the largest."""
        x, y = many[..., 0], many[..., 1]
        if key == "max-of-planes":
            planes = torch.stack((3 * x + y, 2 * y - x, -x - 2 * y), dim=-1)
            return planes.argmax(-1, keepdim=True)
        return torch.stack((y - x * x, 1 - x) if key == "rosenbrock" else (x, y), dim=-1) > 0

    inside = signs(centres[:, None] + share * far[:, None, None] * circle)
    assert bool((inside == signs(centres)[:, None]).all())
    beyond = signs(centres[:, None] + 1.5 * far[:, None, None] * circle)
    assert bool((beyond != signs(centres)[:, None]).any(dim=(1, 2)).all())


def test_the_sign_changes_across_a_kink() -> None:
    for key, before, after in [
        ("l1", (0.1, 2.0), (-0.1, 2.0)),
        ("rosenbrock", (0.5, 0.3), (0.5, 0.2)),
        ("max-of-planes", (1.1, 4.0), (0.9, 4.0)),
        ("max-of-planes", (3.1, -4.0), (2.9, -4.0)),
    ]:
        kink = FUNCTIONS[key].kink
        assert kink is not None
        assert kink(points(before, after)).sign().tolist() == [1.0, -1.0]


def test_a_smooth_function_has_no_kink() -> None:
    assert FUNCTIONS["quadratic"].kink is None
