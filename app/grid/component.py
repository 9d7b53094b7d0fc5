"""The one component that draws the whole grid, so that nothing blanks or loses its zoom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamlit.components import v2

# The inline part is resent at each refresh, so it only fetches the real one, once.
_LOADER = """
const grid = import(new URL("chatterscope/grid.js", document.baseURI));
export default async (component) => (await grid).default(component);
"""

_component = v2.component("chatterscope.grid", js=_LOADER, isolate_styles=False)


def grid(
    message: dict[str, Any], on_resend: Callable[[], None], on_action: Callable[[], None]
) -> Any:
    """Mount the grid, or hand it its next message.

    Args:
        message: from `Delta.message`.
        on_resend: the browser has missed a message and needs everything.
        on_action: a button in the grid was pressed; its name is the result's `action`.

    Returns:
        The component's result.
    """
    return _component(
        key="grid", data=message, on_resend_change=on_resend, on_action_change=on_action
    )
