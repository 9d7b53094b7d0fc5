"""A plane in parameter space, and how much of the paths drawn on it it keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from probes.objective import Objective

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

    def coordinates(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Where the nearest points of the plane lie: `project` without the distance, and cheap.

        One product with the axes' pseudo-inverse, kept from the first call, in the plane's own
        dtype: 0.7 ms where `project` takes 40, for 192 points of 9,000 parameters on one thread.
        In float32 the error is below 1e-5 of the distance between theta and the origin.

        Args:
            theta: (..., P).

        Returns:
            a and b, each (...), of the plane's dtype.
        """
        away = theta.detach().to(self.origin) - self.origin
        # This way round: with two columns on the right the product takes four times as long.
        a, b = self._inverse @ away.flatten(0, -2).T if away.dim() > 1 else self._inverse @ away
        return a.view(theta.shape[:-1]), b.view(theta.shape[:-1])

    @cached_property
    def _inverse(self) -> Tensor:
        """The pseudo-inverse of the axes, transposed, (2, P), solved for in float64."""
        axes = self.axes.double()
        # Contiguous, because solve returns columns, which the product reads half as fast.
        return torch.linalg.solve(axes @ axes.T, axes).to(self.axes).contiguous()

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
    exact = finite_rows(paths, "paths")
    a, b, distance = plane.project(exact)
    error = (objective.losses(plane.at(a, b)) - objective.losses(exact)).abs()
    centred = exact - exact.mean(dim=0)
    along = centred @ torch.linalg.qr(plane.axes.double().T).Q
    total = float(centred.square().sum())
    share = float(along.square().sum()) / total if total > 0.0 else 1.0
    return Fidelity(min(share, 1.0), float(error.median()), float(distance.max()))


def finite_rows(points: Tensor, name: str) -> Tensor:
    """Points (N, P) in float64, refused where a plane could not be chosen from them."""
    if points.dim() != 2 or len(points) == 0 or points.shape[1] < 2:
        raise ValueError(
            f"{name} have shape {tuple(points.shape)}, expected (N, P) with N at least 1 and P at"
            " least 2."
        )
    if not points.isfinite().all():
        raise ValueError(f"{name} hold nan or inf, expected finite points: leave out that run.")
    return points.detach().double()
