"""Controls that are set by other means than by hand, in front of a browser that lags."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from app.views import controls

INSTRUMENTS = "from app.views import instruments\ninstruments.show()\n"


@pytest.fixture
def page() -> AppTest:
    opened = AppTest.from_string(INSTRUMENTS, default_timeout=60).run()
    assert not opened.exception
    return opened


def drag(page: AppTest, x: float, y: float) -> None:
    """What the grid does when the point is dropped."""
    page.session_state.bench.act({"do": "move", "x": x, "y": y, "end": True, "n": 1})
    assert page.session_state.bench.stale
    page.run()
    assert not page.session_state.bench.stale


def at(page: AppTest) -> tuple[float, float]:
    setup = page.session_state.bench.setup
    return setup.x, setup.y


def test_what_a_lagging_browser_reports_changes_nothing(page: AppTest) -> None:
    drag(page, 0.5, 0.25)
    drag(page, 1.0, 0.5)
    page.number_input("field-x").set_value(0.0)
    page.number_input("field-y").set_value(0.25)  # two drags ago, and one
    page.button_group("field-place").set_value("at the kink")
    page.run()
    assert at(page) == (1.0, 0.5)
    assert page.number_input("field-x").value == 1.0, "and the control shows what is held"
    assert page.number_input("field-y").value == 0.5
    assert page.button_group("field-place").value == "off the kink"


def test_a_browser_that_has_heard_can_go_back_at_once(page: AppTest) -> None:
    drag(page, 1.0, 0.5)
    page.button_group("field-place").set_value("at the kink").run()
    assert at(page) == (1.0, 0.5), "it may not have heard yet"
    page.session_state.lag.asked()  # this one came with the old state
    page.button_group("field-place").set_value("at the kink").run()
    assert at(page) == (1.0, 0.5)
    for _ in range(2):
        page.session_state.lag.asked()  # the second came with the new
    page.button_group("field-place").set_value("at the kink").run()
    assert at(page) == (0.0, 0.0)


def test_what_lags_for_long_is_taken_as_meant(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    drag(page, 1.0, 0.5)
    monkeypatch.setattr(controls, "LAG", 0.0)
    page.number_input("field-x").set_value(0.0).run()
    assert at(page) == (0.0, 0.5)


def test_typing_there_and_back_is_heard(page: AppTest) -> None:
    for value in (0.5, 0.0, 0.5):
        page.number_input("field-x").set_value(value).run()
        assert at(page) == (value, 0.0)
    for place in ("off the kink", "at the kink", "off the kink"):
        page.button_group("field-place").set_value(place).run()
        assert page.session_state.bench.setup.place == place


def test_another_scenario_keeps_its_own_settings() -> None:
    page = AppTest.from_string("from app.views import lab\nlab.show()\n", default_timeout=60).run()
    page.selectbox("field-scenario").set_value("quadratic").run()
    held = page.session_state.lab.experiment
    assert held.lr != 0.01
    page.number_input("field-lr").set_value(0.01).run()
    assert page.session_state.lab.experiment == held
    assert page.number_input("field-lr").value == held.lr
