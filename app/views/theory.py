"""The page Stationarity: does it fall as the theorem says, and at what learning rate?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.grid.component import grid
from app.views.lab import STYLE

if TYPE_CHECKING:
    from app.live.theory import Theory

#: Seconds between two refreshes of the grid.
REFRESH = 0.5
#: What one press of an arrow key adds, for the fields that are not whole numbers.
ARROW = {"lr": 0.01, "weight_decay": 0.01, "delta": 0.01}


def show() -> None:
    """Draw the page."""
    # Imported here: it loads torch, which the lab's first paint must not wait for.
    from app.live.theory import current_theory

    st.html(STYLE)
    theory = current_theory()
    st.query_params.from_dict(theory.study.to_query())
    state = theory.observer.progress().state
    st.session_state.drawn_theory = state
    _bar(theory, running=state == "running")
    _sidebar(theory)
    if theory.message:
        # Never as markdown: a link may have put anything into it.
        st.container(key="message").text(theory.message)
    _live(theory)


def _bar(theory: Theory, *, running: bool) -> None:
    from app.theory import POWERS, SUBJECTS

    with st.container(key="bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Chatterscope**")
        _choose(theory, "scenario", SUBJECTS, label_visibility="collapsed", width=290)
        st.button(
            "Cancel" if running else "Run",
            key="run",
            type="primary",
            on_click=theory.cancel if running else theory.run,
        )
        st.session_state["field-power"] = theory.study.power
        st.segmented_control(
            "Stationarity",
            list(POWERS),
            key="field-power",
            format_func=POWERS.__getitem__,
            label_visibility="collapsed",
            required=True,
            on_change=_take,
            args=(theory, "power"),
            help="Running mean of the square, guide −1/2; or of the norm, guide −1/4",
        )


def _sidebar(theory: Theory) -> None:
    from app.charts.spec import STYLES
    from app.theory import OPTIMIZERS, THINNING
    from sadam.lanes import LANES

    with st.sidebar:
        st.caption(theory.study.problem.about)
        st.session_state["field-lanes"] = list(theory.study.lanes)
        st.pills(
            _label(theory, "lanes"),
            list(OPTIMIZERS),
            selection_mode="multi",
            key="field-lanes",
            format_func=lambda key: f"{STYLES[key].glyph} {LANES[key].title}",
            on_change=_take,
            args=(theory, "lanes"),
        )
        _numbers(theory, ("lr", "weight_decay"), ("steps", "delta"), ("samples", "seeds"))
        _choose(theory, "thinning", THINNING)
        _numbers(theory, ("seed",))
        st.caption(
            "δ 0.01 is S-Adam's own probe radius. 16 gradients are twice the 4P that make the "
            "bound good for two parameters. No weight decay, as the theorem is about f alone."
        )


def _label(theory: Theory, name: str) -> str:
    return type(theory.study).__dataclass_fields__[name].metadata["label"]


def _take(theory: Theory, name: str) -> None:
    """Hand a widget's value to the study; the widget then shows what was accepted."""
    theory.change(**{name: st.session_state[f"field-{name}"]})


def _numbers(theory: Theory, *rows: tuple[str, ...]) -> None:
    for row in rows:
        for column, name in zip(st.columns(2), row, strict=False):
            value = getattr(theory.study, name)
            st.session_state[f"field-{name}"] = value
            column.number_input(
                _label(theory, name),
                key=f"field-{name}",
                step=ARROW.get(name, 1),
                format="%d" if isinstance(value, int) else "%.4g",
                on_change=_take,
                args=(theory, name),
            )


def _choose(theory: Theory, name: str, options: dict[str, str], **look: Any) -> None:
    st.session_state[f"field-{name}"] = getattr(theory.study, name)
    st.selectbox(
        _label(theory, name),
        list(options),
        key=f"field-{name}",
        format_func=options.__getitem__,
        on_change=_take,
        args=(theory, name),
        **look,
    )


@st.fragment(run_every=REFRESH)
def _live(theory: Theory) -> None:
    """Send the grid what is new; runs by itself, twice a second."""
    from app.charts.theory import theory_parts

    progress = theory.observer.progress()
    if progress.state != st.session_state.drawn_theory:
        st.rerun()  # the bar's button is outside of this fragment
    grid(
        theory.delta.message(theory_parts(progress, theory.study)),
        on_resend=theory.delta.reset,
        on_action=lambda: _act(theory, st.session_state.stationarity.action),
        page="stationarity",
    )


def _act(theory: Theory, action: dict[str, Any]) -> None:
    """What a person did inside the grid."""
    if action.get("do") == "cancel":
        theory.cancel()
