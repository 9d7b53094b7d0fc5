"""The lab: controls on top and at the side, one grid of views that follows the run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import streamlit as st

from app.charts.spec import STYLES
from app.experiment import DRAWS, PLANES, ROUNDING
from app.link import GROUPS
from app.live import first_view, warmup
from app.live.feed import Feed, Parts
from app.live.pace import PACE
from app.live.session import Lab, current_lab
from app.live.view import View
from app.views import looks
from app.views.charts import charts
from app.views.controls import Controls
from app.views.sharing import sharing
from demo_models.scenarios import SCENARIOS
from sadam.lanes import LANES

STYLE = Path(__file__).with_name("lab.html")
#: What one press of an arrow key adds, for the fields that are not whole numbers.
ARROW = {
    "lr": 0.001,
    "lgi_lambda": 0.5,
    "sigma": 0.001,
    "beta1": 0.1,
    "x0": 0.1,
    "y0": 0.1,
    "map_sigma": 0.01,
    "mark": 0.01,
}
#: Where a hidden control is that another part of the page draws; the grid's menus have labels.
PLACES = {
    "sidebar": '.stSidebar, [data-testid="stExpandSidebarButton"]',
    "pages": ".st-key-pages",
    "strips": '.cs-choice[aria-label="Shown"]',
    "reference": '.cs-choice[aria-label^="Mean of"]',
}


def show() -> None:
    """Draw the page."""
    st.html(STYLE)
    lab = current_lab()
    lab.is_drawn(FEED)
    looks.address(lab.address())
    controls = Controls(lab.experiment, lambda name, value: lab.change(**{name: value}), ARROW)
    _bar(lab, controls)
    _sidebar(lab, controls)
    if lab.hide:
        st.html(f"<style>{_hidden(lab)} {{ display: none !important; }}</style>")
    if lab.message:
        # Never as markdown: a link may have put anything into it.
        st.container(key="message").text(lab.message)
    charts(lab, "lab")


def _bar(lab: Lab, controls: Controls) -> None:
    with st.container(key="bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Chatterscope**")
        if "scenario" not in lab.hide:
            controls.choose("scenario", _names(lab), label_visibility="collapsed", width=200)
        if "buttons" not in lab.hide:
            st.html('<div class="cs-buttons"></div>', width="content")  # the grid fills it
        if lab.experiment.problem.network is not None and "bits" not in lab.hide:
            controls.segments(
                "bits",
                "Rounding",
                ROUNDING,
                required=True,
                help="Bits of weights and activations; starts anew from the same weights",
            )
        if "link" not in lab.hide:
            sharing(lab)


def _names(lab: Lab) -> dict[str, str]:
    """Scenarios by name; of those that differ in rounding alone one, as a switch does the rest."""
    keys = {scenario.name: key for key, scenario in reversed(SCENARIOS.items())}
    current = lab.experiment.scenario
    keys[SCENARIOS[current].name] = current
    return {key: scenario.name for key, scenario in SCENARIOS.items() if keys[scenario.name] == key}


def _sidebar(lab: Lab, controls: Controls) -> None:
    def numbers(*names: str) -> None:
        shown = [name for name in names if name not in lab.hide]
        controls.numbers(*(tuple(shown[at : at + 2]) for at in range(0, len(shown), 2)))

    with st.sidebar:
        st.caption(lab.experiment.problem.about)
        if "lanes" not in lab.hide:
            controls.several("lanes", LANES, lambda key: f"{STYLES[key].glyph} {LANES[key].title}")
        own = ("x0", "y0") if lab.experiment.problem.is_function else ("batch",)
        numbers("lr", "lgi_lambda", "k", "sigma", "seed", "seeds", "steps", "beta1", *own)
        if "plane" not in lab.hide:
            controls.choose("plane", PLANES)
        if "maps" not in lab.hide:
            st.button(
                "Compute maps",
                key="compute_maps",
                on_click=lab.trainer.compute_maps,
                help="Slice and instability map from the paths so far",
                width="stretch",
            )
        if "probes" not in lab.hide:
            with st.expander("Probes and points of the views"):
                numbers("map_k", "map_sigma", "slice_resolution", "map_resolution", "mark")
                if "map_draws" not in lab.hide:
                    controls.choose("map_draws", DRAWS)


def _hidden(lab: Lab) -> str:
    """A selector of what is drawn elsewhere and hidden here; the names are known ones."""
    labels = {item.name: item.metadata["label"] for item in fields(lab.experiment)}
    labels |= dict.fromkeys(GROUPS, "")
    places = [PLACES.get(name) or f'.cs-choice[aria-label="{labels[name]}"]' for name in lab.hide]
    return ", ".join(places)


def _around(lab: Lab) -> tuple[object, ...]:
    """What the page shows around the grid."""
    return lab.experiment, lab.message, lab.goal


def _parts(lab: Lab, everything: bool) -> Parts:
    """What is new for the grid."""
    if everything:
        lab.forget()
    view, at = lab.trainer.view(), lab.at
    shown = view if at is None or not view.begun else view.at(at)
    parts: Parts = {"status": _status(view) | {"name": shown.name}}
    # While torch is loaded a first visit sees the first run as it was kept.
    kept = first_view.load() if lab.opening and view.state == "preparing" else {}
    if kept:
        parts = kept | {"status": kept["status"] | {"rate": view.state}}
    if not kept or not everything:
        warmup.release()  # the browser has that, or there is nothing to show without torch
    if view.begun and lab.has_news(view, at):
        # Imported here: it loads torch, and the first paint must not wait for that.
        from app.charts.board import line_parts, slow_parts

        parts |= line_parts(shown, at)
        if lab.slow_parts_are_due(view, at):
            parts |= slow_parts(shown)
            if view.first and shown is view:
                first_view.keep(parts)
    return parts


def _interval(lab: Lab) -> float:
    return PACE.interval(lab.trainer.name, training=lab.trainer.state == "running")


def _status(view: View) -> dict[str, Any]:
    """The bar's figures."""
    rate = f"{view.rate:.0f} steps/s" if view.state == "running" else view.state
    return {
        "state": view.state,
        "step": view.last,
        "rate": "first run" if view.opening else rate,
        "done": round(view.last / view.opening, 2) if view.opening else None,
        "message": view.message,
    }


FEED = Feed(_parts, around=_around, act=Lab.act, interval=_interval)
