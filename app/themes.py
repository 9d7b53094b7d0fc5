"""The theme's options as Streamlit reads them: once, as nothing changes them while it serves."""

from __future__ import annotations

import functools

from streamlit import config


def remember_themes() -> None:
    """Let Streamlit look up each section of its theme once.

    It says the whole theme anew at every refresh of every page and looks through all of its
    options six times for that: 6 of the 16 ms that its event loop spends on a refresh.
    """
    config.get_options_for_section = functools.cache(config.get_options_for_section)
