"""The background trainer of one session: commands in, views out."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from app.experiment import Experiment
from app.live.gate import GATE, Gate
from app.live.view import Maps, State, View

if TYPE_CHECKING:
    from app.live.run import Run

# Whatever imports torch is imported by the thread itself: the page is drawn before that is done.

log = logging.getLogger("chatterscope")

#: Columns of the history that the page draws.
COLUMNS = (
    "probe_loss",
    "lgi",
    "damping",
    "effective_lr",
    "gradient_projection",
    "update_projection",
)
#: Seconds over which steps a second are counted.
RATE_WINDOW = 1.0


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
        self._job: Iterator[Maps] | None = None
        self._maps_turn = False
        self._ticks: deque[tuple[float, int]] = deque()
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
        """A consistent copy of everything that the page shows."""
        with self._lock:
            run = self._run
            base = View(self._experiment, self._state, self._message, maps=self._maps)
            if run is None:
                return base
            steps, paths = run.history.snapshots
            return replace(
                base,
                rate=self._rate(),
                step=run.step,
                steps=run.history.steps,
                columns={name: run.history.column(name) for name in COLUMNS},
                diverged_at=run.diverged_at,
                accuracy=run.accuracy,
                accuracy_step=run.accuracy_step,
                path_steps=steps,
                paths=paths,
                samples=0 if run.problem.probe is None else len(run.problem.probe[1]),
            )

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
            while not (self._closed or self._commands or self._running or self._job):
                self._wake.wait()
            return not self._closed

    def _take_turn(self) -> None:
        with self._gate.turn() as until:
            while self._commands:
                self._commands.popleft()()
            # Maps and training take turns, so that neither waits for the other to end.
            self._maps_turn = self._job is not None and not (self._running and self._maps_turn)
            if self._maps_turn:
                self._continue_maps(until)
                return
            while self._running and time.perf_counter() < until and not self._commands:
                self._one_step()

    def _one_step(self) -> None:
        assert self._run is not None
        self._run.advance()
        with self._lock:
            self._run.record()
            self._ticks.append((time.perf_counter(), self._run.ensemble.t))
        step = self._run.ensemble.t
        if maps_are_due(step):
            self._begin_maps()
        if step >= self._experiment.steps or not bool(self._run.ensemble.alive.any()):
            self._settle()

    def _begin(self, experiment: Experiment) -> None:
        self._job = None
        with self._lock:
            self._state, self._message, self._maps, self._run = "preparing", "", None, None
            self._experiment = experiment
            self._ticks.clear()
        from app.live.warmup import warm_up

        warm_up()
        from app.live.run import Run

        run = Run(experiment)
        with self._lock:
            self._run, self._state = run, "paused"
        if run.problem.function is not None:
            self._begin_maps()

    def _start(self) -> None:
        if self._run is None or self._run.ensemble.t >= self._experiment.steps:
            return
        with self._lock:
            self._state = "running"
            self._ticks.clear()
        self.settled.clear()
        self._running = True

    def _settle(self) -> None:
        """Stand still: measure what is only measured now and then, and say so."""
        self._running = False
        if self._run is None:
            return
        self._run.measure_accuracy()
        with self._lock:
            finished = self._run.ensemble.t >= self._experiment.steps
            self._state = "finished" if finished else "paused"
            self._ticks.clear()
        self.settled.set()
        log.info("%s: paused at step %d", self.name, self._run.ensemble.t)

    def _single(self) -> None:
        if self._run is not None and self._run.ensemble.t < self._experiment.steps:
            self._one_step()
        self._settle()

    def _adjust(self, experiment: Experiment) -> None:
        from app.live.run import settings_of

        moved = experiment.plane != self._experiment.plane
        with self._lock:
            self._experiment = experiment
            if self._run is not None:
                self._run.ensemble.settings = settings_of(experiment)
                if self._state == "finished" and self._run.ensemble.t < experiment.steps:
                    self._state = "paused"
        if moved and self._maps is not None:
            self._begin_maps()

    def _begin_maps(self) -> None:
        from app.live.maps import compute_maps

        if self._run is not None:
            with self._lock:
                self._message = ""
            self._job = compute_maps(self._experiment, self._run)
            self._continue_maps(0)  # the plane is that of this very step

    def _continue_maps(self, until: float) -> None:
        assert self._job is not None
        try:
            for maps in self._job:
                with self._lock:
                    self._maps = maps
                if time.perf_counter() >= until or self._commands:
                    return
        except (ValueError, MemoryError) as error:  # refused: the run itself is sound
            with self._lock:
                self._message = f"The maps were not computed: {error}"
        self._job = None

    def _cancel_maps(self) -> None:
        if self._job is not None:
            self._job = None
            with self._lock:
                if self._maps is not None:
                    self._maps = replace(self._maps, working="", cancelled=True)

    def _fail(self, error: Exception) -> None:
        self._running, self._job = False, None
        with self._lock:
            self._state, self._message = "failed", f"The run stopped: {error}"

    def _rate(self) -> float:
        """Steps a second over the last second."""
        now = time.perf_counter()
        while self._ticks and self._ticks[0][0] < now - RATE_WINDOW:
            self._ticks.popleft()
        if len(self._ticks) < 2:
            return 0.0
        (first, a), (last, b) = self._ticks[0], self._ticks[-1]
        return (b - a) / (last - first) if last > first else 0.0
