"""The pieces of charts: what reaches plotly is what was measured."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.charts.spec import STYLES, decimate, log_ticks, number, rolling_mean, typed, typed_steps
from sadam.lanes import LANES


def decoded(spec: dict[str, str]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(spec["bdata"]), np.dtype(spec["dtype"]))
    return values.reshape([int(n) for n in spec["shape"].split(",")]) if "shape" in spec else values


def test_a_typed_array_holds_its_values_nan_and_shape() -> None:
    matrix = np.array([[1.5, np.nan], [-2.0, 3e-8]])
    np.testing.assert_array_equal(decoded(typed(matrix)), matrix.astype(np.float32))


@pytest.mark.parametrize(("last", "dtype"), [(0, "u2"), (65_535, "u2"), (65_536, "i4")])
def test_steps_take_the_smallest_integers_that_hold_them(last: int, dtype: str) -> None:
    steps = np.array([0, last])
    assert typed_steps(steps)["dtype"] == dtype
    np.testing.assert_array_equal(decoded(typed_steps(steps)), steps)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=900), st.integers(2, 100))
def test_thinning_a_line_keeps_its_peaks_and_its_order(values: list[float], points: int) -> None:
    y = np.array(values)
    x = np.arange(len(y))
    thin_x, thin_y = decimate(x, y, points)
    assert len(thin_x) <= points + 2
    assert (thin_x[0], thin_x[-1]) == (0, len(y) - 1)
    assert (np.diff(thin_x) > 0).all()
    np.testing.assert_array_equal(y[thin_x], thin_y)
    assert thin_y.min() == y.min()
    assert thin_y.max() == y.max()


def test_a_straight_line_is_its_two_ends() -> None:
    x, y = decimate(np.arange(500), np.ones(500), 0)
    assert (x.tolist(), y.tolist()) == ([0, 499], [1, 1])


def test_thinning_survives_a_stretch_of_nan() -> None:
    y = np.full(1000, np.nan)
    y[500:] = np.arange(500)
    _, thin = decimate(np.arange(1000), y, 20)
    assert np.nanmax(thin) == 499


def test_a_rolling_mean_takes_the_last_values_and_skips_nan() -> None:
    values = np.array([np.nan, 1.0, 3.0, np.nan, 5.0])
    expected = [np.nan, 1.0, 2.0, 3.0, 5.0]
    np.testing.assert_allclose(rolling_mean(values, 2), expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.514, "1.51"), (0.176, "0.176"), (-0.3621, "−0.362"), (72.04, "72.0"),
        (8832.4, "8,832"), (1.2345e-7, "1.23e−07"), (None, "–"), (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_every_lane_has_a_look_of_its_own() -> None:
    assert set(STYLES) == set(LANES)
    looks = [(s.color, s.symbol, s.glyph) for s in STYLES.values()]
    for column in zip(*looks, strict=True):
        assert len(set(column)) == len(looks)


@pytest.mark.parametrize("low", [1e-9, 0.03, 1.0, 700.0])
@pytest.mark.parametrize("span", [0.0, 0.02, 0.2, 0.9, 1.4, 3.0, 9.0])
def test_a_logarithmic_axis_has_one_to_seven_ticks_near_its_values(low: float, span: float) -> None:
    ticks = log_ticks(np.array([low, low * 10**span]))["tickvals"]
    shown = [t for t in ticks if low * 0.49 <= t <= low * 10**span * 2.1]
    assert 1 <= len(shown) <= 7
    assert (np.diff(ticks) > 0).all()
