"""What one browser session holds: its experiment, its trainer and what it was last sent."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import streamlit as st

from app.experiment import Experiment, ExperimentError
from app.grid.delta import Delta
from app.live.trainer import Trainer

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
