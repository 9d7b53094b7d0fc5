"""What one browser session holds: its experiment, its trainer and what of it was last shown."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.experiment import Experiment, ExperimentError
from app.link import Link, read_link
from app.live.held import Held, current
from app.live.pulse import Pulse
from app.live.trainer import Trainer
from app.live.view import View
from app.reach import out_of_reach

if TYPE_CHECKING:
    from app.report.resume import Start

#: Seconds between two refreshes of the dear charts while training.
SLOW_REFRESH = 2.0
#: Seconds that a plane waits for its first points, at most.
FIRST_POINTS = 0.3
#: Seconds in which a change may arrive that was made before a press of Run: the charts' line is
#: faster than the page.
OVERTAKEN = 1.0
#: Seconds that a pause waits for the step in progress, at most: its figures come a refresh later.
SETTLE = 0.1

_numbers = itertools.count(1)


class Lab(Held):
    """A session's experiment and the trainer that runs it.

    Args:
        experiment: what is trained first.
        message: one sentence to show, e.g. what was wrong with the link.
        opening: show the first run of the default instead of an empty page.
        goal: the step to train to, then to pause at; 0 stays at the start.
        hide: names of fields and of `app.link.GROUPS` whose controls are not shown.
        pulse: of the session.
    """

    def __init__(
        self,
        experiment: Experiment,
        message: str = "",
        *,
        opening: bool = False,
        goal: int = 0,
        hide: tuple[str, ...] = (),
        pulse: Pulse | None = None,
    ) -> None:
        self.experiment = experiment
        self.message = message
        self.hide = hide
        #: The step that the link names, until a person does something else with the run.
        self.goal = goal
        name = f"session {next(_numbers)}"
        self.trainer = Trainer(experiment, name=name, pulse=pulse, opening=opening)
        super().__init__(self.trainer)
        #: Whether training goes on once the page is connected again.
        self._goes_on = False
        if goal:
            self.trainer.run_to(goal)
        #: Whether this is still the run that a first visit opens on.
        self.opening = opening
        #: The checkpoint that every lane starts from, None for initial weights.
        self.start: Start | None = None
        #: The past step that is looked at, None for the present.
        self.at: int | None = None
        self._slow_waited: tuple[object, ...] = ()
        self._slow_shows: tuple[object, ...] = ()
        self._slow_next = 0.0
        self._shown: tuple[object, ...] = ()
        #: The answer to Pause has the figures alone; the dear charts follow with the next refresh.
        self._brief = False
        self._ran = -OVERTAKEN

    def change(self, **changes: Any) -> None:
        """Take over changed fields; a bad value leaves everything as it is and is said."""
        with self.changing:
            self._change(changes)

    def _change(self, changes: dict[str, Any]) -> None:
        try:
            changed = self.experiment.change(**changes)
        except ExperimentError as error:
            self.message = str(error)
            return
        if refused := out_of_reach(changed):
            self.message = refused
            return
        self.message = ""
        before, self.experiment = self.experiment, changed
        restart = changed.needs_restart(before)
        if restart:
            if (changed.scenario, changed.bits) != (before.scenario, before.bits):
                self.start = None  # the checkpoint is of another network
            self._restart()
            if time.monotonic() < self._ran + OVERTAKEN:
                self.trainer.run()
        else:
            self.trainer.drawn.clear()
            self.trainer.adjust(changed)
            if changed.plane != before.plane and self.trainer.view().maps is not None:
                self.trainer.drawn.wait(FIRST_POINTS)  # so that the first points are seen at once

    def run(self) -> None:
        """Train on."""
        self._by_hand()
        self._ran = time.monotonic()
        self.trainer.run()

    def step(self) -> None:
        """Take one step."""
        self._by_hand()
        self.trainer.step()

    def pause(self) -> None:
        """Stop, and wait for the step in progress, so that the page shows the last one at once."""
        self._by_hand()
        self.trainer.pause()
        self.trainer.settled.wait(SETTLE)
        self._brief = True

    def _by_hand(self) -> None:
        """A person does something else with the run than the link, or the server, had in mind."""
        self.message, self.goal = "", 0
        self._goes_on, self._ran = False, -OVERTAKEN

    def leave(self) -> None:
        """Stand still until somebody looks again."""
        self._goes_on = self.trainer.state == "running"
        self.trainer.pause()

    def come_back(self) -> None:
        """Train on where that was going on when the connection ended."""
        if self._goes_on:
            self._goes_on = False
            if self.goal:
                self.trainer.run_to(self.goal)
            else:
                self.trainer.run()

    def look(self, step: int | None) -> None:
        """Show the run as it was at a step; None follows the last one again."""
        self.at = step if isinstance(step, int) and step >= 0 else None
        self.trainer.look(self.at)

    def has_news(self, view: View, at: int | None) -> bool:
        """Whether the grid shows anything else than when this was asked last.

        Args:
            view: of the run as it is.
            at: the step that is shown, None for the last.
        """
        shown = (view.last, view.opening, view.message, len(view.sharpness), view.along)
        before, self._shown = self._shown, shown
        return shown != before or not self._slow_parts_are_known(view, at)

    def forget(self) -> None:
        """Everything is news: a page was opened that was sent nothing yet."""
        self._shown = self._slow_waited = self._slow_shows = ()
        self._brief = False

    def act(self, action: dict[str, Any]) -> None:
        """Do what a person did inside the grid; an action of another kind does nothing."""
        match action:
            case {"do": "run"}:
                self.run()
            case {"do": "pause"}:
                self.pause()
            case {"do": "step"}:
                self.step()
            case {"do": "reset"}:
                self.reset()
            case {"do": "seed"}:
                self.new_seed()
            case {"do": "cancel"}:
                self.trainer.cancel()
            case {"do": "look", "step": step}:
                self.look(step)
            case {"do": "set", "field": field, "value": value}:
                self.change(**{field: value})

    def slow_parts_are_due(self, view: View, at: int | None) -> bool:
        """Whether the dear charts are sent now: at once where a person waits, else seldom while
        training, however often there is news of them. Arguments as of `has_news`."""
        if self._brief:
            self._brief = False
            return False
        now, waits = time.monotonic(), _waited_for(view, at)
        early = view.state == "running" and now < self._slow_next
        if early and _same(waits, self._slow_waited):
            return False
        self._slow_waited, self._slow_shows = waits, (view.maps, view.ahead, *waits)
        self._slow_next = now + SLOW_REFRESH
        return True

    def _slow_parts_are_known(self, view: View, at: int | None) -> bool:
        return _same((view.maps, view.ahead, *_waited_for(view, at)), self._slow_shows)

    def reset(self) -> None:
        """Back to the same initial weights."""
        self.message = ""
        self._restart()

    def resume(self, start: Start) -> None:
        """Start every lane from a checkpoint, with the learning rate of its file."""
        changed = Experiment().change(scenario=start.scenario, bits=start.bits)
        with contextlib.suppress(ExperimentError):  # a rate that the page does not train at
            changed = changed if start.lr is None else changed.change(lr=start.lr)
        self.experiment, self.start, self.message = changed, start, start.words
        self._restart()

    def _restart(self) -> None:
        """Begin the experiment from its start."""
        self.at, self.goal, self.opening, self._goes_on = None, 0, False, False
        self.trainer.restart(self.experiment, self.start)

    def address(self) -> dict[str, str]:
        """The parameters that the page's own address has."""
        return Link(self.experiment, self.goal, self.hide).to_query()

    def link(self, view: View | None = None) -> dict[str, str]:
        """The parameters of a link that opens at the step in view, the present one by default."""
        at = self.at
        step = (view or self.trainer.view()).last if at is None else at
        return Link(self.experiment, min(step, self.experiment.steps), self.hide).to_query()

    def open(self, data: bytes) -> None:
        """Begin the experiment of a file, as far as it is valid; no such file changes nothing."""
        refused: list[str] = []
        try:
            experiment = Experiment.from_json(data, refused)
        except ExperimentError as error:
            self.message = str(error)
            return
        if lacking := out_of_reach(experiment):
            self.message = lacking
            return
        self.experiment, self.start = experiment, None
        self.message = Link(experiment, refused=tuple(refused)).message
        self._restart()

    def new_seed(self) -> None:
        """The same experiment from the next seed on."""
        with self.changing:
            self.change(seed=self.experiment.seed + self.experiment.seeds)


def _waited_for(view: View, at: int | None) -> tuple[object, ...]:
    """What a person has changed: the step in view, the settings, another plane."""
    plane = None if view.maps is None else view.maps.plane
    return plane, at, view.experiment, view.state


def _same(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    pairs = itertools.zip_longest(some, others)
    return all(a is b or a == b for a, b in pairs)


def current_lab() -> Lab:
    """This session's lab; the first call makes it from the page's address, and so does the first
    after it was idle."""
    return current("lab", _from_address)


def _from_address(pulse: Pulse, said: str) -> Lab:
    link = read_link(st.query_params)
    message = said or link.message
    if lacking := out_of_reach(link.experiment):
        link, message = Link(Experiment(), hide=link.hide), f"{lacking} Digits are shown instead."
    return Lab(
        link.experiment,
        message,
        # A bare address is a first visit; one that names anything shows just that.
        opening=not set(st.query_params) - {"look"},
        goal=link.step,
        hide=link.hide,
        pulse=pulse,
    )
