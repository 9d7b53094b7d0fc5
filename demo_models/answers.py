"""Formulas, singular surfaces and exact answers of the functions in `known`.

Those of w.x use one unit vector w, so that they are the same in any number of dimensions.
"""

import math

import torch
from scipy.optimize import nnls
from torch import Tensor
from torch.nn.functional import relu

from demo_models.functions import PLANES
from demo_models.truth import Truth

STEP_LEVELS = 8  # of the quantized parabola, a unit of the value


def unit(size: int, like: Tensor | None = None) -> Tensor:
    """Return the unit vector w along (1, ..., 2), evenly spaced, (P,): (1, 2) / sqrt(5) for P = 2.

    No two entries agree, so that no coordinate is special.
    """
    w = torch.linspace(1.0, 2.0, size, dtype=torch.float64)
    w = w / w.norm()
    return w if like is None else w.to(like)


def along(points: Tensor) -> Tensor:
    """Return w.x of points (G, P), (G,): the distance from the plane through the origin."""
    return points @ unit(points.shape[-1], points)


def absolute_moment(order: float, size: int) -> float:
    """Return E|u_1|^order of one coordinate of a uniform unit vector u in `size` dimensions.

    Gamma(P/2) Gamma((s + 1)/2) / (sqrt(pi) Gamma((P + s)/2)), as u_1^2 ~ Beta(1/2, (P - 1)/2).
    """
    up = math.lgamma(size / 2) + math.lgamma((order + 1) / 2)
    return math.exp(up - math.lgamma((size + order) / 2)) / math.sqrt(math.pi)


def power_lgi(order: float, size: int) -> float:
    """Return LGI of |w.x|^order at w.x = 0: 1 - E[|u_1|^s]^2 / E[|u_1|^2s].

    For many parameters 1 - 2/pi at a kink, order 1, and 2/3 at a rank-one minimum, order 2.
    """
    return 1.0 - absolute_moment(order, size) ** 2 / absolute_moment(2.0 * order, size)


def l1_lgi(kinks: int, size: int) -> float:
    """Return LGI of the L1 norm with `kinks` coordinates at 0: E D = m E|u_1| for m of them.

    E D^2 = (P + 2 m (m - 1) / pi) / P, since E|u_1 u_2| = 2 / (pi P) and odd terms vanish.
    """
    square = 1.0 + 2.0 * kinks * (kinks - 1) / (math.pi * size)
    return 1.0 - (kinks * absolute_moment(1.0, size)) ** 2 / square


def kink(gradients: Tensor, lgi: float | None = None) -> Truth:
    """Return the answers where the subdifferential is the hull of few `gradients`, (K, P).

    The smallest element of the hull comes from non-negative least squares: V'c = 0 and sum c = 1
    in the scale of the longest gradient, then c divided by its sum.
    """
    scale = float(gradients.norm(dim=1).max())
    rows = torch.cat((gradients.T / scale, torch.ones(1, len(gradients)).to(gradients)))
    weights, _ = nnls(rows.numpy(), [0.0] * (len(rows) - 1) + [1.0])
    smallest = gradients.T @ torch.from_numpy(weights / weights.sum())
    distances = (gradients[:, None] - gradients).norm(dim=-1)
    return Truth(1.0, float(distances.max()), float(smallest.norm()), None, lgi)


def absolute(points: Tensor) -> Tensor:
    """Return |w.x|: a kink along one plane, and flat within it."""
    return along(points).abs()


def ramp(points: Tensor) -> Tensor:
    """Return max(w.x, 0), one ReLU unit."""
    return relu(along(points))


def root(points: Tensor) -> Tensor:
    """Return sqrt(|w.x|): steeper than any kink, and not Lipschitz at w.x = 0.

    Its gradient there is given as 0; autograd's own would be nan.
    """
    height = along(points).abs()
    zero = height == 0.0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, height).sqrt())


def power(points: Tensor) -> Tensor:
    """Return |w.x|^1.5: differentiable once, with an unbounded curvature at w.x = 0."""
    return along(points).abs() ** 1.5


def step(points: Tensor) -> Tensor:
    """Return 1 where w.x >= 0, else 0; its gradient is 0 wherever it has one."""
    return (along(points) >= 0.0).to(points.dtype)


def valley(points: Tensor) -> Tensor:
    """Return (w.x)^2 / 2: smooth, with curvature along w alone."""
    return 0.5 * along(points).square()


def bowl(points: Tensor) -> Tensor:
    """Return |x|^2 / 2: smooth, with curvature 1 in all directions."""
    return 0.5 * points.square().sum(-1)


def quantized(points: Tensor) -> Tensor:
    """Return |x|^2 / 2 rounded to eighths: a staircase whose gradient is 0 or missing."""
    return (STEP_LEVELS * bowl(points)).round() / STEP_LEVELS


def chebyshev_rosenbrock(points: Tensor) -> Tensor:
    """Return |x - 1| / 4 + |y - 2 |x| + 1|: Clarke stationary at (0, -1), where f still falls.

    Its only minimiser is (1, 1). Source: Gurbuzbalaban and Overton 2012, On Nesterov's nonsmooth
    Chebyshev-Rosenbrock functions, the second variant for two parameters.
    """
    x, y = points[..., 0], points[..., 1]
    return 0.25 * (x - 1.0).abs() + (y - 2.0 * x.abs() + 1.0).abs()


def plane(points: Tensor) -> Tensor:
    """Return w.x as the one distance, (G, 1)."""
    return along(points)[..., None]


