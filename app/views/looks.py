"""The projector's look: a switch on every page, and `look=projector` in every link."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from app.fields import PROJECTOR

STYLE = Path(__file__).with_name("projector.html")


def choose() -> None:
    """Draw the switch, and the style where it is on; light and dark are in the page's menu."""
    if "look" not in st.session_state:
        st.session_state.look = st.query_params.get("look") == PROJECTOR
    st.toggle("Projector", key="look", help="16 px and up, thick lines; in the link as well")
    if st.session_state.look:
        st.html(STYLE)


def query() -> dict[str, str]:
    """What a link says of the look; nothing of the usual one."""
    return {"look": PROJECTOR} if st.session_state.get("look") else {}


def address(parameters: Mapping[str, str]) -> None:
    """Let the page's address have these parameters, and the look."""
    st.query_params.from_dict({**parameters, **query()})


def beside(link: str) -> str:
    """A link to another page of ours, opened in the same look; it has parameters already."""
    return f"{link}&look={PROJECTOR}" if query() else link
