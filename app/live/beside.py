"""What is measured beside training, in small turns: the loss ahead, maps, an instrument along."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from app.experiment import ALONG, Experiment
from app.live.ahead import compute_ahead
from app.live.along import compute_along
from app.live.jobs import Jobs
from app.live.maps import compute_maps
from app.live.run import Run
from app.live.stability import compute_sharpness
from app.live.view import Ahead, Along, Maps

#: Seconds between two computations of the loss ahead while training, and times of its own duration.
AHEAD_EVERY, AHEAD_SHARE = 2.0, 3.0
#: Fields whose change makes the maps on the present plane out of date.
MAP_FIELDS = (
    "extent",
    "slice_resolution",
    "map_resolution",
    "map_k",
    "map_sigma",
    "map_draws",
)
#: What a job that is refused says was not computed.
WORK = {
    "maps": "maps were",
    "ahead": "loss ahead was",
    "sharpness": "sharpness was",
    "along": "instrument along the run was",
}


def maps_are_due(step: int) -> bool:
    """Whether the maps are recomputed at this step by themselves: 100, 200, 400, 800, ..."""
    return step >= 100 and step % 100 == 0 and (step // 100).bit_count() == 1


class Beside:
    """The work beside one run; all methods are the trainer's thread's.

    What a view reads (`maps`, `ahead`, `along`, `message`, the run's sharpness) changes under the
    lock alone.

    Args:
        run: what is measured.
        experiment: how; `adjust` changes it.
        lock: guards what a view reads.
        standing: whether training stands still.
        drawn: set once a plane that is being measured has points to show.
    """

    def __init__(
        self,
        run: Run,
        experiment: Experiment,
        lock: threading.Lock,
        standing: Callable[[], bool],
        drawn: threading.Event,
    ) -> None:
        self.maps: Maps | None = None
        self.ahead: Ahead | None = None
        self.along: Along | None = None
        self.message = ""
        #: The past step that is looked at, None for the present.
        self.looking: int | None = None
        self._run = run
        self._experiment = experiment
        self._lock = lock
        self._standing = standing
        self._drawn = drawn
        self._jobs = Jobs(self._publish, self._refuse)
        self._next_ahead = self._ahead_begun = 0.0

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def take_turn(self, until: float) -> None:
        """Work until `until`, in `time.perf_counter` seconds."""
        self._jobs.take_turn(until)

    def take_over(self, maps: Maps, ahead: Ahead) -> None:
        """Show what was computed of this very run before."""
        self._run.place(maps.plane)
        with self._lock:
            self.maps, self.ahead = maps, ahead

    def after_step(self) -> None:
        """Begin what is due while training goes on."""
        if maps_are_due(self._run.step):
            self.begin_maps()
        due = self.looking is None and time.perf_counter() >= self._next_ahead
        if due and "ahead" not in self._jobs:
            self.begin_ahead()

    def standing(self) -> None:
        """Training stands still: measure this very step."""
        if self.looking is None:
            self.begin_ahead()
        self._begin_along()
        self.follow()

    def arrive(self) -> None:
        """Training stands at the step that a link names: show the plane of the paths so far."""
        known = self.maps is not None and self.maps.step == self._run.step
        if not known and self._run.problem.function is None:
            self.begin_maps()

    def look(self, step: int | None) -> None:
        """Measure the loss ahead of a past step; None goes back to the present one."""
        self.looking = step
        self.begin_ahead()

    def adjust(self, experiment: Experiment) -> None:
        """Measure anew what other settings make out of date."""
        before, self._experiment = self._experiment, experiment
        self._begin_along()
        if self.maps is None:
            return
        if experiment.plane != before.plane or (before.extent and not experiment.extent):
            self.begin_maps()
        elif self._lacks_measure() or any(
            getattr(experiment, name) != getattr(before, name) for name in MAP_FIELDS
        ):
            self.begin_maps(self.maps)

    def cancel(self) -> None:
        """Stop the maps and the instrument along the run; what is there stays."""
        self._jobs.cancel("maps")
        self._jobs.cancel("along")
        with self._lock:
            if self.maps is not None:
                self.maps = replace(self.maps, working="")
            if self.along is not None:
                self.along = replace(self.along, working=False)

    def begin_ahead(self) -> None:
        """Follow the loss along the next update of the step that is looked at."""
        self._ahead_begun = time.perf_counter()
        step = self._run.step if self.looking is None else self.looking
        self._jobs.start("ahead", compute_ahead(self._run, step))

    def begin_maps(self, onto: Maps | None = None) -> None:
        """Choose a plane and compute the maps on it, or on another extent of the one in `onto`."""
        with self._lock:
            self.message = ""
        self._jobs.start("maps", self._compute_maps(onto))

    def _begin_along(self) -> None:
        """Measure the chosen instrument along the run, unless that is done for this step."""
        known, strips = self.along, self._experiment.strips
        if strips not in ALONG:
            return
        if known is None or known.strips != strips or known.steps[-1] != self._run.step:
            self._jobs.start("along", compute_along(self._experiment, self._run))

    def follow(self) -> None:
        """Standing still with a path that has left the plane: choose one that holds it."""
        if "maps" not in self._jobs and self._left(self.maps):
            self.begin_maps()

    def _compute_maps(self, onto: Maps | None) -> Iterator[Maps]:
        """The maps, and once more where training then stands still off their plane."""
        if onto is None:
            self._jobs.start("sharpness", compute_sharpness(self._run))
        looking = self._run.step if self.looking is None else self.looking
        for maps in compute_maps(self._experiment, self._run, looking, onto):
            if maps.working or not (self._standing() and self._left(maps)):
                yield maps
            else:
                yield from self._compute_maps(None)

    def _left(self, maps: Maps | None) -> bool:
        """Whether a path has left the plane of these maps, which nobody chose to look at."""
        older = maps is not None and maps.step < self._run.step
        chosen = self.looking is not None or bool(self._experiment.extent)
        return older and not chosen and self._run.left_the_plane()

    def _lacks_measure(self) -> bool:
        """Whether the map that is there was made without the measure that is to be shown."""
        measured = None if self.maps is None else self.maps.map
        return measured is not None and self._experiment.measure not in measured.values

    def _publish(self, job: str, result: Any) -> None:
        with self._lock:
            if job == "ahead":
                self.ahead = result
                # Seldom enough that training keeps most of the time.
                now = time.perf_counter()
                self._next_ahead = now + max(AHEAD_EVERY, AHEAD_SHARE * (now - self._ahead_begun))
            elif job == "along":
                self.along = result
            elif job == "sharpness":
                step, shares = result
                self._run.sharpness[step] = shares
            elif result.slice is None and self.maps is not None:
                # Nothing to show on the new plane yet: the old one stays until there is.
                self.maps = replace(self.maps, working=result.working, done=result.done)
            else:
                self.maps = result
                if result.plane is not self._run.plane:
                    self._run.place(result.plane)
                self._drawn.set()

    def _refuse(self, job: str, error: Exception) -> None:
        with self._lock:
            self.message = f"The {WORK[job]} not computed: {error}"
            if job == "maps" and self.maps is not None:
                self.maps = replace(self.maps, working="")
