"""The page Stationarity of one session: a thread that trains and measures a study."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import streamlit as st

from app.experiment import ExperimentError
from app.link import said
from app.live.gate import GATE, Gate
from app.live.held import Held, current
from app.live.jobs import Jobs
from app.live.observing import Findings, observe
from app.live.pulse import Pulse
from app.live.worker import Worker
from app.theory import Study

_numbers = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Progress:
    """Where an observer stands.

    Args:
        state: "running" from the press of Run on; "cancelled" with what was found until then.
        findings: of the last study that was run, or None.
        message: one sentence where something was refused, else "".
    """

    state: Literal["idle", "running", "finished", "cancelled", "failed"] = "idle"
    findings: Findings | None = None
    message: str = ""


class Observer(Worker):
    """Runs one session's studies in a thread of its own; what was found stays until the next one.

    Args:
        gate: shared by all workers of the process.
        name: for the log.
        pulse: of the session.
    """

    def __init__(self, gate: Gate = GATE, name: str = "theory", pulse: Pulse | None = None) -> None:
        super().__init__(gate, name, pulse)
        self._lock = threading.Lock()  # guards what progress() reads
        self._progress = Progress()
        self._jobs = Jobs(self._publish, self._refuse)
        #: Set while nothing is being observed.
        self.settled = threading.Event()
        self.settled.set()
        self._start_thread()

    def run(self, study: Study) -> None:
        """Observe `study`, in place of whatever is being observed."""
        self.settled.clear()
        with self._lock:
            self._progress = replace(self._progress, state="running", message="")
        self._command(lambda: self._begin(study), instead=True)

    def cancel(self) -> None:
        """Stop; what was found stays."""
        self._command(self._stop, instead=True)

    def progress(self) -> Progress:
        """Everything that is known so far."""
        with self._lock:
            return self._progress

    def _begin(self, study: Study) -> None:
        from app.live.warmup import warm_up

        warm_up()
        self._jobs.start("study", observe(study))

    def _stop(self) -> None:
        self._jobs.clear()
        if self.progress().state == "running":
            self._settle("cancelled")

    def _settle(self, state: Literal["finished", "cancelled", "failed"], message: str = "") -> None:
        with self._lock:
            self._progress = replace(self._progress, state=state, message=message)
        self.settled.set()

    def _has_work(self) -> bool:
        return bool(self._jobs)

    def _take_turn(self, until: float) -> None:
        while self._jobs and not self._commands and time.perf_counter() < until:
            self._jobs.take_turn(0.0)

    def _publish(self, _job: str, found: Findings | None) -> None:
        if found is None:
            return
        with self._lock:
            self._progress = replace(self._progress, findings=found)
        if found.done == 1.0:
            self._settle("finished")

    def _refuse(self, _job: str, error: Exception) -> None:
        self._settle("failed", f"This was not measured: {error}")

    def _drop(self) -> None:
        self._jobs.clear()
        with self._lock:
            self._progress = Progress()
        self.settled.set()

    def _fail(self, error: Exception) -> None:
        self._jobs.clear()
        self._settle("failed", f"Measuring stopped: {error}")


class Theory(Held):
    """A session's study and the observer that runs it.

    Args:
        study: what Run will observe.
        message: one sentence to show, e.g. what was wrong with the link.
        pulse: of the session.
    """

    def __init__(self, study: Study, message: str = "", pulse: Pulse | None = None) -> None:
        self.study = study
        self.message = message
        #: Whether the end of the connection has stopped a study.
        self._goes_on = False
        self.observer = Observer(name=f"theory {next(_numbers)}", pulse=pulse)
        super().__init__(self.observer)

    def change(self, **changes: object) -> None:
        """Take over changed fields; a bad value leaves everything as it is and is said."""
        try:
            changed = self.study.change(**changes)
        except ExperimentError as error:
            self.message = str(error)
            return
        before, self.study, self.message = self.study, changed, ""
        if not changed.measures_as(before):
            self.observer.cancel()

    def run(self) -> None:
        """Observe the present study from its start."""
        self.message = ""
        self.observer.run(self.study)

    def cancel(self) -> None:
        """Stop observing; what was found stays."""
        self.message = ""
        self.observer.cancel()

    def act(self, action: dict[str, Any]) -> None:
        """Do what a person did inside the charts; an action of another kind does nothing."""
        if action["do"] == "cancel":
            self.cancel()

    def leave(self) -> None:
        """Stop, and keep what is measured."""
        self._goes_on = self.observer.progress().state == "running"
        self.observer.cancel()

    def come_back(self) -> None:
        """Observe anew what the connection's end has stopped."""
        if self._goes_on:
            self._goes_on = False
            self.observer.run(self.study)


def current_theory() -> Theory:
    """This session's theory panel; the first call makes it from the page's address."""

    def make(pulse: Pulse, ended: str) -> Theory:
        refused: list[str] = []
        study = Study.from_query(st.query_params, refused)
        return Theory(study, ended or said(refused), pulse)

    return current("theory", make)
