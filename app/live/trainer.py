"""The background trainer of one session: commands in, views out."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.experiment import Experiment
from app.live.gate import GATE, Gate
from app.live.jobs import Jobs
from app.live.rate import Rate
from app.live.view import Ahead, Maps, State, View
from app.live.worker import Worker, log

if TYPE_CHECKING:
    from app.live.run import Run

# Whatever imports torch is imported by the thread itself: the page is drawn before that is done.

#: Seconds between two computations of the loss ahead while training, and times of its own duration.
AHEAD_EVERY, AHEAD_SHARE = 2.0, 3.0
#: Fields whose change makes the maps on the present plane out of date.
MAP_FIELDS = ("extent", "slice_resolution", "map_resolution", "map_k", "map_sigma")


def maps_are_due(step: int) -> bool:
    """Whether the maps are recomputed at this step by themselves: 100, 200, 400, 800, ..."""
    return step >= 100 and step % 100 == 0 and (step // 100).bit_count() == 1


class Trainer(Worker):
    """Trains one session's experiment in a thread of its own.

    All commands return at once; the thread takes them between two steps, so the run itself is
    only ever touched by one thread. The thread knows nothing of the session: close() ends it.

    Args:
        experiment: what to train first.
        gate: shared by all trainers of the process.
        name: for the log.
        opening: begin with the first run, kept or computed, instead of an empty page.
    """

    def __init__(
        self,
        experiment: Experiment,
        gate: Gate = GATE,
        name: str = "session",
        *,
        opening: bool = False,
    ) -> None:
        super().__init__(gate, name)
        self._experiment = experiment
        self._lock = threading.Lock()  # guards what view() reads
        self._running = False
        #: Set while no step is in progress or about to be taken.
        self.settled = threading.Event()
        self._state: State = "preparing"
        self._message = ""
        self._run: Run | None = None
        self._maps: Maps | None = None
        self._ahead: Ahead | None = None
        self._looking: int | None = None
        #: The step at which training pauses by itself: the end of a first run, until it is kept.
        self._opening: int | None = None
        self._jobs = Jobs(self._publish, self._refuse)
        self._jobs_turn = False
        self._next_ahead = self._ahead_begun = 0.0
        self._rate = Rate()
        self._command(lambda: self._begin(experiment, opening))
        self._start_thread()

    # -- commands, from any thread ---------------------------------------------------------

    def run(self) -> None:
        """Train until paused or until the experiment's last step."""
        self._announce("paused", "running")
        self._command(self._start_by_hand)

    def pause(self) -> None:
        """Stop after the step in progress."""
        self._running = False  # seen between two steps, before any queued command
        self._announce("running", "paused")
        self._command(self._pause_by_hand)

    def step(self) -> None:
        """Take exactly one step, then pause."""
        self._running = False
        self._command(self._single)

    def restart(self, experiment: Experiment) -> None:
        """Begin `experiment` from its initial weights, paused."""
        self._running = False
        self._command(lambda: self._begin(experiment), instead=True)

    def adjust(self, experiment: Experiment) -> None:
        """Take over settings that act without a restart: learning rate, strength, views."""
        self._command(lambda: self._adjust(experiment))

    def look(self, step: int | None) -> None:
        """Compute the loss ahead of a past step; None goes back to the present one."""
        self._command(lambda: self._look(step))

    def compute_maps(self) -> None:
        """Compute slice and map anew from the paths so far."""
        self._command(self._begin_maps)

    def cancel_maps(self) -> None:
        """Stop computing slice and map; what is there stays."""
        self._command(self._cancel_maps)

    @property
    def state(self) -> State:
        """What the trainer is doing, or about to do."""
        return self._state

    def view(self) -> View:
        """A consistent copy of everything that the page shows, at the last step."""
        with self._lock:
            run = self._run
            base = View(
                self._experiment,
                self._state,
                self._message,
                opening=self._opening,
                maps=self._maps,
                ahead=self._ahead,
            )
            if run is None:
                return base
            return replace(base, rate=self._rate.read(), **run.known())

    # -- the thread --------------------------------------------------------------------------

    def _announce(self, before: State, after: State) -> None:
        """Show at once what a queued command is about to do."""
        with self._lock:
            if self._state == before:
                self._state = after

    def _has_work(self) -> bool:
        return self._running or bool(self._jobs)

    def _take_turn(self, until: float) -> None:
        # Training and the work beside it take turns, so that neither waits for the other's end.
        self._jobs_turn = bool(self._jobs) and not (self._running and self._jobs_turn)
        if self._jobs_turn:
            self._jobs.take_turn(until)
            self._keep_first_run()
            return
        while self._running and time.perf_counter() < until and not self._commands:
            self._one_step()

    def _one_step(self) -> None:
        assert self._run is not None
        self._run.advance()
        now = time.perf_counter()
        with self._lock:
            self._run.record()
            self._rate.tick(self._run.step)
        if maps_are_due(self._run.step):
            self._begin_maps()
        if self._ended() or self._run.step == self._opening:
            self._settle()
        elif self._looking is None and now >= self._next_ahead and "ahead" not in self._jobs:
            self._begin_ahead()

    def _begin(self, experiment: Experiment, opening: bool = False) -> None:
        self._jobs.clear()
        self._looking = self._opening = None
        self._running = False
        with self._lock:
            self._state, self._message, self._run = "preparing", "", None
            self._maps = self._ahead = None
            self._experiment = experiment
            self._rate.clear()
        from app.live.warmup import warm_up

        warm_up()
        from app.live.run import Run

        run = Run(experiment)
        if opening:
            self._open(run)
        with self._lock:
            self._run, self._state = run, "paused"
        self.settled.set()
        if self._opening is not None:
            self._start()
        if self._ahead is None:
            self._begin_ahead()
        if run.problem.function is not None:
            self._begin_maps()

    def _open(self, run: Run) -> None:
        """Put a fresh run where the kept first run ended, or set out to compute that."""
        from app.live import first_run

        kept = first_run.load(run)
        if kept is None:
            self._opening = first_run.FIRST_STEPS
            return
        maps, ahead = kept
        run.place(maps.plane)
        with self._lock:
            self._maps, self._ahead = maps, ahead

    def _keep_first_run(self) -> None:
        """Once the first run stands still and is fully measured, keep it for the next visit."""
        if self._opening is None or self._running or self._jobs:
            return
        run, maps, ahead = self._run, self._maps, self._ahead
        if run is None or maps is None or ahead is None:
            return
        if run.step == self._opening == ahead.step:
            from app.live import first_run

            first_run.save(run, maps, ahead)
            self._opening = None

    def _start_by_hand(self) -> None:
        self._opening = None  # from here on it is a person's run, not the first one
        self._start()

    def _pause_by_hand(self) -> None:
        self._opening = None
        self._settle()

    def _ended(self) -> bool:
        """Whether no step is left, or no run that could take it."""
        assert self._run is not None
        return self._run.step >= self._experiment.steps or not bool(self._run.ensemble.alive.any())

    def _start(self) -> None:
        if self._run is None:
            return
        if self._ended():
            self._settle()
            with self._lock:
                self._message = self._why_ended()
            return
        with self._lock:
            self._state, self._message = "running", ""
            self._rate.clear()
        self.settled.clear()
        self._running = True

    def _why_ended(self) -> str:
        """What to do when Run or Step is pressed and nothing is left to train."""
        assert self._run is not None
        if self._run.step >= self._experiment.steps:
            return f"All {self._run.step:,} steps are taken: raise Steps, or press Reset."
        return "Every run has diverged: lower the learning rate and press Reset."

    def _settle(self) -> None:
        """Stand still, and show the loss ahead of this very step."""
        self._running = False
        if self._run is None:
            return
        with self._lock:
            self._state = "finished" if self._ended() else "paused"
            self._rate.clear()
        self.settled.set()
        log.info("%s: paused at step %d", self.name, self._run.step)
        if self._looking is None:
            self._begin_ahead()
        self._follow()

    def _follow(self) -> None:
        """Standing still with a path that has left the plane: choose one that holds it."""
        if self._run is None or self._maps is None or self._running or "maps" in self._jobs:
            return
        older = self._maps.step < self._run.step
        if older and not self._experiment.extent and self._run.left_the_plane():
            self._begin_maps()

    def _single(self) -> None:
        if self._run is None:
            return
        self._opening, ended = None, self._ended()
        if not ended:
            self._one_step()
        self._settle()
        with self._lock:
            self._message = self._why_ended() if ended else ""

    def _adjust(self, experiment: Experiment) -> None:
        from app.live.run import settings_of

        before, self._opening = self._experiment, None
        with self._lock:
            self._experiment = experiment
            if self._run is not None:
                self._run.ensemble.settings = settings_of(experiment)
                if self._state == "finished" and self._run.step < experiment.steps:
                    self._state = "paused"
        if self._maps is None:
            return
        if experiment.plane != before.plane or (before.extent and not experiment.extent):
            self._begin_maps()
        elif any(getattr(experiment, f) != getattr(before, f) for f in MAP_FIELDS):
            self._begin_maps(self._maps)

    def _look(self, step: int | None) -> None:
        self._looking = step
        self._begin_ahead()

    def _begin_ahead(self) -> None:
        from app.live.ahead import compute_ahead

        if self._run is not None:
            self._ahead_begun = time.perf_counter()
            step = self._run.step if self._looking is None else self._looking
            self._jobs.start("ahead", compute_ahead(self._run, step))

    def _begin_maps(self, onto: Maps | None = None) -> None:
        """Choose a plane and compute the maps on it, or on another extent of the one in `onto`."""
        from app.live.maps import compute_maps

        if self._run is not None:
            with self._lock:
                self._message = ""
            looking = self._run.step if self._looking is None else self._looking
            self._jobs.start("maps", compute_maps(self._experiment, self._run, looking, onto))

    def _cancel_maps(self) -> None:
        self._jobs.cancel("maps")
        with self._lock:
            if self._maps is not None:
                self._maps = replace(self._maps, working="")

    def _publish(self, job: str, result: Any) -> None:
        assert self._run is not None
        with self._lock:
            if job == "ahead":
                self._ahead = result
                # Seldom enough that training keeps most of the time.
                now = time.perf_counter()
                self._next_ahead = now + max(AHEAD_EVERY, AHEAD_SHARE * (now - self._ahead_begun))
                return
            if result.slice is None and self._maps is not None:
                # Nothing to show on the new plane yet: the old one stays until there is.
                self._maps = replace(self._maps, working=result.working, done=result.done)
                return
            self._maps = result
            if result.plane is not self._run.plane:
                self._run.place(result.plane)
        if not result.working:
            self._command(self._follow)  # once this job has ended

    def _refuse(self, job: str, error: Exception) -> None:
        with self._lock:
            what = {"maps": "maps were", "ahead": "loss ahead was"}[job]
            self._message = f"The {what} not computed: {error}"
            if job == "maps" and self._maps is not None:
                self._maps = replace(self._maps, working="")

    def _fail(self, error: Exception) -> None:
        self._running = False
        self._jobs.clear()
        self.settled.set()
        with self._lock:
            self._state, self._message = "failed", f"The run stopped: {error}"
