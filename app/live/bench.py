"""The bench of one session: a thread that measures the present point anew whenever it moves."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from typing import Any

import streamlit as st

from app.experiment import ExperimentError
from app.link import said
from app.live.gate import GATE, Gate
from app.live.held import Held, current
from app.live.jobs import Jobs
from app.live.measuring import measurements, slices
from app.live.pulse import Pulse
from app.live.readings import Readings
from app.live.subject import Subject, snapped
from app.live.worker import Worker
from app.setup import Setup

#: Seconds that a change waits for its first figures, so that one answer holds them.
FIRST_FIGURES = 0.25

_numbers = itertools.count(1)


class Meter(Worker):
    """Measures one session's setup in a thread of its own.

    A new setup makes an older one void; what was measured stays until its successor is there.

    Args:
        setup: what to measure first.
        gate: shared by all workers of the process.
        name: for the log.
        pulse: of the session.
    """

    def __init__(
        self, setup: Setup, gate: Gate = GATE, name: str = "bench", pulse: Pulse | None = None
    ) -> None:
        super().__init__(gate, name, pulse)
        self._lock = threading.Lock()  # guards what readings() reads
        self._readings = Readings(setup)
        #: Setups that were asked for, and those that were begun.
        self._asked = self._begun = 0
        self._subject: tuple[Setup, Subject] | None = None
        self._jobs = Jobs(self._publish, self._refuse)
        #: Set once the cheap figures of the last setup are known.
        self.figures = threading.Event()
        #: Whether measuring was stopped half way; measure() goes on.
        self.stopped = False
        self.measure(setup)
        self._start_thread()

    def measure(self, setup: Setup) -> None:
        """Measure `setup`, in place of whatever is being measured."""
        self.figures.clear()
        self.stopped = False
        with self._lock:
            self._asked += 1
            self._readings = replace(self._readings, working="the point", done=0.0, message="")
            asked = self._asked
        self._command(lambda: self._begin(setup, asked), instead=True)

    def draw(self, setup: Setup) -> None:
        """Take over what only changes the drawing."""
        self._command(lambda: self._redraw(setup))

    def stop(self) -> None:
        """Stop measuring; what is there stays."""
        self.stopped = True
        self._command(self._stop)

    def readings(self) -> Readings:
        """Everything that is measured so far."""
        with self._lock:
            return self._readings

    def _begin(self, setup: Setup, asked: int) -> None:
        from app.live.warmup import warm_up

        warm_up()
        self._jobs.cancel("point")
        if self._subject is None or not setup.same_subject(self._subject[0]):
            self._jobs.clear()
            self._subject = None
            with self._lock:
                self._readings = Readings(setup, working="the function")
            self._subject = (setup, Subject.of(setup))
        with self._lock:
            self._begun = asked
            self._readings = replace(
                self._readings, setup=setup, working="the point", done=0.0, message=""
            )
        subject = self._subject[1]
        self._jobs.start("point", measurements(subject, setup))
        if asked == self._asked:
            self.figures.set()
        drawn = self._readings.slice
        if "slice" not in self._jobs and (drawn is None or drawn.done < 1):
            self._jobs.start("slice", slices(subject))

    def _redraw(self, setup: Setup) -> None:
        with self._lock:
            self._readings = replace(self._readings, setup=setup)

    def _stop(self) -> None:
        self._jobs.clear()
        with self._lock:
            self._readings = replace(self._readings, working="")

    def _has_work(self) -> bool:
        return bool(self._jobs)

    def _take_turn(self, until: float) -> None:
        while self._jobs and not self._commands and time.perf_counter() < until:
            self._jobs.take_turn(0.0)

    def _publish(self, _job: str, result: dict[str, Any]) -> None:
        with self._lock:
            if self._begun != self._asked:  # the end of the old point is not the new one's
                result = {name: new for name, new in result.items() if name != "working"}
            self._readings = replace(self._readings, **result)

    def _refuse(self, _job: str, error: Exception) -> None:
        self.figures.set()
        with self._lock:
            self._readings = replace(
                self._readings, working="", message=f"This was not measured: {error}"
            )

    def _drop(self) -> None:
        self._jobs.clear()
        self._subject = None
        self.figures.set()
        with self._lock:
            self._readings = Readings(self._readings.setup)

    def _fail(self, error: Exception) -> None:
        self._jobs.clear()
        self._subject = None
        self.figures.set()
        with self._lock:
            self._readings = replace(
                self._readings, working="", message=f"Measuring stopped: {error}"
            )


class Bench(Held):
    """A session's setup and the meter that measures it.

    Args:
        setup: what is measured first.
        message: one sentence to show, e.g. what was wrong with the link.
        pulse: of the session.
    """

    def __init__(self, setup: Setup, message: str = "", pulse: Pulse | None = None) -> None:
        self.setup = setup
        self.message = message
        self.meter = Meter(setup, name=f"bench {next(_numbers)}", pulse=pulse)
        super().__init__(self.meter)
        #: The browser's number of the last move that was taken over.
        self.moves = 0
        #: How often something was set inside the charts: a drag sets its end alone.
        self.rests = 0

    def change(self, **changes: Any) -> None:
        """Take over changed fields; a bad value leaves everything as it is and is said."""
        with self.changing:
            try:
                changed = self.setup.change(**changes)
            except ExperimentError as error:
                self.message = str(error)
                return
            before, self.setup, self.message = self.setup, changed, ""
            if changed.measures_as(before):
                self.meter.draw(changed)
                return
            self.meter.measure(changed)
        self.meter.figures.wait(FIRST_FIGURES)

    def take(self, name: str, value: Any) -> None:
        """Take over what a control was set to."""
        if name == "place":
            self.go(value)
        else:
            self.change(**{name: value})

    def move(self, x: float, y: float, number: int) -> None:
        """Put the point where it was dragged to, or on the singularity close by."""
        self.moves = number
        x, y = snapped(self.setup, x, y)
        self.change(x=x, y=y)

    def act(self, action: dict[str, Any]) -> None:
        """Do what a person did inside the charts; an action of another kind does nothing."""
        match action:
            case {"do": "move", "x": x, "y": y, "end": end, "n": n}:
                self.move(float(x), float(y), int(n))
                self.rests += bool(end)  # the controls show where it rests
            case {"do": "set", "field": field, "value": value}:
                self.change(**{field: value})
                self.rests += 1

    def go(self, place: str | None) -> None:
        """Put the point at one of the function's named places; another name changes nothing."""
        if place in dict(self.setup.places):
            x, y = dict(self.setup.places)[place]
            self.change(x=x, y=y)

    def leave(self) -> None:
        """Stop measuring."""
        self.meter.stop()

    def come_back(self) -> None:
        """Measure what the connection's end has stopped."""
        if self.meter.stopped:
            self.meter.measure(self.setup)


def current_bench() -> Bench:
    """This session's bench; the first call makes it from the page's address."""

    def make(pulse: Pulse, ended: str) -> Bench:
        refused: list[str] = []
        setup = Setup.from_query(st.query_params, refused)
        return Bench(setup, ended or said(refused), pulse)

    return current("bench", make)
