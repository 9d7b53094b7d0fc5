"""The component that draws a report on a page."""

from __future__ import annotations

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


def draw_report(
    key: str, *, parts: dict[str, dict[str, Any]] | None = None, token: str = ""
) -> None:
    """Mount a report.

    Args:
        key: of the component.
        parts: all of them, name -> fields, plain JSON; None for one that grows.
        token: of what it then asks for its parts, on a line of its own, see `app.live.line`.
    """
    with drawn_again(key):
        _component(key=key, data={"parts": parts, "held": token})
