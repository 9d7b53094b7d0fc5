"""The background trainer of one session: commands in, views out."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.experiment import Experiment
from app.live.gate import GATE, Gate
from app.live.jobs import Jobs
from app.live.rate import Rate
from app.live.view import Ahead, Maps, State, View

if TYPE_CHECKING:
    from app.live.run import Run

# Whatever imports torch is imported by the thread itself: the page is drawn before that is done.

log = logging.getLogger("chatterscope")

#: Seconds between two computations of the loss ahead while training, and times of its own duration.
AHEAD_EVERY, AHEAD_SHARE = 2.0, 3.0

_open: weakref.WeakSet[Trainer] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A thread that is inside torch when the interpreter ends would abort the process."""
    trainers = list(_open)
    for trainer in trainers:
        trainer.close()
    for trainer in trainers:
        trainer.join(10)


def maps_are_due(step: int) -> bool:
    """Whether the maps are recomputed at this step by themselves: 100, 200, 400, 800, ..."""
    return step >= 100 and step % 100 == 0 and (step // 100).bit_count() == 1


class Trainer:
    """Trains one session's experiment in a thread of its own.

    All commands return at once; the thread takes them between two steps, so the run itself is
    only ever touched by one thread. The thread knows nothing of the session: close() ends it.

    Args:
        experiment: what to train first.
        gate: shared by all trainers of the process.
        name: for the log.
    """

    def __init__(self, experiment: Experiment, gate: Gate = GATE, name: str = "session") -> None:
        self.name = name
        self._gate = gate
        self._experiment = experiment
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._lock = threading.Lock()  # guards what view() reads
        self._running = False
        self._closed = False
        #: Set while no step is in progress or about to be taken.
        self.settled = threading.Event()
        self._state: State = "preparing"
        self._message = ""
        self._run: Run | None = None
        self._maps: Maps | None = None
        self._ahead: Ahead | None = None
        self._looking: int | None = None
        self._jobs = Jobs(self._publish, self._refuse)
        self._jobs_turn = False
        self._next_ahead = self._ahead_begun = 0.0
        self._rate = Rate()
        self._command(lambda: self._begin(experiment))
        self._thread = threading.Thread(target=self._work, name=f"trainer {name}", daemon=True)
        _open.add(self)
        self._thread.start()

    # -- commands, from any thread ---------------------------------------------------------

    def run(self) -> None:
        """Train until paused or until the experiment's last step."""
        self._announce("paused", "running")
        self._command(self._start)

    def pause(self) -> None:
        """Stop after the step in progress."""
        self._running = False  # seen between two steps, before any queued command
        self._announce("running", "paused")
        self._command(self._settle)

    def step(self) -> None:
        """Take exactly one step, then pause."""
        self._running = False
        self._command(self._single)

    def restart(self, experiment: Experiment) -> None:
        """Begin `experiment` from its initial weights, paused."""
        self._running = False
        self._command(lambda: self._begin(experiment))

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

    def close(self) -> None:
        """End the thread; the trainer answers no further command."""
        self._running = False
        with self._wake:
            self._closed = True
            self._wake.notify()

    def join(self, seconds: float) -> bool:
        """Wait for the thread to end after close(); whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def state(self) -> State:
        """What the trainer is doing, or about to do."""
        return self._state

    def view(self) -> View:
        """A consistent copy of everything that the page shows, at the last step."""
        with self._lock:
            run = self._run
            base = View(
                self._experiment, self._state, self._message, maps=self._maps, ahead=self._ahead
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

    def _command(self, action: Callable[[], None]) -> None:
        with self._wake:
            self._commands.append(action)
            self._wake.notify()

    def _work(self) -> None:
        log.info("%s: trainer started", self.name)
        while self._wait():
            try:
                self._take_turn()
            except Exception as error:
                log.exception("%s: training stopped", self.name)
                self._fail(error)
        log.info("%s: trainer closed", self.name)

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when closed."""
        with self._wake:
            while not (self._closed or self._commands or self._running or self._jobs):
                self._wake.wait()
            return not self._closed

    def _take_turn(self) -> None:
        with self._gate.turn() as until:
            while self._commands:
                self._commands.popleft()()
            # Training and the work beside it take turns, so that neither waits for the other's end.
            self._jobs_turn = bool(self._jobs) and not (self._running and self._jobs_turn)
            if self._jobs_turn:
                self._jobs.take_turn(until)
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
        if self._run.step >= self._experiment.steps or not bool(self._run.ensemble.alive.any()):
            self._settle()
        elif self._looking is None and now >= self._next_ahead and "ahead" not in self._jobs:
            self._begin_ahead()

    def _begin(self, experiment: Experiment) -> None:
        self._jobs.clear()
        self._looking = None
        with self._lock:
            self._state, self._message, self._run = "preparing", "", None
            self._maps = self._ahead = None
            self._experiment = experiment
            self._rate.clear()
        from app.live.warmup import warm_up

        warm_up()
        from app.live.run import Run

        run = Run(experiment)
        with self._lock:
            self._run, self._state = run, "paused"
        self.settled.set()
        self._begin_ahead()
        if run.problem.function is not None:
            self._begin_maps()

    def _start(self) -> None:
        if self._run is None:
            return
        if self._run.step >= self._experiment.steps or not bool(self._run.ensemble.alive.any()):
            self._settle()
            return
        with self._lock:
            self._state = "running"
            self._rate.clear()
        self.settled.clear()
        self._running = True

    def _settle(self) -> None:
        """Stand still, and show the loss ahead of this very step."""
        self._running = False
        if self._run is None:
            return
        with self._lock:
            done = self._run.step >= self._experiment.steps
            finished = done or not bool(self._run.ensemble.alive.any())
            self._state = "finished" if finished else "paused"
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
        if self._run is not None and self._run.step < self._experiment.steps:
            self._one_step()
        self._settle()

    def _adjust(self, experiment: Experiment) -> None:
        from app.live.run import settings_of

        before = self._experiment
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
        elif experiment.extent != before.extent:
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
