"""What the page reads of a run: one consistent copy, made between two steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from app.experiment import Experiment

if TYPE_CHECKING:
    from probes import Plane
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
        cancelled: whether a person stopped it.
    """

    plane: Plane
    step: int
    slice: Slice | None = None
    map: InstabilityMap | None = None
    fidelity: Fidelity | None = None
    working: str = ""
    done: float = 0.0
    cancelled: bool = False


@dataclass(frozen=True)
class View:
    """A consistent copy of a run; R runs are lanes x seeds, lane-major.

    Args:
        experiment: what runs.
        state: what the trainer is doing.
        message: one sentence where something went wrong, else "".
        rate: steps a second over the last second or so, 0 when paused.
        step: steps taken.
        steps: (T,) step numbers of the rows below, increasing; the older ones are thinned.
        columns: name -> (T, R) or (T, R, J), see `sadam.history`.
        diverged_at: (R,) step at which a run was frozen, -1 for a sound one.
        accuracy: (R,) share of right answers on the test set, nan where there is none.
        accuracy_step: the step at which it was measured.
        path_steps: (N,) steps of the snapshots.
        paths: (N, L, P) parameters of the shown seed at those steps.
        maps: slice and map, or None before the first.
        samples: size of the fixed probe set, 0 for a function.
    """

    experiment: Experiment
    state: State
    message: str = ""
    rate: float = 0.0
    step: int = 0
    steps: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    diverged_at: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    accuracy: np.ndarray = field(default_factory=lambda: np.empty(0))
    accuracy_step: int = 0
    path_steps: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    paths: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0)))
    maps: Maps | None = None
    samples: int = 0

    @property
    def begun(self) -> bool:
        """Whether there is a run to show: its initial state has been measured."""
        return len(self.steps) > 0

    def shown(self, name: str) -> np.ndarray:
        """A column of the shown (first) seed: (T, L) or (T, L, J)."""
        return self.columns[name][:, :: self.experiment.seeds]
