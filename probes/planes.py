"""Planes in parameter space: what a slice, a map and the paths are shown on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from probes.directions import draw_directions
from probes.layout import checked_points
from probes.objective import Objective

Scaling = Literal["filter", "layer", "none"]

# A second spread below this share of the first is rounding: the points lie on a line.
NEGLIGIBLE = 1e-7


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle of a plane in parameter space: origin + a axes[0] + b axes[1].

    Attributes:
        origin: (P,), where a = b = 0.
        axes: (2, P), independent; they need be neither orthogonal nor of unit length.
        extent: (a0, a1, b0, b1), the rectangle that is shown, a0 < a1 and b0 < b1.
        kind: how it was chosen, such as "pca".
    """

    origin: Tensor
    axes: Tensor
    extent: tuple[float, float, float, float]
    kind: str = "custom"

    def __post_init__(self) -> None:
        if self.origin.dim() != 1 or tuple(self.axes.shape) != (2, len(self.origin)):
            raise ValueError(
                f"origin and axes have shapes {tuple(self.origin.shape)} and"
                f" {tuple(self.axes.shape)}, expected (P,) and (2, P)."
            )
        a0, a1, b0, b1 = self.extent
        if not (np.isfinite(self.extent).all() and a0 < a1 and b0 < b1):
            raise ValueError(
                f"extent is {self.extent}, expected finite (a0, a1, b0, b1) with a0 < a1, b0 < b1."
            )
        lengths = torch.linalg.vector_norm(self.axes.double(), dim=1, keepdim=True)
        unit = self.axes.double() / lengths
        sine_squared = 1.0 - float(unit[0] @ unit[1]) ** 2
        if not sine_squared > NEGLIGIBLE**2:  # also catches nan
            raise ValueError(
                "The two axes are parallel, zero or not finite, expected two independent"
                " directions: choose other axes."
            )

    def at(self, a: Tensor, b: Tensor) -> Tensor:
        """The points at pairs of coordinates, (m,) and (m,) -> (m, P)."""
        return self.origin + torch.stack((a, b), dim=1).to(self.axes) @ self.axes

    def points(self, a: Tensor, b: Tensor) -> Tensor:
        """The points of a grid.

        Args:
            a: (na,) coordinates along axes[0].
            b: (nb,) coordinates along axes[1].

        Returns:
            (nb * na, P), row-major as [b, a].
        """
        return self.at(a.repeat(len(b)), b.repeat_interleave(len(a)))

    def project(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The nearest points of the plane (least squares, in float64).

        Args:
            theta: (..., P).

        Returns:
            a, b and the distance off the plane, each (...), float64.
        """
        axes = self.axes.double()
        away = theta.to(axes.device).double() - self.origin.double()
        coordinates = torch.linalg.solve(axes @ axes.T, axes @ away.unsqueeze(-1)).squeeze(-1)
        distance = torch.linalg.vector_norm(away - coordinates @ axes, dim=-1)
        return coordinates[..., 0], coordinates[..., 1], distance

    def with_extent(self, a0: float, a1: float, b0: float, b1: float) -> Plane:
        """The same plane, another rectangle of it."""
        return replace(self, extent=(a0, a1, b0, b1))

    def grid(self, resolution: int) -> tuple[Tensor, Tensor]:
        """The coordinates a, b of a grid over the extent, (n,) each, float64, n at least 2."""
        if resolution < 2:
            raise ValueError(f"resolution is {resolution}, expected at least 2 points a side.")
        a0, a1, b0, b1 = self.extent
        return (
            torch.linspace(a0, a1, resolution, dtype=torch.float64),
            torch.linspace(b0, b1, resolution, dtype=torch.float64),
        )


def random_plane(
    objective: Objective,
    theta: Tensor,
    *,
    normalize: Scaling = "filter",
    seed: int,
    reach: float = 1.0,
) -> Plane:
    """A plane through theta along two random directions (Li et al. 2018, arXiv 1712.09913).

    Args:
        objective: whose layout names the tensors.
        theta: the centre, (P,).
        normalize: "filter" gives each filter (a row, or output channel) of a direction the norm
            of the same filter of theta and sets biases and other 1-d tensors to zero, as Li et
            al. do; where there are only 1-d tensors, as in a function, it acts as "layer".
            "layer" gives each tensor the norm of the same tensor of theta. "none" leaves the
            draws as they are, of norm about sqrt(P).
        seed: at least 0.
        reach: half the width of the square shown, in units of the axes, above 0.

    Returns:
        The plane, of kind "random-" and the normalisation that was used.

    Raises:
        ValueError: an unknown normalisation, P = 1, or a direction that comes out as zero.
    """
    if normalize not in ("filter", "layer", "none"):
        raise ValueError(f"normalize is {normalize!r}, expected 'filter', 'layer' or 'none'.")
    if objective.size < 2:
        raise ValueError("The objective has 1 parameter, expected at least 2 to span a plane.")
    if normalize == "filter" and all(len(entry.shape) < 2 for entry in objective.layout):
        normalize = "layer"
    theta = checked_points(theta[None], objective.theta)[0]
    axes = draw_directions(2, objective.layout, seed=seed, dtype=theta.dtype, device=theta.device)
    if normalize != "none":
        for entry in objective.layout:
            rows = entry.shape[0] if normalize == "filter" and len(entry.shape) > 1 else 1
            piece = axes[:, entry.start : entry.stop].view(2, rows, -1)
            own = theta[entry.start : entry.stop].view(rows, -1).norm(dim=1, keepdim=True)
            if normalize == "filter" and len(entry.shape) < 2:
                own = torch.zeros_like(own)
            piece *= own / (piece.norm(dim=2, keepdim=True) + 1e-10)
    if not axes.any(dim=1).all():
        raise ValueError(
            f"theta is zero wherever normalize={normalize!r} looks, so the directions come out"
            " zero: use normalize='none'."
        )
    return Plane(theta.clone(), axes, (-reach, reach, -reach, reach), f"random-{normalize}")


def pca_plane(paths: Tensor, *, margin: float = 0.15) -> Plane:
    """The plane of the two main components of the paths' points.

    The eigenvectors come from the N x N matrix of inner products in float64, so P may be large.
    Origin: the mean; axes: orthonormal. Points that all lie on a line get a fixed random
    orthogonal second axis and a square extent; a single point gets two such axes.

    Args:
        paths: (N, P), snapshots of all runs pooled, N at least 1, P at least 2, finite.
        margin: free space around the paths, as a share of their range.

    Returns:
        The plane, of kind "pca".

    Raises:
        ValueError: paths of another shape or not finite, or P = 1.
    """
    exact = _finite_rows(paths, "paths")
    centre = exact.mean(dim=0)
    centred = exact - centre
    vectors = torch.linalg.eigh(centred @ centred.T).eigenvectors
    main = vectors[:, -2:].flip(1).T @ centred
    # The first point, the common start, goes to the left and the bottom.
    main = torch.where((main @ centred[0] > 0.0)[:, None], -main, main)
    return _plane_through(centre, main, paths, margin, "pca")


def start_end_plane(start: Tensor, ends: Tensor, *, margin: float = 0.15) -> Plane:
    """The plane through a start and the ends of two runs, so all three lie ON it.

    The first axis points from the start to the first end, the second is orthogonal to it; both
    have unit length, so distances on the screen are distances between parameters. Where the three
    points lie on a line or coincide, the missing axes are fixed random orthogonal ones.

    Args:
        start: (P,), the origin.
        ends: (M, P), M at least 1; the first two span the plane, all of them size the extent.
        margin: free space around start and ends, as a share of their range.

    Returns:
        The plane, of kind "start-end".

    Raises:
        ValueError: points of another shape or not finite, or P = 1.
    """
    if start.dim() != 1 or ends.dim() != 2 or ends.shape[1] != len(start):
        raise ValueError(
            f"start and ends have shapes {tuple(start.shape)} and {tuple(ends.shape)}, expected"
            " (P,) and (M, P)."
        )
    points = torch.cat((start[None], ends))
    exact = _finite_rows(points, "start and ends")
    return _plane_through(exact[0], exact[1:3] - exact[0], points, margin, "start-end")


@dataclass(frozen=True)
class Fidelity:
    """How much of the paths a plane keeps.

    Attributes:
        variance_share: share of the paths' variance that lies along the plane, in [0, 1]; 1 for
            paths that do not move.
        median_loss_error: median over the points of |loss at the projected point - true loss|.
        largest_distance: of a point from the plane.
    """

    variance_share: float
    median_loss_error: float
    largest_distance: float


def fidelity(plane: Plane, objective: Objective, paths: Tensor) -> Fidelity:
    """Measures how faithfully a plane shows the paths that are drawn on it.

    Args:
        plane: the plane.
        objective: whose loss is compared.
        paths: (N, P), finite.

    Returns:
        The `Fidelity`.

    Raises:
        ValueError: paths of another shape or not finite.
    """
    exact = _finite_rows(paths, "paths")
    a, b, distance = plane.project(exact)
    error = (objective.losses(plane.at(a, b)) - objective.losses(exact)).abs()
    centred = exact - exact.mean(dim=0)
    along = centred @ torch.linalg.qr(plane.axes.double().T).Q
    total = float(centred.square().sum())
    share = float(along.square().sum()) / total if total > 0.0 else 1.0
    return Fidelity(min(share, 1.0), float(error.median()), float(distance.max()))


def _finite_rows(points: Tensor, name: str) -> Tensor:
    """Points (N, P) in float64, refused where a plane could not be chosen from them."""
    if points.dim() != 2 or len(points) == 0 or points.shape[1] < 2:
        raise ValueError(
            f"{name} have shape {tuple(points.shape)}, expected (N, P) with N at least 1 and P at"
            " least 2."
        )
    if not points.isfinite().all():
        raise ValueError(f"{name} hold nan or inf, expected finite points: leave out that run.")
    return points.detach().double()


def _plane_through(origin: Tensor, spans: Tensor, shown: Tensor, margin: float, kind: str) -> Plane:
    """The plane along up to two spans, made orthonormal, around the points that are shown."""
    if margin < 0.0:
        raise ValueError(f"margin is {margin}, expected a share of the range from 0 up.")
    spread = float(torch.linalg.vector_norm(spans, dim=1).max())
    rounding = max(NEGLIGIBLE * spread, 1e-12 * float(origin.norm()))
    fill = draw_directions(2, len(origin), seed=0, dtype=origin.dtype, device=origin.device)
    axes = origin.new_zeros(0, len(origin))
    for span, least in [*((s, rounding) for s in spans), *((f, 0.0) for f in fill)]:
        for _ in range(2):  # twice is enough to be orthogonal to rounding
            span = span - (axes @ span) @ axes
        length = float(span.norm())
        if len(axes) < 2 and length > least:
            axes = torch.cat((axes, span[None] / length))
    coordinates = (shown.detach().double() - origin) @ axes.T
    low, high = coordinates.min(dim=0).values, coordinates.max(dim=0).values
    middle = (low + high) / 2.0
    half = ((high - low) / 2.0).tolist()
    widest = max(half) if max(half) > rounding else 0.1 * float(origin.norm()) or 1.0
    a, b = ((h if h > rounding else widest) * (1.0 + 2.0 * margin) for h in half)
    x, y = middle.tolist()
    dtype = shown.dtype
    return Plane(origin.to(dtype), axes.to(dtype), (x - a, x + a, y - b, y + b), kind)
