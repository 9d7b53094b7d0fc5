"""What the page Instruments reads: every result with the setup that it was measured at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.setup import Setup
from demo_models.truth import Truth
from probes import Clarke, Roughness
from probes.instability import Instability
from probes.slices import Slice


@dataclass(frozen=True, eq=False)
class Here:
    """One draw of k directions at the point, as S-Adam would take it.

    Args:
        setup: what was measured.
        parameters: the number P.
        loss: f at the point.
        gradient: the norm that backward gives; the surrogate's under straight-through.
        measured: every instrument that finite differences give.
        truth: the true answers; None for a network.
    """

    setup: Setup
    parameters: int
    loss: float
    gradient: float
    measured: Instability
    truth: Truth | None

    @property
    def slope(self) -> bool:
        """Whether the point is known to lie on a slope, where LGI has its law."""
        truth = self.truth
        return truth is not None and truth.gradient is not None and bool(truth.gradient.norm() > 0)


@dataclass(frozen=True, eq=False)
class Bounds:
    """Clarke's bounds at radius sigma and at a quarter of it."""

    setup: Setup
    wide: Clarke
    narrow: Clarke


@dataclass(frozen=True, eq=False)
class BoundsCurve:
    """Clarke's bounds over radii, or over numbers of gradients.

    Args:
        setup: what was measured.
        at: (N,) radii, or numbers of gradients.
        diameter: (N,) lower bounds; nan where not sampled yet.
        stationarity: (N,) upper bounds; nan where not sampled yet.
    """

    setup: Setup
    at: np.ndarray
    diameter: np.ndarray
    stationarity: np.ndarray


@dataclass(frozen=True, eq=False)
class RadiusCurves:
    """The instruments over radii at fixed k.

    Args:
        setup: what was measured.
        directions: pooled; LGI, variance and asymmetry are means over draws of k of them.
        curves: second and fourth differences of all directions, G = 1.
        values: (R,) of "lgi", "variance" and "asymmetry".
    """

    setup: Setup
    directions: int
    curves: Roughness
    values: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Draws:
    """Many independent draws of directions at the point.

    Args:
        setup: what was measured.
        values: measure -> (n,), one of k directions each; nan where not resolved.
        ks: (K,) numbers of directions that the same pool was also cut into.
        mean, low, high: measure -> (K,) mean, 10th and 90th percentile of what is resolved.
    """

    setup: Setup
    values: dict[str, np.ndarray]
    ks: np.ndarray
    mean: dict[str, np.ndarray]
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]

    @property
    def count(self) -> int:
        """Draws of k directions so far."""
        return len(self.values["lgi"])


@dataclass(frozen=True, eq=False)
class Readings:
    """Everything that is measured so far; what belongs to an older point says so.

    Args:
        setup: what is to be measured.
        slice: the function on its plane.
        here, bounds, radii, bounds_over_radii, draws, bounds_over_samples: results, or None.
        working: what is being measured, "" at rest.
        done: share of the work at this point, 0 to 1.
        message: one sentence where something was refused, else "".
    """

    setup: Setup
    slice: Slice | None = None
    here: Here | None = None
    bounds: Bounds | None = None
    radii: RadiusCurves | None = None
    bounds_over_radii: BoundsCurve | None = None
    draws: Draws | None = None
    bounds_over_samples: BoundsCurve | None = None
    working: str = ""
    done: float = 0.0
    message: str = ""

    def stale(self, result: Here | Bounds | BoundsCurve | RadiusCurves | Draws | None) -> bool:
        """Whether a result is of another point or setting than the present one."""
        return result is not None and not result.setup.measures_as(self.setup)
