"""What a function with known answers is: its true Hölder exponent, subdifferential, gradient, LGI.

`known.KNOWN` lists such functions. Everything is exact in float64; in float32 a point is on a kink
only by luck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jacrev

# A point this near, in units of the parameters, counts as on a singularity: float64's rounding.
ON = 1e-12
NEWTON_STEPS = 8  # it converges quadratically, in one step where the surface is flat
EVERYWHERE = (-2.0, 2.0, -2.0, 2.0)


@dataclass(frozen=True, eq=False)
class Truth:
    """The true answers at one point, in the limit of a small radius; None: there is none.

    Attributes:
        holder: the Hölder exponent: 2 smooth, 1 kink, 0 jump, alpha at |x|^alpha. None where f is
            linear or constant nearby, where an instrument must say "not resolved".
        diameter: of the Clarke subdifferential: 0 where smooth, inf where it is unbounded, None at
            a jump, where there is none.
        stationarity: the distance of 0 from the Clarke subdifferential; None at a jump.
        gradient: (P,); None where f has none.
        lgi: Var(D) / mean(D^2) over all directions, at zeta = 0 and on the sphere of all
            parameters: what LGI tends to for many directions. None where it is not known in
            closed form, and where f does not change at all.
    """

    holder: float | None
    diameter: float | None
    stationarity: float | None
    gradient: Tensor | None
    lgi: float | None


@dataclass(frozen=True, eq=False)
class Known:
    """A function f: R^P -> R with its true answers.

    Args:
        key: the name in URLs.
        title: the name on the page.
        formula: f as text; w is the unit vector `unit(P)`.
        about: one sentence: what to look for.
        f: points (G, P) to values (G,), traceable by `torch.func`.
        places: named points (x, y) worth a look; the first is where the page starts.
        surfaces: points (G, P) to the signed distance (G, J) from each singular surface, right to
            first order where that is curved; its gradient is the unit normal. None: smooth.
        at: the answers at a point (P,) on the surfaces (J,) marked true; None: smooth.
        curved: whether f has a second derivative off its surfaces: exponent 2, else None.
        curvatures: P to the eigenvalues (P,) of a quadratic's Hessian, for LGI at its minimum.
        any_size: whether P may be any number from 2 up; else 2 alone.
        extent: the part of the plane worth plotting, (x0, x1, y0, y1).
    """

    key: str
    title: str
    formula: str
    about: str
    f: Callable[[Tensor], Tensor]
    places: tuple[tuple[str, tuple[float, float]], ...]
    surfaces: Callable[[Tensor], Tensor] | None = None
    at: Callable[[Tensor, Tensor], Truth] | None = None
    curved: bool = True
    curvatures: Callable[[int], Tensor] | None = None
    any_size: bool = False
    extent: tuple[float, float, float, float] = EVERYWHERE

    def __call__(self, points: Tensor) -> Tensor:
        """Return f at points (G, P) as (G,)."""
        return self.f(points)

    def point(self, place: int = 0, size: int = 2) -> Tensor:
        """Return a named place, (P,) float64; beyond two dimensions x and y repeat in turn.

        Raises:
            ValueError: f has two dimensions alone, or `size` is below 2.
        """
        if size < 2 or (size > 2 and not self.any_size):
            expected = "at least 2" if self.any_size else "2"
            raise ValueError(f"size is {size}; expected {expected} for {self.title!r}.")
        x_and_y = torch.tensor(self.places[place][1], dtype=torch.float64)
        return x_and_y.repeat((size + 1) // 2)[:size]

    def distance(self, points: Tensor) -> Tensor:
        """Return how far points (G, P) are from the nearest singularity, (G,); inf: there is none.

        Right to first order where that is curved.
        """
        if self.surfaces is None:
            return points.new_full(points.shape[:1], torch.inf)
        return self.surfaces(points).abs().amin(-1)

    def snapped(self, point: Tensor, within: float) -> Tensor:
        """Return `point` (P,) moved onto all singularities nearer than `within`, in float64.

        Onto the nearest alone where they have no point in common, and unmoved where none is near.
        """
        point = point.detach().double()
        if self.surfaces is None:
            return point
        away = self.surfaces(point[None])[0].abs()
        near = away <= within
        if not bool(near.any()):
            return point
        together = self._onto(point, near)
        if bool(self._on(together)[near].all()):
            return together
        return self._onto(point, away == away.min())

    def _onto(self, point: Tensor, chosen: Tensor) -> Tensor:
        """Newton's method on the distances from the chosen surfaces, along their normals."""
        surfaces = self.surfaces
        assert surfaces is not None

        def gaps(x: Tensor) -> Tensor:
            return surfaces(x[None])[0][chosen]

        for _ in range(NEWTON_STEPS):
            point = point - torch.linalg.pinv(jacrev(gaps)(point)) @ gaps(point)
        return point

    def _on(self, point: Tensor) -> Tensor:
        """Which surfaces hold the point, (J,)."""
        assert self.surfaces is not None
        return self.surfaces(point[None])[0].abs() <= ON * (1.0 + float(point.abs().max()))

    def truth(self, point: Tensor) -> Truth:
        """Return the true answers at `point`, (P,), taken in float64."""
        point = point.detach().double()
        if self.surfaces is not None and self.at is not None:
            on = self._on(point)
            if bool(on.any()):
                return self.at(point, on)
        gradient = grad(lambda x: self.f(x[None])[0])(point)
        slope = float(gradient.norm())
        lgi = 1.0 if slope > ON else self._lgi_at_minimum(len(point))
        return Truth(2.0 if self.curved else None, 0.0, slope, gradient, lgi)

    def _lgi_at_minimum(self, size: int) -> float | None:
        """Of u'Hu: its mean is tr H / P, that of its square (tr^2 H + 2 tr H^2) / (P (P + 2))."""
        if self.curvatures is None:
            return None
        h = self.curvatures(size)
        trace, squares = float(h.sum()), float(h.square().sum())
        return 1.0 - (1.0 + 2.0 / size) * trace**2 / (trace**2 + 2.0 * squares)
