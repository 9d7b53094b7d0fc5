"""The component that draws a report on a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamlit.components import v2

from app.cleared import drawn_again
from app.report import page_files

_component = v2.component(
    "chatterscope.report",
    js=page_files.component_script(),
    css=page_files.style(),
    isolate_styles=False,
)


def draw_report(key: str, message: dict[str, Any], resend: Callable[[], None]) -> None:
    """Mount a report, or hand it its next message.

    Args:
        key: of the component.
        message: see `app.grid.delta`.
        resend: called where the browser has missed a message; the next one must hold everything.
    """
    with drawn_again(key):
        _component(key=key, data=message, on_resend_change=resend)
