"""Whether anybody still looks at a session's pages: its workers end when nobody does."""

from __future__ import annotations

import os
import time

import streamlit as st

#: Names the seconds after which a session that was not heard of is idle.
VARIABLE = "CHATTERSCOPE_IDLE"
#: A browser runs the timers of a tab in the background once a minute.
IDLE = 120.0
#: Seconds between two signs of life of an open page; many fit into the time above.
BEAT = 30.0
#: Seconds for which a session is remembered once it was idle: who comes back is told.
REMEMBERED = 60.0
#: What a person reads who comes back later.
ENDED = (
    "Nobody watched for {seconds:g} seconds, so the server has ended the run: this is the "
    "experiment of the page's address from its start."
)


def idle_seconds() -> float:
    """Seconds of silence after which a session is idle.

    Raises:
        ValueError: CHATTERSCOPE_IDLE is no number of seconds from 1 on.
    """
    text = os.environ.get(VARIABLE, str(IDLE))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < float("inf"):
        raise ValueError(
            f"{VARIABLE} is {ascii(text)[:40]}; expected seconds, 1 or more: give a number, or "
            f"leave it out for {IDLE:g}."
        )
    return seconds


class Pulse:
    """When a session was last heard of. Any thread may ask.

    Args:
        idle: seconds of silence after which it is idle.
    """

    def __init__(self, idle: float = IDLE) -> None:
        self.idle = idle
        self._heard = time.monotonic()

    def beat(self) -> None:
        """The session was heard of."""
        self._heard = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the session is idle, unless it is heard of; 0 or less once it is."""
        return self._heard + self.idle - time.monotonic()

    @property
    def ended(self) -> str:
        """The sentence for who comes back."""
        return ENDED.format(seconds=self.idle)


def current_pulse() -> Pulse:
    """This session's pulse, which beats with the call."""
    if "pulse" not in st.session_state:
        st.session_state.pulse = Pulse(idle_seconds())
    pulse = st.session_state.pulse
    pulse.beat()
    return pulse


def keep_alive() -> None:
    """Let the open page be heard of from now on, also one that shows nothing live."""
    every = min(BEAT, current_pulse().idle / 4)
    st.fragment(_beat, run_every=every)()


def _beat() -> None:
    awake = st.session_state.pulse.left > 0
    current_pulse()
    if not awake:
        st.rerun()  # what the page shows has ended while its tab was asleep
