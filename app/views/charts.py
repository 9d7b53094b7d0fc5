"""The charts of a page; they ask for news themselves, and for the page where it is stale."""

from __future__ import annotations

import streamlit as st

from app.grid.component import grid
from app.live.held import Held
from app.views.controls import caught_up


@st.fragment
def charts(held: Held, page: str) -> None:
    """Draw a page's charts; runs by itself when something around them has changed.

    Args:
        held: what feeds them.
        page: whose panels are drawn, see `PAGES` in grid.js.
    """
    late = caught_up()
    if held.stale:
        st.rerun()
    grid(held.token, page, late=late)
