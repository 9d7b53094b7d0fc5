"""The pages and the way between them."""

from __future__ import annotations

import streamlit as st

from app.cleared import drawn_again
from app.live.pulse import keep_alive
from app.views import checkpoint, glossary, instruments, lab, lessons, looks, score, theory


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
    with drawn_again("page"):
        page.run()
