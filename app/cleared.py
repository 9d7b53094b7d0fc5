"""A control that Streamlit has cleared away while it was drawn: the page is drawn once more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st


@contextmanager
def drawn_again(what: str) -> Iterator[None]:
    """Draw the page once more where the end of the run before has cleared a control away.

    Streamlit forgets the controls that a run has not drawn when that run ends, which can be after
    the next one has begun: who goes from page to page quickly would read an error.

    Args:
        what: is drawn within; each has one more attempt.

    Raises:
        KeyError: the same again.
    """
    key = f"cleared-{what}"
    try:
        yield
    except KeyError:
        if st.session_state.get(key):
            raise
        st.session_state[key] = True
        st.rerun()
    st.session_state[key] = False
