"""The page Glossary: every term with its definition, formula and source."""

from __future__ import annotations

import streamlit as st

from app.glossary import TERMS
from app.views import looks
from app.views.lab import STYLE


def show() -> None:
    """Draw the page; each term has its key as an anchor."""
    st.html(STYLE)
    looks.address({})
    with st.container(key="glossary", width=760):
        st.markdown("## Glossary")
        for key, term in sorted(TERMS.items(), key=lambda item: item[1].title.casefold()):
            st.subheader(term.title, anchor=key)
            st.text(term.text)
            if term.formula:
                st.code(term.formula, language=None, wrap_lines=True)
            st.text(f"Source: {term.source}")
