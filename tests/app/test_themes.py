"""What Streamlit says of the theme is the same, however it looks that up."""

from __future__ import annotations

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime.app_session import _populate_theme_msg

from app.themes import remember_themes

SECTIONS = ("theme", "theme.light", "theme.dark", "theme.sidebar")


def told() -> list[bytes]:
    found = []
    for section in SECTIONS:
        message = CustomThemeConfig()
        _populate_theme_msg(message, section)
        found.append(message.SerializeToString(deterministic=True))
    return found


def test_the_theme_is_told_alike_and_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    own = config.get_options_for_section

    def look_up(section: str) -> dict[str, object]:
        looked_up.append(section)
        return own(section)

    monkeypatch.setattr(config, "get_options_for_section", look_up)
    before = told()
    assert any(before), "the project has a theme"
    looked_up.clear()
    remember_themes()
    assert [told(), told()] == [before, before]
    assert looked_up == list(SECTIONS)
