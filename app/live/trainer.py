"""The background trainer of one session: commands in, views out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from app.budget import BudgetError
from app.experiment import Experiment
from app.live.gate import GATE, Gate
from app.live.pulse import Pulse
from app.live.rate import Rate
from app.live.view import State, View
from app.live.worker import Worker, log

if TYPE_CHECKING:
    from app.live.beside import Beside
    from app.live.run import Run
    from app.report.resume import Start

Answer = TypeVar("Answer")

# Whatever imports torch is imported by the thread itself: the page is drawn before that is done.


class Trainer(Worker):
    """Trains one session's experiment in a thread of its own.

    All commands return at once; the thread takes them between two steps, so the run itself is
    only ever touched by one thread. The thread knows nothing of the session: close() ends it.

    Args:
        experiment: what to train first.
        gate: shared by all trainers of the process.
        name: for the log.
        pulse: of the session.
        opening: begin with the first run, kept or computed, instead of an empty page.
    """

    def __init__(
        self,
        experiment: Experiment,
        gate: Gate = GATE,
        name: str = "session",
        *,
        pulse: Pulse | None = None,
        opening: bool = False,
    ) -> None:
        super().__init__(gate, name, pulse)
        self._experiment = experiment
        self._lock = threading.Lock()  # guards what view() reads
        self._running = False
        #: Set once a plane that was asked for has points to show; cleared by who asks.
        self.drawn = threading.Event()
        #: Set while no step is in progress or about to be taken.
        self.settled = threading.Event()
        self._state: State = "preparing"
        self._message = ""
        self._run: Run | None = None
        self._beside: Beside | None = None
        #: The step at which training pauses by itself: the end of a first run, until it is kept.
        self._opening: int | None = None
        #: Whether the run is the first one at its end, and nobody has touched it.
        self._first = False
        #: The step that a link names, at which training pauses by itself too.
        self._until: int | None = None
        self._beside_turn = False
        self._rate = Rate()
        self._command(lambda: self._begin(experiment, opening))
        self._start_thread()

    # -- commands, from any thread ---------------------------------------------------------

    def run(self) -> None:
        """Train until paused or until the experiment's last step."""
        self._announce("paused", "running")
        self._command(self._start_by_hand)

    def run_to(self, step: int) -> None:
        """Train to a step, pause there, and measure the maps of that step."""
        self._command(lambda: self._start_towards(step))

    def pause(self) -> None:
        """Stop after the step in progress."""
        self._running = False  # seen between two steps, before any queued command
        self._announce("running", "paused")
        if not (self._at_work or self._commands):
            self.settled.set()  # among many, the next turn may be far: no step is in progress
        self._command(self._pause_by_hand)

    def step(self) -> None:
        """Take exactly one step, then pause."""
        self._running = False
        self._command(self._single)

    def restart(self, experiment: Experiment, start: Start | None = None) -> None:
        """Begin `experiment` from a checkpoint or from its initial weights, paused."""
        self._running = False
        self._command(lambda: self._begin(experiment, start=start), instead=True)

    def ask(self, question: Callable[[Run], Answer]) -> Future[Answer]:
        """Answer a question about the run between two steps; never, where another is begun first.

        Args:
            question: called in the trainer's thread; it must not change the run.
        """
        answer: Future[Answer] = Future()

        def do() -> None:
            assert self._run is not None
            try:
                answer.set_result(question(self._run))
            except (ValueError, RuntimeError) as error:
                answer.set_exception(error)

        self._command(do)
        return answer

    def adjust(self, experiment: Experiment) -> None:
        """Take over settings that act without a restart: learning rate, strength, views."""
        self._command(lambda: self._adjust(experiment))

    def look(self, step: int | None) -> None:
        """Compute the loss ahead of a past step; None goes back to the present one."""
        self._command(lambda: self._with_beside(lambda beside: beside.look(step)))

    def compute_maps(self) -> None:
        """Compute slice and map anew from the paths so far."""
        self._command(lambda: self._with_beside(lambda beside: beside.begin_maps()))

    def cancel(self) -> None:
        """Stop computing slice, map and what is measured along the run; what is there stays."""
        self._command(lambda: self._with_beside(lambda beside: beside.cancel()))

    @property
    def state(self) -> State:
        """What the trainer is doing, or about to do."""
        return self._state

    def view(self) -> View:
        """A consistent copy of everything that the page shows, at the last step."""
        with self._lock:
            run, beside = self._run, self._beside
            base = View(
                self._experiment,
                self._state,
                self._message,
                opening=self._opening,
                first=self._first,
            )
            if run is None or beside is None:
                return base
            return replace(
                base,
                message=self._message or beside.message,
                rate=self._rate.read(),
                along=beside.along,
                maps=beside.maps,
                ahead=beside.ahead,
                **run.known(),
            )

    # -- the thread --------------------------------------------------------------------------

    def _announce(self, before: State, after: State) -> None:
        """Show at once what a queued command is about to do."""
        with self._lock:
            if self._state == before:
                self._state = after

    def _has_work(self) -> bool:
        return self._running or bool(self._beside)

    def _take_turn(self, until: float) -> None:
        # Training and the work beside it take turns, so that neither waits for the other's end.
        self._beside_turn = bool(self._beside) and not (self._running and self._beside_turn)
        if self._beside_turn and self._beside is not None:
            self._beside.take_turn(until)
            self._keep_first_run()
            return
        while self._running and time.perf_counter() < until and not self._commands:
            self._one_step()

    def _one_step(self) -> None:
        assert self._run is not None
        assert self._beside is not None
        self._run.advance()
        with self._lock:
            self._run.record()
            self._rate.tick(self._run.step)
        arrived = self._run.step == self._until
        if self._ended() or arrived or self._run.step == self._opening:
            self._settle()
            if arrived:
                self._beside.arrive()
        self._beside.after_step()

    def _begin(
        self, experiment: Experiment, opening: bool = False, start: Start | None = None
    ) -> None:
        self._leave_first_run()
        self._until = None
        self._running = False
        with self._lock:
            self._state, self._message = "preparing", ""
            self._run = self._beside = None
            self._experiment = experiment
            self._rate.clear()
        from app.live.warmup import warm_up

        warm_up()
        from app.live.beside import Beside
        from app.live.run import Run
        from demo_models.published import DataError

        try:
            run = Run(experiment, start)
        except (BudgetError, DataError) as refusal:  # the server owner's matter, no fault
            self._refuse(str(refusal))
            return
        beside = Beside(run, experiment, self._lock, lambda: not self._running, self.drawn)
        if opening:
            self._open(run, beside)
        with self._lock:
            self._run, self._beside, self._state = run, beside, "paused"
        self.settled.set()
        if self._opening is not None:
            self._start()
        if beside.ahead is None:
            beside.begin_ahead()
        if run.problem.function is not None:
            beside.begin_maps()

    def _open(self, run: Run, beside: Beside) -> None:
        """Put a fresh run where the kept first run ended, or set out to compute that."""
        from app.live import first_run

        kept = first_run.load(run)
        if kept is None:
            self._opening = first_run.FIRST_STEPS
        else:
            beside.take_over(*kept)
            self._first = True

    def _keep_first_run(self) -> None:
        """Once the first run stands still and is fully measured, keep it for the next visit."""
        run, beside = self._run, self._beside
        if self._opening is None or self._running or beside or run is None or beside is None:
            return
        maps, ahead = beside.maps, beside.ahead
        if maps is not None and ahead is not None and run.step == self._opening == ahead.step:
            from app.live import first_run

            first_run.save(run, maps, ahead)
            self._opening, self._first = None, True

    def _leave_first_run(self) -> None:
        """From here on it is a person's run."""
        self._opening, self._first = None, False

    def _start_by_hand(self) -> None:
        self._leave_first_run()
        self._until = None
        self._start()

    def _start_towards(self, step: int) -> None:
        self._leave_first_run()
        if self._run is not None and self._run.step < step:
            self._until = step
            self._start()

    def _pause_by_hand(self) -> None:
        self._leave_first_run()
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
        self._running, self._until = False, None
        if self._run is None:
            return
        with self._lock:
            self._state = "finished" if self._ended() else "paused"
            self._rate.clear()
        self.settled.set()
        log.info("%s: paused at step %d", self.name, self._run.step)
        if self._beside is not None:
            self._beside.standing()

    def _single(self) -> None:
        if self._run is None:
            return
        self._leave_first_run()
        ended = self._ended()
        if not ended:
            self._one_step()
        self._settle()
        with self._lock:
            self._message = self._why_ended() if ended else ""

    def _adjust(self, experiment: Experiment) -> None:
        from app.live.run import settings_of

        self._leave_first_run()
        with self._lock:
            self._experiment = experiment
            if self._run is not None:
                self._run.ensemble.settings = settings_of(experiment)
                if self._state == "finished" and not self._ended():
                    self._state, self._message = "paused", ""
        if self._beside is not None:
            self._beside.adjust(experiment)

    def _with_beside(self, do: Callable[[Beside], None]) -> None:
        """A command to the work beside training, which may not have begun."""
        if self._beside is not None:
            do(self._beside)

    def _drop(self) -> None:
        self._running = False
        self.settled.set()
        with self._lock:
            self._run = self._beside = None
            self._state = "preparing"

    def _fail(self, error: Exception) -> None:
        self._refuse(f"The run stopped: {error}")

    def _refuse(self, sentence: str) -> None:
        self._running = False
        self._beside = None
        self.settled.set()
        with self._lock:
            self._state, self._message = "failed", sentence
