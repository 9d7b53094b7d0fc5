"""What one browser session holds: its experiment, its trainer and what it was last sent."""

from __future__ import annotations

import itertools
import time
import weakref
from typing import Any

import streamlit as st

from app.experiment import Experiment, ExperimentError
from app.grid.delta import Delta
from app.live.trainer import Trainer
from app.live.view import Maps, View

#: Seconds between two refreshes of the paths on the plane while training.
PLANE_REFRESH = 2.0
#: Seconds that a pause waits for the step in progress at most.
SETTLE = 0.3

_numbers = itertools.count(1)


class Lab:
    """A session's experiment and the trainer that runs it.

    Args:
        experiment: what is trained first.
        message: one sentence to show, e.g. what was wrong with the link.
    """

    def __init__(self, experiment: Experiment, message: str = "") -> None:
        self.experiment = experiment
        self.message = message
        self.trainer = Trainer(experiment, name=f"session {next(_numbers)}")
        self.delta = Delta()
        self._plane_maps: Maps | None = None
        self._plane_next = 0.0
        # The trainer's thread holds no reference to this object: it ends with the session.
        weakref.finalize(self, self.trainer.close)

    def change(self, **changes: Any) -> None:
        """Take over changed fields; a bad value leaves everything as it is and is said."""
        try:
            changed = self.experiment.change(**changes)
        except ExperimentError as error:
            self.message = str(error)
            return
        self.message = ""
        restart = changed.needs_restart(self.experiment)
        self.experiment = changed
        if restart:
            self.trainer.restart(changed)
        else:
            self.trainer.adjust(changed)

    def pause(self) -> None:
        """Stop, and wait for the step in progress, so that the page shows the last one at once."""
        self.trainer.pause()
        self.trainer.settled.wait(SETTLE)

    def plane_is_due(self, view: View) -> bool:
        """Whether the views on the plane are sent now: on news, else seldom while running."""
        now = time.monotonic()
        news = view.maps is not self._plane_maps or view.state != "running"
        if not news and now < self._plane_next:
            return False
        self._plane_maps, self._plane_next = view.maps, now + PLANE_REFRESH
        return True

    def reset(self) -> None:
        """Back to the same initial weights."""
        self.trainer.restart(self.experiment)

    def new_seed(self) -> None:
        """The same experiment from the next seed on."""
        self.change(seed=self.experiment.seed + self.experiment.seeds)


def current_lab() -> Lab:
    """This session's lab; the first call makes it from the page's address."""
    if "lab" not in st.session_state:
        try:
            experiment, message = Experiment.from_query(st.query_params), ""
        except ExperimentError as error:
            experiment, message = Experiment(), f"{error} The default experiment is shown instead."
        st.session_state.lab = Lab(experiment, message)
    lab = st.session_state.lab
    _pause_on_disconnect(lab.trainer)
    return lab


@st.cache_resource(scope="session", on_release=Trainer.pause, show_spinner=False)
def _pause_on_disconnect(_trainer: Trainer) -> Trainer:
    """Released when the tab closes or its connection drops: nobody watches, so pause."""
    return _trainer
