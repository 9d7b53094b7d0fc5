"""The one component that draws the whole grid, so that nothing blanks or loses its zoom."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from streamlit.components import v2
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState, get_script_run_ctx

# The inline part is resent at each refresh, so it only fetches the real one, once.
_LOADER = """
const grid = import(new URL("chatterscope/grid.js", document.baseURI));
export default async (component) => (await grid).default(component);
"""

_component = v2.component("chatterscope.grid", js=_LOADER, isolate_styles=False)


def grid(
    message: dict[str, Any],
    on_resend: Callable[[], None],
    on_action: Callable[[], None],
    page: str = "lab",
) -> Any:
    """Mount the grid, or hand it its next message.

    Args:
        message: from `Delta.message`.
        on_resend: the browser has missed a message and needs everything.
        on_action: something in the grid was pressed or moved; the result's `action` says what.
        page: whose panels are drawn, see `PAGES` in grid.js; the result's key is "grid" for the
            lab, else the page's name.

    Returns:
        The component's result.
    """
    return _component(
        key="grid" if page == "lab" else page,
        # As bytes: Streamlit would write JSON twice, the second time only to name the component.
        data=json.dumps(message | {"page": page}, separators=(",", ":")).encode(),
        on_resend_change=on_resend,
        on_action_change=on_action,
    )


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
