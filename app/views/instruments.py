"""The page Instruments: a point that is dragged, and every instrument beside the true answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.grid.component import grid
from app.views.lab import STYLE

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
    st.query_params.from_dict(bench.setup.to_query())
    st.session_state.drawn_setup = bench.setup
    _bar(bench)
    _sidebar(bench)
    # Always there, so that a message does not move the grid, which would be built anew.
    slot = st.empty()
    if bench.message:
        # Never as markdown: a link may have put anything into it.
        slot.container(key="message").text(bench.message)
    _live(bench)


def _bar(bench: Bench) -> None:
    from app.setup import SUBJECTS

    with st.container(key="bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Chatterscope**")
        _choose(bench, "function", SUBJECTS, label_visibility="collapsed", width=290)
        names = [name for name, _ in bench.setup.places]
        st.session_state["field-place"] = bench.setup.place or None
        st.segmented_control(
            "Place",
            names,
            key="field-place",
            label_visibility="collapsed",
            on_change=_take,
            args=(bench, "place"),
            help="Named places of this function; or drag the point",
        )


def _sidebar(bench: Bench) -> None:
    from app.setup import DTYPES, SPHERES

    with st.sidebar:
        _numbers(bench, ("x", "y"), ("k", "sigma"), ("size", "seed"))
        _choose(bench, "dtype", DTYPES)
        _choose(bench, "sphere", SPHERES)
        _numbers(bench, ("draws", "samples"), ("lgi_lambda", "zeta"))


def _label(bench: Bench, name: str) -> str:
    return type(bench.setup).__dataclass_fields__[name].metadata["label"]


def _take(bench: Bench, name: str) -> None:
    """Hand a widget's value to the bench; the widget then shows what was accepted."""
    bench.report(name, st.session_state[f"field-{name}"])


def _numbers(bench: Bench, *rows: tuple[str, ...]) -> None:
    for row in rows:
        for column, name in zip(st.columns(2), row, strict=True):
            value = getattr(bench.setup, name)
            st.session_state[f"field-{name}"] = value
            column.number_input(
                _label(bench, name),
                key=f"field-{name}",
                step=ARROW.get(name, 1),
                format="%d" if isinstance(value, int) else "%.4g",
                on_change=_take,
                args=(bench, name),
                disabled=name == "size" and not bench.setup.any_size,
            )


def _choose(bench: Bench, name: str, options: dict[str, str], **look: Any) -> None:
    st.session_state[f"field-{name}"] = getattr(bench.setup, name)
    st.selectbox(
        _label(bench, name),
        list(options),
        key=f"field-{name}",
        format_func=options.__getitem__,
        on_change=_take,
        args=(bench, name),
        **look,
    )


@st.fragment(run_every=REFRESH)
def _live(bench: Bench) -> None:
    """Send the grid what is new; runs by itself, twice a second, and at every move."""
    from app.charts.instruments import instrument_parts
    from app.charts.known import point_part

    if st.session_state.drawn_setup is None:
        st.rerun()  # the controls are outside of this fragment
    parts = instrument_parts(bench.meter.readings())
    parts["point"] = point_part(bench.setup, bench.moves)
    grid(
        bench.delta.message(parts),
        on_resend=bench.delta.reset,
        on_action=lambda: _act(bench, st.session_state.instruments.action),
        page="instruments",
    )


def _act(bench: Bench, action: dict[str, Any]) -> None:
    """What a person did inside the grid."""
    match action:
        case {"do": "move", "x": x, "y": y, "end": end, "n": n}:
            bench.move(float(x), float(y), n)
            if end:
                st.session_state.drawn_setup = None  # the controls show where it rests
        case {"do": "set", "field": field, "value": value}:
            bench.change(**{field: value})
            st.session_state.drawn_setup = None
