"""The instruments' setup, measurements and charts against independent computation."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import i0
from scipy.stats import kstest

from app.charts.answers import true_value
from app.charts.instruments import instrument_parts
from app.charts.known import point_part
from app.charts.sampling import damping_law, lgi_law
from app.experiment import ExperimentError
from app.live.measuring import cut, measurements, slices
from app.live.readings import Readings
from app.live.subject import SNAP, Subject, snapped
from app.setup import SUBJECTS, Setup
from demo_models.known import KNOWN
from probes.rays import Rays

#: 1 - 2/pi: LGI at a kink of |w.x| for many parameters and directions.
KINK = 1 - 2 / math.pi


def decoded(spec: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(spec["bdata"]), np.dtype(spec["dtype"]))


def measured(**changes: Any) -> Readings:
    function = {"function": changes.pop("function")} if "function" in changes else {}
    setup = Setup().change(**function).change(**changes)
    subject = Subject.of(setup)
    fields: dict[str, Any] = {}
    for part in (*slices(subject), *measurements(subject, setup)):
        fields |= part
    return replace(Readings(setup), **fields)


@pytest.fixture(scope="module")
def slope() -> Readings:
    """A linear function of 50 parameters, where LGI has its law."""
    return measured(function="linear", size=50, k=8, draws=1000)


@pytest.fixture(scope="module")
def kink() -> Readings:
    return measured(function="abs", size=200, k=8, draws=400)


def rows(readings: Readings) -> dict[str, list[str]]:
    table = instrument_parts(readings)["table"]
    return {row["key"]: [cell["text"] for cell in row["cells"]] for row in table["rows"]}


def test_the_mean_of_many_draws_at_a_kink_is_one_less_two_over_pi(kink: Readings) -> None:
    assert kink.draws is not None
    widest = kink.draws.mean["lgi"][-1]  # k 64
    assert kink.draws.ks[-1] == 64
    # Three standard errors over the 50 draws of 64.
    assert widest == pytest.approx(KINK, abs=0.025)
    assert rows(kink)["lgi"][2] == "0.362"  # P = 200: 1 - 2/pi less O(1/P)
    assert rows(kink)["holder"][:3] == ["1.00", "1.00", "1.00"]
    assert rows(kink)["diameter-wide"][0] == "≥ 2.00"
    assert rows(kink)["diameter-narrow"][0] == "≥ 2.00"
    assert rows(kink)["stationarity-wide"][0] == "≤ 0"


def test_draws_on_a_slope_follow_the_law_and_damp_as_it_says(slope: Readings) -> None:
    assert slope.draws is not None
    rho = slope.draws.values["lgi"]
    assert len(rho) == 1000
    test = kstest(rho, lambda x: lgi_law(8, np.zeros_like(x), np.asarray(x)))
    assert test.pvalue > 0.01
    note = instrument_parts(slope)["damping"]["note"]
    assert "the law on a slope: 0.145 at k 8." in note
    # Design section 4: 0.1451 at k 8, lambda 2; three standard errors.
    damping = np.exp(-2 * rho)
    assert damping.mean() == pytest.approx(0.1451, abs=3 * damping.std() / math.sqrt(1000))


def test_the_law_of_two_directions_is_the_arcsine_law() -> None:
    # rho ~ 2 Beta(1/2, 1/2) for k = 2, whose distribution is 2/pi asin(sqrt(rho/2)).
    rho = np.linspace(0, 2, 9)
    expected = 2 / np.pi * np.arcsin(np.sqrt(rho / 2))
    np.testing.assert_allclose(lgi_law(2, np.zeros(9), rho), expected, atol=1e-12)
    mean = quad(lambda a: 1 - damping_law(2, 2.0, np.array([1e-12]), np.array([a]))[0], 0, 1)[0]
    assert mean == pytest.approx(math.exp(-2) * i0(2), abs=1e-4)  # 0.3085
    assert damping_law(2, 0.0, np.array([0.0, 0.975]), np.array([0.5, 1.0])).tolist() == [0, 1]


def test_the_histogram_counts_the_draws_and_marks_their_mean(slope: Readings) -> None:
    assert slope.draws is not None
    chart = instrument_parts(slope)["histogram"]
    values = slope.draws.values["lgi"]
    bars = chart["traces"]["draws"]
    counts, edges = np.histogram(values, np.linspace(0, 8 / 7, 41))
    np.testing.assert_allclose(decoded(bars["y"]), counts / 1000, atol=1e-7)
    np.testing.assert_allclose(decoded(bars["x"]), (edges[1:] + edges[:-1]) / 2, atol=1e-6)
    x, law = decoded(chart["traces"]["law"]["x"]), decoded(chart["traces"]["law"]["y"])
    share = np.interp((edges[1:] + edges[:-1]) / 2, x, law)
    assert share.sum() == pytest.approx(1, abs=0.01)
    assert np.abs(share - counts / 1000).max() < 0.04
    at = [shape["x0"] for shape in chart["layout"]["shapes"]]
    assert at == [pytest.approx(values.mean()), 1.0]
    assert chart["note"] == "1,000 draws, k 8. Line: law on a slope, as here."


def test_off_a_slope_the_note_says_that_the_law_need_not_fit(kink: Readings) -> None:
    note = instrument_parts(kink)["histogram"]["note"]
    assert note == "400 draws, k 8. Line: law on a slope; this is none, it need not fit."
    lone = measured(function="linear", draws=20)
    assert "at large P; here P is 2." in instrument_parts(lone)["histogram"]["note"]


def test_a_linear_function_resolves_neither_holder_nor_roughness(slope: Readings) -> None:
    for name in ("holder", "roughness"):
        one, mean, _, note = rows(slope)[name]
        assert (one, mean) == ("not resolved", "not resolved")
        assert note == "not resolved: linear or flat here"
    shapes = instrument_parts(slope)["radius"]["layout"]["shapes"]
    shaded = [s for s in shapes if s["type"] == "rect" and s["xref"] == "x6"]
    assert [(s["x0"], s["x1"]) for s in shaded] == [(0.01 / 64, 0.64)]


@pytest.mark.parametrize(("dtype", "advice"), [("float64", "larger σ"), ("float32", "float64 or")])
def test_what_is_lost_in_noise_comes_with_advice(dtype: str, advice: str) -> None:
    readings = measured(function="quadratic", sigma=1e-6, dtype=dtype, draws=20, x=1.0, y=0.5)
    one, _, _, note = rows(readings)["roughness"]
    assert one == "not resolved"
    assert advice in note


@pytest.mark.parametrize("function", KNOWN)
def test_every_function_shows_its_true_answers_at_every_place(function: str) -> None:
    for size in (2, 6) if KNOWN[function].any_size else (2,):
        for _, (x, y) in KNOWN[function].places:
            readings = measured(function=function, size=size, x=x, y=y, draws=20, samples=16)
            parts = instrument_parts(readings)
            json.dumps(parts, allow_nan=False)
            shown = rows(readings)
            truth = KNOWN[function].truth(torch.tensor([x, y] * (size // 2), dtype=torch.float64))
            for key, value in (("lgi", truth.lgi), ("holder", truth.holder)):
                _says(shown[key][2], value)
            for name in ("diameter", "stationarity"):
                _says(shown[f"{name}-wide"][2], getattr(truth, name))
                _says(shown[f"{name}-narrow"][2], getattr(truth, name))
            norm = None if truth.gradient is None else float(truth.gradient.norm())
            _says(shown["gradient"][2], norm)


def _says(text: str, value: float | None) -> None:
    if value is None:
        assert text == "–"
    elif math.isinf(value):
        assert text == "∞"
    else:
        assert float(text.replace(",", "").replace("−", "-")) == pytest.approx(value, rel=6e-3)


@pytest.mark.parametrize(
    ("function", "place", "variance", "asymmetry"),
    [
        ("linear", (0.5, 0.5), 1 / 2, 0.0),
        ("quadratic", (1.0, 0.5), 1.25 / 2, 0.0),
        ("quadratic", (0.0, 0.0), 0.0, 1.0),
        ("abs", (0.0, 0.0), None, None),
        ("relu", (-1.0, -0.5), 0.0, None),
    ],
)
def test_variance_and_asymmetry_have_true_answers_where_f_is_differentiable(
    function: str, place: tuple[float, float], variance: float | None, asymmetry: float | None
) -> None:
    readings = measured(function=function, x=place[0], y=place[1], draws=1000, k=8, sigma=1e-4)
    here, draws = readings.here, readings.draws
    assert here is not None
    assert draws is not None
    for name, expected in (("variance", variance), ("asymmetry", asymmetry)):
        value = true_value(here, name)[0]
        assert value == (None if expected is None else pytest.approx(expected))
        if expected is not None:
            assert np.nanmean(draws.values[name]) == pytest.approx(expected, rel=0.05, abs=1e-3)


def test_the_curves_show_what_each_radius_gives() -> None:
    readings = measured(function="quadratic", x=0.0, y=0.0, k=4, zeta=0.0, draws=20)
    traces = instrument_parts(readings)["radius"]["traces"]
    r = decoded(traces["second"]["x"])
    np.testing.assert_allclose(r, 0.01 * 2.0 ** np.arange(-6, 7))
    # f = |x|^2/2 on the sphere: Delta2 = r^2 in every direction.
    np.testing.assert_allclose(decoded(traces["second"]["y"]), r**2, rtol=1e-9)
    np.testing.assert_allclose(decoded(traces["holder"]["y"]), 2.0, atol=1e-9)
    np.testing.assert_allclose(decoded(traces["asymmetry"]["y"]), 1.0)
    np.testing.assert_allclose(decoded(traces["lgi"]["y"]), 0.0, atol=1e-12)
    # Gradients within delta of the minimum: opposite points on the gradient's line are missing
    # there, and the ball's pairs reach less than 2 delta.
    diameter = decoded(traces["diameter"]["y"])
    assert (diameter <= 2 * r * (1 + 1e-12)).all()
    assert (diameter > 1.8 * r).all()
    floor = decoded(traces["second:floor"]["y"])
    assert ((floor > 0) & (floor < r**2)).all()


def test_a_surrogate_is_named_wherever_it_is_used() -> None:
    readings = measured(function="digits-2bit", draws=20, samples=2, dtype="float32")
    parts = instrument_parts(readings)
    for row in parts["table"]["rows"]:
        named = row["cells"][0].get("beside") == "surrogate"
        assert named == (row["key"].partition("-")[0] in {"diameter", "stationarity", "gradient"})
    for chart in ("radius", "byk"):
        labels = [a["text"] for a in parts[chart]["layout"]["annotations"]]
        assert any("Clarke, surrogate" in text for text in labels)
    assert "straight-through surrogate" in parts["sentence"]["verdict"]
    assert {cells[2] for cells in rows(readings).values()} == {"–"}
    json.dumps(parts, allow_nan=False)


def test_results_of_an_older_point_are_marked_stale(kink: Readings) -> None:
    moved = replace(kink, setup=kink.setup.change(x=0.5))
    parts = instrument_parts(moved)
    assert all(parts[name]["stale"] for name in ("radius", "byk", "histogram", "damping"))
    drawn = instrument_parts(replace(kink, setup=kink.setup.change(lgi_lambda=0.5)))
    assert not any(drawn[name]["stale"] for name in ("radius", "byk", "histogram", "damping"))
    assert "λ 0.5" in drawn["damping"]["note"]


def test_a_pool_is_cut_into_draws_of_its_own_directions() -> None:
    losses = torch.arange(14.0).view(1, 7, 2)
    rays = Rays(np.array([-1.0, 1.0]), torch.tensor([3.0]), losses, losses)
    parted = cut(rays, 3)
    assert parted.centre.tolist() == [3.0, 3.0]
    assert parted.at(1.0).tolist() == [[1.0, 3.0, 5.0], [7.0, 9.0, 11.0]]


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([key for key, known in KNOWN.items() if known.surfaces]),
    st.floats(-0.9, 1.9),
    st.floats(-0.9, 1.9),
    st.sampled_from([2, 10]),
)
def test_a_drop_lands_on_the_singularity_that_is_near(
    function: str, x: float, y: float, size: int
) -> None:
    known = KNOWN[function]
    setup = Setup().change(function=function)
    setup = setup.change(size=size) if known.any_size else setup
    within = SNAP * 4 * math.sqrt(setup.size / 2)

    def distance(*point: float) -> float:
        spread = torch.tensor(point, dtype=torch.float64).repeat(setup.size // 2)
        return float(known.distance(spread[None])[0])

    a, b = snapped(setup, x, y)
    if (a, b) == (x, y):
        assert distance(x, y) > within or distance(x, y) < 1e-9
    else:
        assert distance(x, y) <= within
        assert distance(a, b) < 1e-9
        assert math.hypot(a - x, b - y) < 0.5


def test_a_point_beside_a_kink_is_left_where_no_kink_is_near() -> None:
    setup = Setup()
    assert snapped(setup, 1.0, 0.5) == (1.0, 0.5)
    assert snapped(setup, 9.0, 0.5) == (2.0, 0.5)
    x, y = snapped(setup, 0.501, -0.251)
    assert x + 2 * y == pytest.approx(0, abs=1e-12)


def test_the_point_carries_the_move_that_it_answers() -> None:
    part = point_part(Setup(x=0.25), 7)
    assert part == {"x": 0.25, "y": 0.0, "extent": [-2, 2, -2, 2], "n": 7}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": 1}, "Probes k (k) is 1; expected a whole number from 2 to 64."),
        ({"sigma": 0}, "Radius σ (sigma) is 0; expected a number from 1e-06 to 10."),
        (
            {"x": 3},
            "Point x (x) is 3; expected a number from -2 to 2, the part of the plane that is ",
        ),
        (
            {"y": "north"},
            "Point y (y) is 'north'; expected a number from -2 to 2, the part of the plane that ",
        ),
        (
            {"function": "rosenbrock", "size": 5},
            "Parameters P (size) is 5; expected 2, as Non-smooth Rosenbrock comes in one size ",
        ),
        ({"dtype": "float16"}, "Numbers (dtype) is 'float16'; expected one of float64, float32."),
        ({"shown": "mood"}, "Distribution of (shown) is 'mood'; expected one of lgi, variance, "),
    ],
)
def test_a_bad_setting_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        Setup().change(**changes)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("function", SUBJECTS)
def test_a_setup_comes_back_from_its_address(function: str) -> None:
    setup = Setup().change(function=function).change(k=5, sigma=0.3, x=0.1, y=1 / 3, seed=9)
    setup = setup.change(dtype="float32", sphere="global", draws=77, samples=9, shown="holder")
    setup = setup.change(size=12) if setup.any_size else setup
    assert Setup.from_query(setup.to_query()) == setup
    assert Setup().change(function=function).to_query().keys() <= {"function"}


def test_an_unknown_parameter_is_a_sentence() -> None:
    with pytest.raises(ExperimentError, match=r"^The link sets 'lanes'; this version knows draws,"):
        Setup.from_query({"lanes": "adamw"})


def test_a_network_costs_less_by_default_and_a_function_comes_back_whole() -> None:
    network = Setup(size=40).change(function="digits-gelu")
    assert (network.size, network.draws, network.samples) == (2, 100, 16)
    assert network.change(function="l1").draws == 400
