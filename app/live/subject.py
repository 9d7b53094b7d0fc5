"""What is measured: a function with known answers or a small network, and the plane it is on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.setup import Setup
from demo_models.problem import build
from demo_models.scenarios import SCENARIOS
from demo_models.truth import Known, Truth
from probes import Objective, Plane, random_plane

#: A drag ends on the singularities within this share of the plane's width.
SNAP = 0.012


@dataclass(frozen=True, eq=False)
class Subject:
    """A loss on a plane.

    Args:
        objective: the loss, owned by the thread that built it.
        plane: through the origin of a function, or through a network's initial weights.
        known: the function's answers, or None for a network.
    """

    objective: Objective
    plane: Plane
    known: Known | None

    @classmethod
    def of(cls, setup: Setup) -> Subject:
        """Build what `setup` names, at its dtype."""
        dtype = getattr(torch, setup.dtype)
        if setup.known is not None:
            axes = function_axes(setup.size).to(dtype)
            objective = Objective.from_function(setup.known, axes[0])
            origin = torch.zeros(setup.size, dtype=dtype)
            return cls(objective, Plane(origin, axes, setup.extent, "coordinates"), setup.known)
        problem = build(SCENARIOS[setup.function])
        assert problem.probe is not None
        network = problem.network(setup.seed)
        objective = Objective.from_module(network, problem.loss, problem.probe, dtype=dtype)
        plane = random_plane(objective, objective.theta, normalize="filter", seed=setup.seed)
        return cls(objective, plane.with_extent(*setup.extent), None)

    def theta(self, setup: Setup) -> Tensor:
        """The point of the plane that is measured, (P,) in the objective's dtype."""
        at = torch.tensor((setup.x, setup.y)).to(self.plane.axes)
        return self.plane.origin + at @ self.plane.axes

    def truth(self, setup: Setup) -> Truth | None:
        """The true answers, at the point as float64 has it; None for a network."""
        if self.known is None:
            return None
        at = torch.tensor((setup.x, setup.y), dtype=torch.float64)
        return self.known.truth(at @ function_axes(setup.size))


def function_axes(size: int) -> Tensor:
    """The axes on which x and y repeat in turn, (2, P) float64, as `Known.point` has them."""
    axes = torch.zeros(2, size, dtype=torch.float64)
    axes[0, 0::2] = 1.0
    axes[1, 1::2] = 1.0
    return axes


def snapped(setup: Setup, x: float, y: float) -> tuple[float, float]:
    """A point of the plane, moved onto the singularities that a drag passes closely.

    Only so a kink can be hit at all: it has no width. The point stays on the plane.

    Args:
        setup: names the function; a network is never snapped.
        x, y: where the point was dropped; cut to the part that is drawn.
    """
    x0, x1, y0, y1 = setup.extent
    x, y = min(x1, max(x0, x)), min(y1, max(y0, y))
    known = setup.known
    if known is None or known.surfaces is None:
        return x, y
    surfaces, axes = known.surfaces, function_axes(setup.size)
    on_plane = replace(known, surfaces=lambda points: surfaces(points @ axes))
    # An axis is sqrt(P / 2) long, and surfaces measure in units of the parameters.
    within = SNAP * (x1 - x0) * (setup.size / 2) ** 0.5
    dropped = torch.tensor((x, y), dtype=torch.float64)
    point = on_plane.snapped(dropped, within)
    if torch.equal(point, dropped):
        return x, y
    # Newton's method ends on 1e-125 where 0 is meant.
    a, b = torch.where(point.abs() < 1e-15, 0.0, point).tolist()
    return (a, b) if x0 <= a <= x1 and y0 <= b <= y1 else (x, y)
