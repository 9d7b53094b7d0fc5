"""What the page reads of a run: one consistent copy, made between two steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from app.experiment import Experiment

if TYPE_CHECKING:
    from probes import Plane, StepLine
    from probes.instability import InstabilityMap
    from probes.planes import Fidelity
    from probes.slices import Slice

State = Literal["preparing", "paused", "running", "finished", "failed"]


@dataclass(frozen=True)
class Maps:
    """The slice and the instability map on one plane, as far as they are computed.

    Args:
        plane: the plane that both share.
        step: the step whose paths chose it.
        slice: loss on the plane, or None before its first level.
        map: instability on the plane, or None before its first points.
        fidelity: how well the plane holds the paths, or None before it is known.
        working: "" when finished, else what is being computed.
        done: share of that work, 0 to 1.
    """

    plane: Plane
    step: int
    slice: Slice | None = None
    map: InstabilityMap | None = None
    fidelity: Fidelity | None = None
    working: str = ""
    done: float = 0.0


@dataclass(frozen=True)
class Ahead:
    """The loss ahead of the step that each optimizer takes next.

    Args:
        step: the step before which that is.
        lines: lane key -> its line, as far as it is computed.
        surrogate: whether the gradient is a straight-through one.
    """

    step: int
    lines: dict[str, StepLine]
    surrogate: bool


@dataclass(frozen=True, eq=False)
class Along:
    """One instrument along the run, as far as it is measured.

    Args:
        strips: which, a key of `app.experiment.ALONG`.
        steps: (N,) kept steps.
        values: (N, L) of the shown seed; nan where not measured yet or not resolved.
        done: share of the work, 0 to 1.
        working: False once it is complete or was cancelled.
    """

    strips: str
    steps: np.ndarray
    values: np.ndarray
    done: float
    working: bool


@dataclass(frozen=True)
class View:
    """A consistent copy of a run; R runs are lanes x seeds, lane-major.

    Args:
        experiment: what runs.
        state: what the trainer is doing.
        message: one sentence where something went wrong, else "".
        opening: the step at which the first run ends while it is being computed, else None.
        first: whether this is the first run at its end, measured and untouched.
        rate: steps a second over the last second or so, 0 when paused.
        step: the step that is shown: the last one, or one that was looked back at.
        last: steps taken.
        steps: (T,) step numbers of the rows below, increasing; the older ones are thinned.
        columns: name -> (T, R) or (T, R, J), see `sadam.record`; and "accuracy" (T, R), the share
            of right answers on the test set, "levels_changed" (T, R), quantized weights whose
            level this step changed, "oscillating" (T, R, 1 + layers), share of them that go
            to and fro, of all and layer by layer; "distance" (T, R) from the start.
        diverged_at: (R,) step at which a run was frozen, -1 for a sound one.
        place_steps: (N,) steps of the snapshots, for which the following is known.
        places: (N, L, 2) coordinates of the shown seed on the plane of `maps`; (0, L, 2) without.
        codes: step -> (L, W) integer levels of the shown seed's quantized weights.
        kinks: step -> (L,) signed distance to the nearest kink of an analytic function.
        sharpness: step -> (L,) largest eigenvalue of each optimizer's Hessian on the probe set, of
            the shown seed, as a share of its stability limit; computed with the maps.
        along: an instrument along the run, or None before one was asked for.
        maps: slice and map, or None before the first.
        ahead: the loss ahead of a step, or None before the first.
        samples: size of the fixed probe set, 0 for a function.
        weights: quantized weights, 0 where nothing is rounded.
    """

    experiment: Experiment
    state: State
    message: str = ""
    opening: int | None = None
    first: bool = False
    rate: float = 0.0
    step: int = 0
    last: int = 0
    steps: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    diverged_at: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    place_steps: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    places: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 2)))
    codes: dict[int, np.ndarray] = field(default_factory=dict)
    kinks: dict[int, np.ndarray] = field(default_factory=dict)
    sharpness: dict[int, np.ndarray] = field(default_factory=dict)
    along: Along | None = None
    maps: Maps | None = None
    ahead: Ahead | None = None
    samples: int = 0
    weights: int = 0

    @property
    def name(self) -> str:
        """What a picture or a file of this view is headed with."""
        return f"{self.experiment.name} · step {self.step}"

    @property
    def begun(self) -> bool:
        """Whether there is a run to show: its initial state has been measured."""
        return len(self.steps) > 0

    def shown(self, name: str) -> np.ndarray:
        """A column of the shown (first) seed: (T, L) or (T, L, J)."""
        return self.columns[name][:, :: self.experiment.seeds]

    @property
    def reference(self) -> str:
        """The lane that others are compared with: the chosen one, or the first."""
        lanes = self.experiment.lanes
        return self.experiment.reference if self.experiment.reference in lanes else lanes[0]

    def seeds_of(self, name: str, lane: int) -> np.ndarray:
        """A column of all seeds of a lane: (T, S) or (T, S, J)."""
        seeds = self.experiment.seeds
        return self.columns[name][:, lane * seeds : (lane + 1) * seeds]

    def unbroken(self, most: int) -> slice:
        """The last rows, at most `most`, one a step without a gap: the older ones are thinned."""
        steps = self.steps[-most:]
        gaps = np.flatnonzero(np.diff(steps) != 1)
        count = len(steps) - (int(gaps[-1]) + 1 if gaps.size else 0)
        return slice(len(self.steps) - count, len(self.steps))

    def trained(self, lane: int, seed: int = 0) -> np.ndarray:
        """Rows (T,) at which one seed of a lane still trained: frozen is not calm."""
        at = int(self.diverged_at[lane * self.experiment.seeds + seed])
        return self.steps < at if at >= 0 else np.ones(len(self.steps), bool)

    def at(self, step: int) -> View:
        """The same run as it was at `step`, or at the last kept row before it."""
        rows = max(1, int(np.searchsorted(self.steps, step, side="right")))
        places = int(np.searchsorted(self.place_steps, step, side="right"))
        return replace(
            self,
            step=int(self.steps[rows - 1]),
            steps=self.steps[:rows],
            columns={name: column[:rows] for name, column in self.columns.items()},
            diverged_at=np.where(self.diverged_at > step, -1, self.diverged_at),
            place_steps=self.place_steps[:places],
            places=self.places[:places],
        )
