"""Page configuration and navigation; Streamlit runs this file for every session."""

from __future__ import annotations

import sys
from pathlib import Path

# Streamlit runs this as a script: the project's root is not on the path by itself.
ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402

from app.views import navigation  # noqa: E402

st.set_page_config(
    page_title="Chatterscope",
    page_icon="〰️",
    layout="wide",
    initial_sidebar_state=232,
    # The menu has the choice of light and dark, and is there only where it has an item.
    menu_items={"About": "Chatterscope: an oscilloscope for gradient chattering."},
)
navigation.run()
