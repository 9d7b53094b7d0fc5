"""The one component that draws the whole grid, so that nothing blanks or loses its zoom."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.components import v2
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState, get_script_run_ctx

from app.cleared import drawn_again
from app.grid.delta import Delta

# The inline part is resent at each refresh, so it only fetches the real one, once.
_LOADER = """
const grid = import(new URL("chatterscope/grid.js", document.baseURI));
export default async (component) => (await grid).default(component);
"""

_component = v2.component("chatterscope.grid", js=_LOADER, isolate_styles=False)


def grid(
    delta: Delta,
    parts: dict[str, dict[str, Any]],
    act: Callable[[dict[str, Any]], None],
    page: str = "lab",
) -> None:
    """Mount the grid, or hand it its next message.

    Args:
        delta: what this browser was sent, and what it has asked for.
        parts: see `Delta.message`.
        act: called once with each thing that a person did inside the grid, in order.
        page: whose panels are drawn, see `PAGES` in grid.js.
    """
    key = "grid" if page == "lab" else page
    message = delta.message(parts) | {"page": page}

    def take() -> None:
        # Gone where the page was left meanwhile; what was asked for is asked for again.
        if key in st.session_state:
            delta.take(st.session_state[key].actions, act)

    # As bytes: Streamlit would write JSON twice, the second time only to name the component.
    data = json.dumps(message, separators=(",", ":")).encode()
    with drawn_again(key):
        _component(key=key, data=data, on_actions_change=take)


def refresh_every(seconds: float) -> None:
    """Let the browser run the present fragment at this interval from now on.

    Streamlit fixes `run_every` when the whole page is run, which for a change of pace alone would
    close an open menu; its browser takes a new interval at any time.
    """
    context, fragment = get_script_run_ctx(), ThreadState.get().fragment_id
    if context is not None and fragment is not None:
        message = ForwardMsg()
        message.auto_rerun.fragment_id = fragment
        message.auto_rerun.interval = seconds
        context.enqueue(message)
