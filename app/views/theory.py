"""The page Stationarity: does it fall as the theorem says, and at what learning rate?"""

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
    from app.live.theory import Theory

#: What one press of an arrow key adds, for the fields that are not whole numbers.
ARROW = {"lr": 0.01, "weight_decay": 0.01, "delta": 0.01}


def show() -> None:
    """Draw the page."""
    # Imported here: it loads torch, which the lab's first paint must not wait for.
    from app.live.theory import Theory, current_theory

    st.html(STYLE)
    theory = current_theory()
    theory.is_drawn(Feed(_parts, _made_of, _around, Theory.act))
    looks.address(versioned(theory.study.to_query()))
    controls = Controls(theory.study, lambda name, value: theory.change(**{name: value}), ARROW)
    _bar(theory, controls, running=_running(theory))
    _sidebar(controls)
    if theory.message:
        # Never as markdown: a link may have put anything into it.
        st.container(key="message").text(theory.message)
    charts(theory, "stationarity")


def _bar(theory: Theory, controls: Controls, *, running: bool) -> None:
    from app.theory import POWERS, SUBJECTS

    with st.container(key="bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Chatterscope**")
        controls.choose("scenario", SUBJECTS, label_visibility="collapsed", width=290)
        st.button(
            "Cancel" if running else "Run",
            key="run",
            type="primary",
            on_click=theory.cancel if running else theory.run,
        )
        controls.segments(
            "power",
            "Stationarity",
            POWERS,
            required=True,
            help="Running mean of the square, guide −1/2; or of the norm, guide −1/4",
        )
        copy_link(
            lambda: versioned(theory.study.to_query()),
            "A link that opens here: the same study, to be run",
        )


def _sidebar(controls: Controls) -> None:
    from app.charts.spec import STYLES
    from app.theory import OPTIMIZERS, THINNING
    from sadam.lanes import LANES

    with st.sidebar:
        st.caption(controls.held.problem.about)
        controls.several("lanes", OPTIMIZERS, lambda key: f"{STYLES[key].glyph} {LANES[key].title}")
        controls.numbers(("lr", "weight_decay"), ("steps", "delta"), ("samples", "seeds"))
        controls.choose("thinning", THINNING)
        controls.numbers(("seed",))
        st.caption(
            "δ 0.01 is S-Adam's own probe radius. 16 gradients are twice the 4P that make the "
            "bound good for two parameters. No weight decay, as the theorem is about f alone."
        )


def _running(theory: Theory) -> bool:
    return theory.observer.progress().state == "running"


def _around(theory: Theory) -> tuple[object, ...]:
    """What the page shows around the charts."""
    return _running(theory), theory.message


def _made_of(theory: Theory) -> tuple[object, ...]:
    return theory.observer.progress(), theory.study


def _parts(theory: Theory, _everything: bool) -> Parts:
    from app.charts.theory import theory_parts

    return theory_parts(theory.observer.progress(), theory.study)
