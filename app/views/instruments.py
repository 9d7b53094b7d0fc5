"""The page Instruments: a point that is dragged, and every instrument beside the true answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.link import versioned
from app.live.feed import Feed, Parts
from app.views import looks
from app.views.charts import charts
from app.views.controls import Controls
from app.views.lab import STYLE
from app.views.sharing import copy_link

if TYPE_CHECKING:
    from app.live.bench import Bench

#: What one press of an arrow key adds, for the fields that are not whole numbers.
ARROW = {"x": 0.01, "y": 0.01, "sigma": 0.001, "lgi_lambda": 0.5, "zeta": 1e-6}


def show() -> None:
    """Draw the page."""
    # Imported here: it loads torch, which the lab's first paint must not wait for.
    from app.live.bench import Bench, current_bench

    st.html(STYLE)
    bench = current_bench()
    bench.is_drawn(Feed(_parts, _made_of, _around, Bench.act))
    looks.address(versioned(bench.setup.to_query()))
    controls = Controls(bench.setup, bench.take, ARROW)
    _bar(bench, controls)
    _sidebar(controls)
    # Always there, so that a message does not move the grid, which would be built anew.
    slot = st.empty()
    if bench.message:
        # Never as markdown: a link may have put anything into it.
        slot.container(key="message").text(bench.message)
    charts(bench, "instruments")


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
        )


def _sidebar(controls: Controls) -> None:
    from app.setup import DTYPES, SPHERES

    fixed = () if controls.held.any_size else ("size",)
    with st.sidebar:
        controls.numbers(("x", "y"), ("k", "sigma"), ("size", "seed"), disabled=fixed)
        controls.choose("dtype", DTYPES)
        controls.choose("sphere", SPHERES)
        controls.numbers(("draws", "samples"), ("lgi_lambda", "zeta"))


def _around(bench: Bench) -> tuple[object, ...]:
    """What the page shows around the charts; a drag changes that at its end alone."""
    return bench.rests, bench.message


def _made_of(bench: Bench) -> tuple[object, ...]:
    return bench.meter.readings(), bench.setup, bench.moves


def _parts(bench: Bench, _everything: bool) -> Parts:
    from app.charts.instruments import instrument_parts
    from app.charts.known import point_part

    parts = instrument_parts(bench.meter.readings())
    return parts | {"point": point_part(bench.setup, bench.moves)}
