"""The pages and the way between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.live.pulse import keep_alive
from app.views import checkpoint, glossary, instruments, lab, lessons, looks, score, theory

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


def run() -> None:
    """Run the page of the address, with links to the others on top of its sidebar."""
    pages = [
        st.Page(lab.show, title="Lab", url_path="lab", default=True),
        st.Page(instruments.show, title="Instruments", url_path="instruments"),
        st.Page(checkpoint.show, title="Checkpoint", url_path="checkpoint"),
        st.Page(score.show, title="Score", url_path="score"),
        st.Page(theory.show, title="Stationarity", url_path="stationarity"),
        st.Page(lessons.show, title="Lessons", url_path="lessons"),
        st.Page(glossary.show, title="Glossary", url_path="glossary"),
    ]
    page = st.navigation(pages, position="hidden")
    with st.sidebar, st.container(key="pages", horizontal=True, gap="small"):
        for other in pages:
            st.page_link(other)
    keep_alive()
    with st.sidebar:
        looks.choose()
    _draw(page)


def _draw(page: StreamlitPage) -> None:
    """Draw a page; once more, where the end of the run before has cleared a control away."""
    try:
        page.run()
    except KeyError:
        # Streamlit forgets the controls that a run has not drawn when that run ends, which can be
        # after the next one has begun: who goes from page to page quickly would read an error.
        if st.session_state.get("drawn_again"):
            raise
        st.session_state.drawn_again = True
        st.rerun()
    st.session_state.drawn_again = False