def axes(points: Tensor) -> Tensor:
    """Return the coordinates: their distance from 0."""
    return points


def planes_edges(points: Tensor) -> Tensor:
    """Return the distance from where planes 0 and 1, 0 and 2, 1 and 2 meet; inf below the third."""
    slopes = points.new_tensor(PLANES)
    planes = points @ slopes.T
    edges = []
    for one, other, third in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        edge = (planes[..., one] - planes[..., other]) / (slopes[one] - slopes[other]).norm()
        # A margin above rounding, so that the corner stays on all three.
        below = planes[..., third] > torch.maximum(planes[..., one], planes[..., other]) + 1e-9
        edges.append(edge.masked_fill(below, torch.inf))
    return torch.stack(edges, dim=-1)


def rosenbrock_kinks(points: Tensor) -> Tensor:
    """Return the distance from the floor y = x^2, to first order, and from x = 1."""
    x, y = points[..., 0], points[..., 1]
    return torch.stack(((y - x * x) / (1.0 + 4.0 * x * x).sqrt(), 1.0 - x), dim=-1)


def chebyshev_kinks(points: Tensor) -> Tensor:
    """Return the distance from the lines of y = 2 |x| - 1, from x = 0 and from x = 1."""
    x, y = points[..., 0], points[..., 1]
    return torch.stack(((y - 2.0 * x.abs() + 1.0) / math.sqrt(5.0), x, x - 1.0), dim=-1)


def quantized_edge(points: Tensor) -> Tensor:
    """Return the distance from the nearest circle |x|^2 = (m + 1/2) / 4, m = 0, 1, ..., outward."""
    ring = (STEP_LEVELS * bowl(points)).detach().floor()[..., None]
    circles = ((ring + points.new_tensor((0.5, 1.5))) * 2.0 / STEP_LEVELS).sqrt()
    away = points.norm(dim=-1, keepdim=True) - circles
    return away.gather(-1, away.abs().argmin(-1, keepdim=True))


def at_l1(point: Tensor, on: Tensor) -> Truth:
    """m coordinates at 0: a cube of side 2 in m dimensions, sqrt(P - m) away from 0."""
    kinks, size = int(on.sum()), len(point)
    rest = math.sqrt(size - kinks)
    return Truth(1.0, 2.0 * math.sqrt(kinks), rest, None, l1_lgi(kinks, size))


def at_abs(point: Tensor, _on: Tensor) -> Truth:
    """The segment from -w to w."""
    w = unit(len(point))
    return kink(torch.stack((w, -w)), power_lgi(1.0, len(point)))


def at_relu(point: Tensor, _on: Tensor) -> Truth:
    """The segment from 0 to w. D = max(u_1, 0) has half of |u_1|'s mean and mean square."""
    w = unit(len(point))
    lgi = 1.0 - 0.5 * len(point) * absolute_moment(1.0, len(point)) ** 2
    return kink(torch.stack((w, 0.0 * w)), lgi)


def at_root(point: Tensor, _on: Tensor) -> Truth:
    """All multiples of w, unbounded: the Clarke-Rockafellar subdifferential."""
    return Truth(0.5, math.inf, 0.0, None, power_lgi(0.5, len(point)))


def at_power(point: Tensor, _on: Tensor) -> Truth:
    """Once differentiable: the gradient is 0 there, and continuous."""
    return Truth(1.5, 0.0, 0.0, torch.zeros_like(point), power_lgi(1.5, len(point)))


def at_step(_point: Tensor, _on: Tensor) -> Truth:
    """Half of all directions fall by 1, the others change nothing: 1 - (1/2)^2 / (1/2)."""
    return Truth(0.0, None, None, None, 0.5)


def at_quantized(_point: Tensor, _on: Tensor) -> Truth:
    """A jump to or from the next eighth."""
    return Truth(0.0, None, None, None, None)


def at_planes(point: Tensor, on: Tensor) -> Truth:
    """The hull of the planes' slopes that meet at the point."""
    pairs = torch.tensor(((0, 1), (0, 2), (1, 2)))
    return kink(point.new_tensor(PLANES)[pairs[on].unique()])


def at_rosenbrock(point: Tensor, on: Tensor) -> Truth:
    """Of 10 |y - x^2| the gradients are +-10 (-2 x, 1), of |1 - x| +-(1, 0): all that are open."""
    x, y = point.tolist()
    rows = [
        (wall - 20.0 * x * floor, 10.0 * floor)
        for floor in _signs(bool(on[0]), y - x * x)
        for wall in _signs(bool(on[1]), x - 1.0)
    ]
    return kink(point.new_tensor(rows))


def at_chebyshev(point: Tensor, on: Tensor) -> Truth:
    """Of |h|, h = y - 2 |x| + 1, the gradients are +-(-+2, 1), of |x - 1| / 4 +-(1/4, 0)."""
    x, y = point.tolist()
    rows = [
        (0.25 * wall - 2.0 * side * valley, valley)
        for valley in _signs(bool(on[0]), y - 2.0 * abs(x) + 1.0)
        for side in _signs(bool(on[1]), x)
        for wall in _signs(bool(on[2]), x - 1.0)
    ]
    return kink(point.new_tensor(rows))


def _signs(both: bool, height: float) -> tuple[float, ...]:
    """The slopes of |height|: both on its kink, else its sign."""
    return (1.0, -1.0) if both else (math.copysign(1.0, height),)
