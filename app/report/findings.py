"""What an inspection finds: plain records that charts, words and files are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from app.live.readings import Readings
from app.setup import Setup
from probes.instability import InstabilityMap
from probes.sharpness import Sharpness
from probes.slices import Slice
from probes.step_line import StepLine


@dataclass(frozen=True)
class Around(Setup):
    """The setup of the page Instruments at a checkpoint's own weights.

    Args:
        rounded: whether gradients are a straight-through estimator's and not the loss's own.
    """

    rounded: bool = field(default=False, metadata={"label": "Rounded"})

    @property
    def surrogate(self) -> bool:
        """Whether gradients are a straight-through estimator's and not the loss's own."""
        return self.rounded


@dataclass(frozen=True)
class Subject:
    """What was measured, in words and numbers.

    Args:
        file: the upload's name, as it came.
        found: what the file holds, sentences.
        network: the network's title.
        assumptions: what the file does not say, sentences.
        data: the samples' title.
        real: whether the data are real.
        rows: samples that instruments used.
        samples: samples that loss and accuracy are of.
        parameters: the number P.
        surrogate: whether gradients are a straight-through estimator's.
    """

    file: str
    found: tuple[str, ...]
    network: str
    assumptions: tuple[str, ...]
    data: str
    real: bool
    rows: int
    samples: int
    parameters: int
    surrogate: bool


@dataclass(frozen=True, eq=False)
class LayerReading:
    """One layer's instruments, along directions that are zero outside of it.

    Args:
        name: its name in the file.
        parameters: how many of the P are its own.
        gradient: the norm of its part of the gradient.
        values: measure -> (n,) draws of k directions; nan where not resolved.
        radii: (R,) increasing.
        fourth: (R,) mean|Delta4| over all directions; nan where not resolved.
        roughness, holder: (R,) roughness and (R - 1,) exponents between neighbouring radii, over
            all directions; nan where not resolved.
    """

    name: str
    parameters: int
    gradient: float
    values: dict[str, np.ndarray]
    radii: np.ndarray
    fourth: np.ndarray
    roughness: np.ndarray
    holder: np.ndarray

    def mean(self, measure: str) -> float:
        """The mean of what is resolved; nan where nothing is."""
        known = self.values[measure][np.isfinite(self.values[measure])]
        return float(known.mean()) if known.size else float("nan")

    def middle(self, measure: str) -> tuple[float, float]:
        """The 10th and 90th percentile of what is resolved; nan where nothing is."""
        known = self.values[measure][np.isfinite(self.values[measure])]
        if not known.size:
            return (float("nan"), float("nan"))
        low, high = np.quantile(known, (0.1, 0.9))
        return (float(low), float(high))

    @property
    def rough(self) -> float:
        """mean|Delta4| at sigma, in units of the loss, so that layers compare; nan unresolved."""
        return float(self.fourth[len(self.radii) // 2])


@dataclass(frozen=True, eq=False)
class Edge:
    """Sharpness against the limit of the optimizer's learning rate.

    Args:
        measured: of the Hessian, preconditioned by Adam's v where the file has it.
        preconditioned: whether it is.
        lr: the learning rate of the file, or None.
        limit: the sharpness above which that diverges on a parabola, or None.
    """

    measured: Sharpness
    preconditioned: bool
    lr: float | None
    limit: float | None

    @property
    def share(self) -> float | None:
        """Sharpness as a share of its limit."""
        return None if self.limit is None else self.measured.value / self.limit


@dataclass(frozen=True, eq=False)
class NextStep:
    """The step that Adam takes next from the file's moments, on these samples.

    Args:
        line: the loss along it.
        length: its norm.
        relative: that norm as a share of the weights' norm.
        lr: learning rate.
        step: t, counted from 1.
        rho: LGI of one draw of k directions, as S-Adam would take it.
        damping: a = exp(-lambda rho).
        k, lgi_lambda: with which.
        quantile: the share of dampings on a plain slope that are smaller, in [0, 1].
        law: the mean damping on a plain slope.
        mean: the mean damping of many draws here, and `draws` their number.
    """

    line: StepLine
    length: float
    relative: float
    lr: float
    step: int
    rho: float
    damping: float
    k: int
    lgi_lambda: float
    quantile: float
    law: float
    mean: float
    draws: int


@dataclass(frozen=True, eq=False)
class Between:
    """The straight line from the first checkpoint (t = 0) to the second (t = 1).

    Args:
        file: the second upload's name.
        distance: between the two, in the parameters' units.
        t: (N,) places.
        loss, accuracy: (N,).
        rough_t: (M,) places where roughness was measured.
        roughness: (M,) at the radius sigma; nan where not resolved.
        plane: the loss on the plane through both and the first one's gradient: a runs from the
            first to the second, b along the first one's negative gradient across it.
        barrier: highest loss on the line less the straight line between the ends' losses, >= 0.
    """

    file: str
    distance: float
    t: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    rough_t: np.ndarray
    roughness: np.ndarray
    plane: Slice | None
    barrier: float


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that is measured so far.

    Args:
        subject: what was measured.
        loss, accuracy: on all samples, in float32 as the lab has them.
        unseen: accuracy on samples never trained on, or None.
        norm: of the weights.
        readings: the instruments at the weights, float64.
        slice, map: loss and instruments on a plane through the weights.
        layers: layer by layer.
        edge: sharpness, or None.
        step: the next step, or None.
        between: the line to a second checkpoint, or None.
        notes: why something is missing, sentences.
        working: what is being measured, "" at rest.
        done: share of the work, 0 to 1.
    """

    subject: Subject
    loss: float
    accuracy: float
    unseen: float | None
    norm: float
    readings: Readings
    slice: Slice | None = None
    map: InstabilityMap | None = None
    layers: tuple[LayerReading, ...] = ()
    edge: Edge | None = None
    step: NextStep | None = None
    between: Between | None = None
    notes: tuple[str, ...] = ()
    working: str = ""
    done: float = 0.0
