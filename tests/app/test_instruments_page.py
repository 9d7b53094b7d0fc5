"""The controls of the page Instruments and the thread behind them, without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from app.live.bench import Bench, Meter
from app.live.gate import Gate
from app.live.readings import Readings
from app.setup import SUBJECTS, Setup
from demo_models.known import KNOWN

SCRIPT = "from app.views import instruments\ninstruments.show()\n"


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; failing to come true is the test's failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.005)


def opened(**query: str) -> AppTest:
    page = AppTest.from_string(SCRIPT, default_timeout=60)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


@pytest.fixture
def page() -> AppTest:
    return opened()


def bench(page: AppTest) -> Bench:
    return page.session_state.bench


def test_the_page_has_every_control(page: AppTest) -> None:
    assert page.selectbox("field-function").options == list(SUBJECTS.values())
    assert page.button_group("field-place").value == "at the kink"
    labels = [n.label for n in page.number_input]
    assert labels == [
        "Point x",
        "Point y",
        "Probes k",
        "Radius σ",
        "Parameters P",
        "Seed",
        "Draws",
        "Gradients m",
        "Strength λ",
        "Guard ζ",
    ]
    assert page.selectbox("field-dtype").value == "float64"
    assert page.selectbox("field-sphere").value == "tensor"


def test_a_control_reaches_the_setup_and_the_address(page: AppTest) -> None:
    page.number_input("field-k").set_value(8).run()
    page.selectbox("field-dtype").set_value("float32").run()
    page.number_input("field-size").set_value(40).run()
    assert (bench(page).setup.k, bench(page).setup.dtype, bench(page).setup.size) == (
        8,
        "float32",
        40,
    )
    query = {name: page.query_params[name] for name in ("k", "dtype", "size")}
    assert query == {"k": "8", "dtype": "float32", "size": "40"}
    assert Setup.from_query(query) == bench(page).setup


def test_a_place_moves_the_point_and_a_point_elsewhere_is_no_place(page: AppTest) -> None:
    page.button_group("field-place").set_value("off the kink").run()
    assert (bench(page).setup.x, bench(page).setup.y) == KNOWN["abs"].places[1][1]
    assert page.number_input("field-x").value == 1.0
    page.number_input("field-x").set_value(0.25).run()
    assert page.button_group("field-place").value is None


def test_another_function_opens_at_its_own_place(page: AppTest) -> None:
    page.number_input("field-size").set_value(40).run()
    page.selectbox("field-function").set_value("chebyshev-rosenbrock").run()
    setup = bench(page).setup
    assert (setup.x, setup.y, setup.size) == (0.0, -1.0, 2)
    assert page.number_input("field-size").disabled
    assert page.button_group("field-place").value == "stationary, no minimum"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("k", 65, "Probes k (k) is 65; expected a whole number from 2 to 64."),
        ("sigma", -1.0, "Radius σ (sigma) is -1; expected a number from 1e-06 to 10."),
        ("size", 1, "Parameters P (size) is 1; expected a whole number from 2 to 2000."),
        (
            "y",
            2.5,
            (
                "Point y (y) is 2.5; expected a number from -2 to 2, the part of the plane that "
                "is drawn."
            ),
        ),
    ],
)
def test_a_bad_number_is_a_sentence_and_loses_nothing(
    page: AppTest, field: str, value: float, sentence: str
) -> None:
    before = bench(page).setup
    page.number_input(f"field-{field}").set_value(value).run()
    assert [t.value for t in page.text] == [sentence]
    assert bench(page).setup == before
    assert page.number_input(f"field-{field}").value == getattr(before, field)
    page.number_input("field-seed").set_value(3).run()
    assert not page.text


def test_a_damaged_link_says_what_is_wrong_and_shows_the_default() -> None:
    page = opened(sigma="wide")
    assert page.text[0].value == (
        "Radius σ (sigma) is 'wide'; expected a number from 1e-06 to 10. "
        "The rest of the link is taken, the defaults elsewhere."
    )
    assert bench(page).setup == Setup()


def test_a_link_restores_the_point() -> None:
    page = opened(function="digits-gelu", x="0.25", k="3", draws="20")
    assert page.selectbox("field-function").value == "digits-gelu"
    assert page.number_input("field-x").value == 0.25
    assert bench(page).setup.draws == 20


@pytest.fixture
def meter() -> Iterator[Meter]:
    meter = Meter(Setup(draws=40), Gate(1))
    yield meter
    meter.close()
    assert meter.join(30)


def finished(meter: Meter) -> Readings:
    until(lambda: not meter.readings().working)
    return meter.readings()


def test_a_meter_measures_everything_and_comes_to_rest(meter: Meter) -> None:
    readings = finished(meter)
    assert readings.done == 1.0
    for name in ("here", "bounds", "radii", "bounds_over_radii", "draws", "bounds_over_samples"):
        result = getattr(readings, name)
        assert result.setup == readings.setup
        assert not readings.stale(result)
    until(lambda: meter.readings().slice is not None and meter.readings().slice.done == 1.0)  # type: ignore[union-attr]


def test_a_new_point_replaces_the_old_one_at_once_and_keeps_what_it_had(meter: Meter) -> None:
    first = finished(meter)
    moved = Setup(draws=5000, size=2, x=1.0)
    meter.measure(moved)
    assert meter.figures.wait(30)
    readings = meter.readings()
    assert readings.here is not None
    assert readings.here.setup == moved
    assert readings.radii is not None, "the curves of the last point stay until the new ones come"
    assert readings.slice is not None
    assert first.slice is not None
    assert readings.slice.done >= first.slice.done, "the function is not computed anew"
    last = Setup(draws=40, x=0.5)
    meter.measure(last)
    readings = finished(meter)
    assert readings.draws is not None
    assert readings.draws.setup == last


def test_what_was_stopped_goes_on_when_it_is_measured_again(meter: Meter) -> None:
    meter.measure(Setup(draws=5000, size=2000))
    meter.stop()
    assert meter.stopped
    readings = finished(meter)
    assert readings.draws is None or readings.draws.count < 5000
    meter.measure(Setup(draws=40))
    assert not meter.stopped
    assert finished(meter).done == 1.0


def test_many_points_in_a_row_end_at_the_last_one(meter: Meter) -> None:
    for step in range(200):
        meter.measure(Setup(draws=40, x=step / 200))
    readings = finished(meter)
    assert readings.setup.x == 199 / 200
    assert readings.here is not None
    assert readings.here.setup.x == 199 / 200


def test_what_does_not_fit_is_a_sentence_and_the_next_point_is_measured(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(meter)
    monkeypatch.setenv("CHATTERSCOPE_MEMORY_MB", "1")
    meter.measure(Setup(size=2000, samples=512))
    readings = finished(meter)
    assert readings.message.startswith(
        "This was not measured: 512 gradients of 2000 parameters need"
    )
    assert readings.here is not None, "what was cheap is there"
    monkeypatch.delenv("CHATTERSCOPE_MEMORY_MB")
    meter.measure(Setup(draws=40))
    assert finished(meter).message == ""
