"""The score's functions: slope 1 at the point, a common base, kink and jump in their place."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor
from torch.func import grad, jacrev, vmap

from demo_models.score_functions import (
    KINDS,
    RADII,
    STRENGTHS,
    ScoreFunction,
    score_function,
    score_functions,
)

SIZES = pytest.mark.parametrize("size", [2, 200])
DISTANCES = pytest.mark.parametrize("distance", [0.0, 0.5, None])


def one(kind: str, index: int = 0, size: int = 2, **changes: object) -> ScoreFunction:
    return score_function(kind, index, size=size, **{"distance": 0.5, **changes})  # type: ignore[arg-type]


def cloud(function: ScoreFunction, count: int = 50) -> Tensor:
    """Points around theta, some beyond the kink or jump."""
    size = len(function.theta)
    generator = torch.Generator().manual_seed(0)
    away = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return function.theta + 2.0 * function.radius * away / size**0.5


def by_hand(function: ScoreFunction, point: np.ndarray) -> float:
    """The formula of the module's first lines, in plain loops."""
    y = point - function.theta.numpy()
    base = function.base
    slope, curvature = base.slope.tolist(), base.curvature.tolist()
    total = sum(g * v + h * v * v / 2 for g, h, v in zip(slope, curvature, y, strict=True))
    for height, wave, phase in zip(
        base.heights.tolist(), base.waves.numpy(), base.phases.tolist(), strict=True
    ):
        total += height * (math.sin(float(wave @ y) + phase) - math.sin(phase))
    value = base.scale * total
    beyond = float(function.normal.numpy() @ y) - function.offset
    if function.kind == "kink":
        value += function.strength * abs(beyond)
    elif function.kind == "jump" and beyond >= 0.0:
        value += function.strength * function.radius / math.sqrt(len(y))
    return value


@SIZES
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_formula(kind: str, size: int) -> None:
    for index in range(5):
        function = one(kind, index, size)
        points = cloud(function)
        expected = [by_hand(function, row) for row in points.numpy()]
        assert function(points).tolist() == pytest.approx(expected, rel=1e-11, abs=1e-14)


@SIZES
def test_the_slope_at_the_point_is_one(size: int) -> None:
    for index in range(50):
        function = one("smooth", index, size)
        gradient = grad(lambda x, f=function: f(x[None])[0])(function.theta)
        assert float(gradient.norm()) == pytest.approx(1.0, abs=1e-12)
        step = 1e-6 * function.radius
        unit = gradient / gradient.norm()
        ends = torch.stack((function.theta + step * unit, function.theta - step * unit))
        up, down = function(ends).tolist()
        # Coordinates of theta are about 1/sqrt(P), and rounding them moves the ends a little.
        assert (up - down) / (2 * step) == pytest.approx(1.0, abs=1e-5)


@SIZES
@DISTANCES
def test_the_three_classes_share_base_point_and_sizes(size: int, distance: float | None) -> None:
    for index in range(10):
        made = [one(kind, index, size, distance=distance) for kind in KINDS]
        smooth = made[0]
        assert [f.kind for f in made] == ["smooth", "kink", "jump"]
        for other in made[1:]:
            assert torch.equal(other.theta, smooth.theta)
            assert torch.equal(other.normal, smooth.normal)
            points = cloud(smooth) - smooth.theta
            assert torch.equal(other.base(points), smooth.base(points))
            same = ("strength", "radius", "offset")
            assert [getattr(other, n) for n in same] == [getattr(smooth, n) for n in same]


@SIZES
@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0])
def test_kink_and_jump_lie_at_the_stated_distance(size: int, distance: float) -> None:
    for index in range(10):
        smooth, kink, jump = (one(kind, index, size, distance=distance) for kind in KINDS)
        assert float(kink.normal.norm()) == pytest.approx(1.0, abs=1e-14)
        reach = kink.radius / math.sqrt(size)
        along = torch.linspace(-1.5, 1.5, 301, dtype=torch.float64)[:, None] + 1e-7
        points = kink.theta + along * reach * kink.normal
        added = (kink(points) - smooth(points)) / (kink.strength * reach)
        expected = (along[:, 0] - distance).abs()
        torch.testing.assert_close(added, expected, rtol=0, atol=1e-9)
        added = (jump(points) - smooth(points)) / (jump.strength * reach)
        torch.testing.assert_close(added, (along[:, 0] > distance).double(), rtol=0, atol=1e-9)


