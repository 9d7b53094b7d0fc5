"""Analytic functions of two parameters whose minima and kinks are known exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

START_SPREAD = (
    0.1  # of the starts of seeds other than 0: near enough to show one and the same story
)

PLANES = ((3.0, 1.0), (-1.0, 2.0), (-1.0, -2.0))  # slopes in x and y


@dataclass(frozen=True)
class AnalyticFunction:
    """A function f of two parameters with its known minimum.

    Args:
        key: the name a scenario uses.
        title: the name on the page.
        formula: f in x and y, as text.
        f: points (G, 2) to values (G,), traceable by `torch.func`.
        minimum: the only minimiser, (x, y).
        value: f there.
        start_point: where seed 0 starts, (x, y).
        extent: the part of the plane worth plotting, (x0, x1, y0, y1); holds start and minimum.
        kink: points (G, 2) to the signed distance (G,) from the nearest kink line, in units of the
            parameters; it changes sign where that line is crossed, and where another line becomes
            the nearest it may change sign too. For a curved line value / |gradient|, right to
            first order. None for a smooth function.
    """

    key: str
    title: str
    formula: str
    f: Callable[[Tensor], Tensor]
    minimum: tuple[float, float]
    value: float
    start_point: tuple[float, float]
    extent: tuple[float, float, float, float]
    kink: Callable[[Tensor], Tensor] | None = None

    def __call__(self, points: Tensor) -> Tensor:
        """Return f at points (G, 2) as (G,)."""
        return self.f(points)

    def start(self, seed: int) -> Tensor:
        """Return where `seed` starts, (2,) float32: seed 0 at `start_point`, others beside it.

        The others add 0.1 times a standard normal draw that depends on the seed alone.
        """
        start = torch.tensor(self.start_point)
        if seed == 0:
            return start
        return start + START_SPREAD * torch.randn(2, generator=torch.Generator().manual_seed(seed))


def l1(points: Tensor) -> Tensor:
    """Return |x| + |y|: a kink along each axis."""
    return points.abs().sum(-1)


def rosenbrock(points: Tensor) -> Tensor:
    """Return 10 |y - x^2| + |1 - x|: the floor of the curved valley is itself a kink."""
    x, y = points[..., 0], points[..., 1]
    return 10.0 * (y - x * x).abs() + (1.0 - x).abs()


def max_of_planes(points: Tensor) -> Tensor:
    """Return max(3x + y, -x + 2y, -x - 2y).

    Its minimum is 0 at the origin, since 4/16, 5/16 and 7/16 of the three slopes add up to zero.
    """
    x, y = points[..., 0], points[..., 1]
    return torch.stack([a * x + b * y for a, b in PLANES], dim=-1).amax(-1)


def quadratic(points: Tensor) -> Tensor:
    """Return (x^2 + 10 y^2) / 2: smooth, with curvatures 1 and 10."""
    x, y = points[..., 0], points[..., 1]
    return 0.5 * (x * x + 10.0 * y * y)


def l1_kink(points: Tensor) -> Tensor:
    """Return x or y, whichever is nearer to 0: the kinks of |x| + |y| are the two axes."""
    return _nearest(points)


def rosenbrock_kink(points: Tensor) -> Tensor:
    """Return the distance from the valley floor y = x^2, above it positive, or from x = 1.

    The floor's is (y - x^2) / sqrt(1 + 4 x^2), to first order; that from x = 1 is 1 - x, exactly.
    """
    x, y = points[..., 0], points[..., 1]
    return _nearest(torch.stack(((y - x * x) / (1.0 + 4.0 * x * x).sqrt(), 1.0 - x), dim=-1))


def max_of_planes_kink(points: Tensor) -> Tensor:
    """Return the distance from the nearest edge between two faces, positive on the earlier face.

    A face is where one plane is the largest, a convex wedge: the distance from its border is the
    smallest of (largest - other) / |difference of the two slopes|, exactly.
    """
    slopes = points.new_tensor(PLANES)
    planes = points @ slopes.T
    top, face = planes.max(dim=-1, keepdim=True)
    apart = torch.linalg.vector_norm(slopes[:, None] - slopes, dim=-1).fill_diagonal_(1.0)
    number = torch.arange(len(PLANES), device=points.device)
    away = ((top - planes) / apart[face.squeeze(-1)]).masked_fill(number == face, torch.inf)
    distance, other = away.min(dim=-1)
    return torch.where(other > face.squeeze(-1), distance, -distance)


def _nearest(signed: Tensor) -> Tensor:
    """The entry of smallest size along the last axis, with its sign."""
    return signed.gather(-1, signed.abs().argmin(-1, keepdim=True)).squeeze(-1)


_ALL = (
    AnalyticFunction(
        key="l1",
        title="L1 norm",
        formula="|x| + |y|",
        f=l1,
        minimum=(0.0, 0.0),
        value=0.0,
        start_point=(1.5, -1.0),
        extent=(-2.0, 2.0, -2.0, 2.0),
        kink=l1_kink,
    ),
    AnalyticFunction(
        key="rosenbrock",
        title="Non-smooth Rosenbrock",
        formula="10 |y - x²| + |1 - x|",
        f=rosenbrock,
        minimum=(1.0, 1.0),
        value=0.0,
        start_point=(-1.2, 1.0),
        extent=(-2.0, 2.0, -1.0, 3.0),
        kink=rosenbrock_kink,
    ),
    AnalyticFunction(
        key="max-of-planes",
        title="Maximum of three planes",
        formula="max(3x + y, -x + 2y, -x - 2y)",
        f=max_of_planes,
        minimum=(0.0, 0.0),
        value=0.0,
        start_point=(1.2, 1.4),
        extent=(-2.0, 2.0, -2.0, 2.0),
        kink=max_of_planes_kink,
    ),
    AnalyticFunction(
        key="quadratic",
        title="Smooth quadratic",
        formula="(x² + 10 y²) / 2",
        f=quadratic,
        minimum=(0.0, 0.0),
        value=0.0,
        start_point=(1.5, 1.0),
        extent=(-2.0, 2.0, -2.0, 2.0),
    ),
)

FUNCTIONS: dict[str, AnalyticFunction] = {function.key: function for function in _ALL}
