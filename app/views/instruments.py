"""The page Instruments: a point that is dragged, and every instrument beside the true answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.grid.component import grid
from app.link import versioned
from app.views import looks
from app.views.controls import Controls, caught_up
from app.views.lab import STYLE
from app.views.sharing import copy_link

if TYPE_CHECKING:
    from app.live.bench import Bench

#: Seconds between two refreshes of the grid.
REFRESH = 0.5
#: What one press of an arrow key adds, for the fields that are not whole numbers.
ARROW = {"x": 0.01, "y": 0.01, "sigma": 0.001, "lgi_lambda": 0.5, "zeta": 1e-6}


def show() -> None:
    """Draw the page."""
    # Imported here: it loads torch, which the lab's first paint must not wait for.
    from app.live.bench import current_bench

    st.html(STYLE)
    bench = current_bench()
    looks.address(versioned(bench.setup.to_query()))
    st.session_state.drawn_setup = bench.setup
    controls = Controls(bench.setup, bench.take, ARROW)
    _bar(bench, controls)
    _sidebar(controls)
    # Always there, so that a message does not move the grid, which would be built anew.
    slot = st.empty()
    if bench.message:
        # Never as markdown: a link may have put anything into it.
        slot.container(key="message").text(bench.message)
    _live(bench)


def _bar(bench: Bench, controls: Controls) -> None:
    from app.setup import SUBJECTS

    with st.container(key="bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Chatterscope**")
        controls.choose("function", SUBJECTS, label_visibility="collapsed", width=290)
        controls.segments(
            "place",
            "Place",
            {name: name for name, _ in controls.held.places},
            help="Named places of this function; or drag the point",
        )
        copy_link(
            lambda: versioned(bench.setup.to_query()),
            "A link that opens here: the same function, point and settings",
            _redraw,
        )


def _sidebar(controls: Controls) -> None:
    from app.setup import DTYPES, SPHERES

    fixed = () if controls.held.any_size else ("size",)
    with st.sidebar:
        controls.numbers(("x", "y"), ("k", "sigma"), ("size", "seed"), disabled=fixed)
        controls.choose("dtype", DTYPES)
        controls.choose("sphere", SPHERES)
        controls.numbers(("draws", "samples"), ("lgi_lambda", "zeta"))


@st.fragment(run_every=REFRESH)
def _live(bench: Bench) -> None:
    """Send the grid what is new; runs by itself, twice a second, and at every move."""
    from app.charts.instruments import instrument_parts
    from app.charts.known import point_part

    caught_up()
    if st.session_state.drawn_setup is None:
        st.rerun()  # the controls are outside of this fragment
    parts = instrument_parts(bench.meter.readings())
    parts["point"] = point_part(bench.setup, bench.moves)
    grid(bench.delta, parts, lambda action: _act(bench, action), page="instruments")


def _act(bench: Bench, action: dict[str, Any]) -> None:
    """What a person did inside the grid."""
    match action:
        case {"do": "move", "x": x, "y": y, "end": end, "n": n}:
            bench.move(float(x), float(y), n)
            if end:
                _redraw()  # the controls show where it rests
        case {"do": "set", "field": field, "value": value}:
            bench.change(**{field: value})
            _redraw()


def _redraw() -> None:
    """Draw the whole page, not the grid alone."""
    st.session_state.drawn_setup = None