@SIZES
def test_a_kink_at_the_point_itself_is_exactly_there(size: int) -> None:
    smooth, kink, jump = (one(kind, 3, size, distance=0.0) for kind in KINDS)
    theta = smooth.theta[None]
    assert float(smooth(theta)) == float(kink(theta)) == 0.0
    assert float(jump(theta)) == pytest.approx(jump.strength * jump.radius / math.sqrt(size))


def test_a_random_distance_is_uniform_and_the_same_for_all_classes() -> None:
    made = [one("kink", index, 2, distance=None) for index in range(400)]
    t = [f.offset * math.sqrt(2) / f.radius for f in made]
    assert kstest(t, "uniform").pvalue > 0.01
    assert [f.offset for f in made] == [
        one("jump", index, 2, distance=None).offset for index in range(400)
    ]


def test_the_distance_changes_the_offset_alone() -> None:
    near, far, drawn = (one("kink", 7, 200, distance=t) for t in (0.0, 0.5, None))
    for other in (far, drawn):
        assert torch.equal(near.theta, other.theta)
        assert torch.equal(near.normal, other.normal)
        assert torch.equal(near.base.waves, other.base.waves)
        assert (near.radius, near.strength) == (other.radius, other.strength)
    assert near.offset == 0.0
    assert far.offset == pytest.approx(0.5 * far.radius / math.sqrt(200))


def test_sizes_are_log_uniform_in_their_range() -> None:
    made = [one("smooth", index) for index in range(400)]
    for name, (low, high) in (("radius", RADII), ("strength", STRENGTHS)):
        logs = [math.log(getattr(f, name) / low) / math.log(high / low) for f in made]
        assert kstest(logs, "uniform").pvalue > 0.01


@SIZES
def test_the_smooth_class_has_a_bounded_second_derivative(size: int) -> None:
    """At most 1 and 3 waves of slope 1 over one reach, all times the scale."""
    for index in range(10):
        function = one("smooth", index, size)
        reach = function.radius / math.sqrt(size)
        bends = function.base.scale * (function.base.curvature.max() + 3.0 / reach)
        points = cloud(function, 4)
        found = vmap(jacrev(grad(lambda x, f=function: f(x[None])[0])))(points)
        assert float(torch.linalg.matrix_norm(found, 2).max()) <= float(bends)


@SIZES
def test_functions_depend_on_their_arguments_alone(size: int) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (it is watched)
    first, again = (one("kink", 5, size, seed=3) for _ in range(2))
    points = cloud(first)
    assert torch.equal(first(points), again(points))
    for other in (one("kink", 6, size, seed=3), one("kink", 5, size, seed=4)):
        assert not torch.equal(first.theta, other.theta)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_all_classes_come_index_by_index() -> None:
    made = list(score_functions(4, size=2, distance=None, seed=1))
    assert [(f.index, f.kind) for f in made] == [(i, k) for i in range(4) for k in KINDS]
    assert sum(1 for _ in score_functions(size=2, distance=0.0)) == 600


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kind": "cusp"}, "kind is 'cusp'; expected one of 'smooth', 'kink', 'jump'."),
        ({"index": -1}, "index is -1; expected at least 0."),
        ({"size": 1}, "size is 1; expected at least 2."),
        ({"seed": -2}, "seed is -2; expected at least 0."),
        ({"distance": 1.5}, "distance is 1.5; expected 0 to 1, or None to draw it."),
        ({"distance": math.nan}, "distance is nan; expected 0 to 1, or None to draw it."),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, object], text: str) -> None:
    arguments = {"kind": "kink", "index": 0, "size": 2, "distance": 0.5, **changes}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text is compared)
        score_function(**arguments)  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_no_functions_at_all_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"count is 0; expected at least 1 function a class\."):
        score_functions(0, size=2, distance=None)
