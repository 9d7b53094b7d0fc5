"""The page Stationarity: running means, slopes and weights against closed forms; controls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from streamlit.testing.v1 import AppTest

from app.charts.slopes import COLUMNS
from app.charts.theory import PANELS, theory_parts
from app.experiment import ExperimentError
from app.live.convergence import (
    log_slope,
    log_uniform_steps,
    running_mean,
    seed_mean,
    slope_interval,
    step_weights,
)
from app.live.gate import Gate
from app.live.observing import Findings, ensemble_of, observe
from app.live.theory import Observer, Progress
from app.theory import SUBJECTS, Study

#: Riemann's zeta at 1/2 (DLMF 25.6).
ZETA_HALF = -1.4603545088095868
SURROGATE = "urrogate; f is discontinuous, the theorem does not apply"


def finished(study: Study) -> Findings:
    """The last findings of a study."""
    found = [found for found in observe(study) if found is not None][-1]
    assert found.done == 1.0
    return found


def parts(study: Study, found: Findings | None = None) -> dict[str, dict[str, Any]]:
    progress = Progress() if found is None else Progress("finished", found)
    return theory_parts(progress, study)


def inverse_root_sum(T: np.ndarray) -> np.ndarray:
    """sum_{t <= T} t^(-1/2) by Euler-Maclaurin, wrong by less than 1e-2 T^(-7/2)."""
    return 2 * T**0.5 + ZETA_HALF + 0.5 * T**-0.5 - T**-1.5 / 24 + T**-3.5 / 384


@pytest.mark.parametrize("last", [1, 2, 7, 16, 1000, 20_000])
def test_thinned_steps_stand_for_all_steps(last: int) -> None:
    times = log_uniform_steps(last)
    assert (times[0], times[-1]) == (1, last)
    assert (np.diff(times) > 0).all()
    assert len(times) <= 16 * np.log10(last) + 2
    weights = step_weights(times)
    assert weights.sum() == pytest.approx(last, rel=1e-14)
    assert (weights >= 1).all()
    np.testing.assert_array_equal(step_weights(np.arange(1, last + 1)), 1.0)


def test_a_running_mean_weighs_each_measured_step_by_what_it_stands_for() -> None:
    times = log_uniform_steps(1000)
    values = np.random.default_rng(0).random((len(times), 3))
    mean = running_mean(times, values)
    for n in (1, 5, len(times)):
        expected = np.average(values[:n], axis=0, weights=step_weights(times[:n]))
        np.testing.assert_allclose(mean[n - 1], expected, rtol=1e-12)


def test_a_running_mean_is_exact_at_every_step_and_on_a_straight_sequence() -> None:
    every = np.arange(1, 201)
    values = np.random.default_rng(1).random((200, 2))
    dense = running_mean(every, values)
    np.testing.assert_allclose(dense, np.cumsum(values, axis=0) / every[:, None], rtol=1e-13)
    times = log_uniform_steps(200)
    straight = 3.0 - 0.01 * times[:, None]
    np.testing.assert_allclose(
        running_mean(times, straight), 3.0 - 0.005 * (times[:, None] + 1), rtol=1e-12
    )


def test_an_inverse_root_sequence_tends_to_slope_minus_one_half() -> None:
    """M(T) = (2 sqrt T + zeta(1/2) + ...)/T, so d log M / d log T = 1/(2 + zeta/sqrt T) - 1."""
    gaps = []
    for T in (1_000, 100_000):
        times = np.arange(1, T + 1)
        mean = running_mean(times, times[:, None] ** -0.5)
        np.testing.assert_allclose(mean[99:, 0], inverse_root_sum(times[99:]) / times[99:], 1e-9)
        slope = float(log_slope(times, mean)[0])
        steep, flat = (1 / (2 + ZETA_HALF / root) - 1 for root in (T**0.5, T**0.25))
        assert steep < slope < flat
        gaps.append(slope + 0.5)
    # The gap falls about as T^(-1/2) on average over the fitted half; by 100 ** (1/4) at least.
    assert 0 < gaps[1] < gaps[0] / 100**0.25


def test_thinned_steps_give_nearly_the_same_mean() -> None:
    times = log_uniform_steps(20_000)
    mean = running_mean(times, times[:, None] ** -0.5)[-1, 0]
    exact = inverse_root_sum(np.array([20_000.0]))[0] / 20_000
    # The trapezoid rule on t^(-1/2) errs by h^2/24 relative, h = log(10)/16 between points.
    assert mean == pytest.approx(exact, rel=(np.log(10) / 16) ** 2 / 8)


def test_the_slope_of_a_power_law_is_its_power() -> None:
    times = log_uniform_steps(5000)
    powers = np.array([-0.5, -0.25, -1.0, 0.0, 0.3])
    curves = 7.0 * times[:, None] ** powers
    np.testing.assert_allclose(log_slope(times, curves), powers, atol=1e-12)
    # Only the last half of log T counts.
    curves[times < 5000**0.5] = 1.0
    np.testing.assert_allclose(log_slope(times, curves), powers, atol=1e-12)


def test_no_slope_of_few_points_or_of_what_a_log_cannot_hold() -> None:
    times = np.arange(1, 401)
    curves = np.ones((400, 3))
    curves[-1] = (0.0, np.nan, 1.0)
    slopes = log_slope(times, curves)
    assert np.isnan(slopes[:2]).all()
    assert np.isfinite(slopes[2])
    assert np.isnan(log_slope(times[:5], curves[:5])).all()
    assert np.isnan(log_slope(times[:0], curves[:0])).all()


def test_a_slope_has_an_interval_from_four_seeds_up() -> None:
    slopes = np.array([-0.4, -0.5, -0.45, -0.6])
    found = slope_interval(slopes)
    low, high = stats.t.interval(0.9, 3, slopes.mean(), slopes.std(ddof=1) / 2)
    assert (found.value, found.low, found.high) == pytest.approx((slopes.mean(), low, high))
    few = slope_interval(np.array([-0.4, -0.5, -0.45, np.nan]))
    assert few.value == pytest.approx(-0.45)
    assert (few.method, few.n, few.left_out) == ("none", 3, 1)
    assert np.isnan([few.low, few.high]).all()


def test_a_mean_over_seeds_leaves_out_what_diverged() -> None:
    values = np.array([[1.0, 3.0], [1.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(seed_mean(values), [2.0, 1.0, np.nan])


def test_l1_is_stationary_within_delta_of_its_kinks_alone() -> None:
    """The delta-subdifferential of |x| + |y| has its smallest element at sqrt(number of axes that
    are farther than delta), so the running mean of squares is the mean of those numbers."""
    study = Study().change(
        scenario="abs-l1", lanes=("adamw",), lr=0.21, delta=0.31, samples=256, steps=24, seeds=1
    )
    ensemble, far = ensemble_of(study), []
    for _ in range(study.steps):
        away = ensemble.theta.abs().numpy()
        # Near the rim of the ball a finite sample may miss the kink; no iterate lies there.
        assert not ((away > 0.85 * study.delta) & (away <= study.delta)).any()
        far.append((away > study.delta).sum(axis=1))
        ensemble.step()
    expected = np.array(far)
    assert set(expected[:, 1]) == {0, 1, 2}
    found = finished(study)
    np.testing.assert_allclose(found.stationarity**2, expected, atol=1e-12)
    np.testing.assert_allclose(
        running_mean(found.times, found.stationarity**2),
        np.cumsum(expected, axis=0) / np.arange(1, 25)[:, None],
        atol=1e-12,
    )
    # The gradient of L1 keeps its norm wherever it has one, so the dashed line does not fall.
    np.testing.assert_allclose(found.gradient, 2**0.5, rtol=1e-12)


def test_a_smooth_f_is_as_stationary_as_its_gradient_up_to_delta() -> None:
    """|s - |g|| <= L delta with L = 10, the larger curvature of (x^2 + 10 y^2)/2."""
    study = Study().change(scenario="quadratic", steps=30, seeds=2, delta=0.01)
    found = finished(study)
    assert found.stationarity.shape == found.gradient.shape == (30, 12)
    assert (np.abs(found.stationarity - found.gradient) <= 10 * study.delta + 1e-12).all()
    assert (found.stationarity < found.gradient).any()


def test_the_rate_falls_as_one_over_the_root_of_the_step() -> None:
    """On L1 the gradient keeps its sign at first, and each AdamW step is the rate itself."""
    study = Study().change(scenario="abs-l1", lanes=("adamw",), lr=0.1, seeds=1)
    ensemble = ensemble_of(study)
    for _ in range(6):
        ensemble.step()
    constant, falling = 1.5 - ensemble.theta[:, 0].numpy()
    assert constant == pytest.approx(0.6, rel=1e-6)
    assert falling == pytest.approx(0.1 * sum((t + 1) ** -0.5 for t in range(6)), rel=1e-6)


def test_a_run_that_diverges_ends_and_is_counted() -> None:
    """SGD is stable up to lr 2 (1 + 0.9)/10 = 0.38 on curvature 10; 10 is beyond."""
    study = Study().change(scenario="quadratic", lanes=("sgd",), lr=10.0, thinning="thinned")
    found = finished(study)
    assert (found.diverged_at[:4] > 0).all()
    assert np.isnan(found.stationarity[-1, :4]).all()
    shown = parts(study, found)
    row = shown["table"]["rows"][0]
    assert row["title"] == "SGD, momentum 0.9, constant rate, 4 of 4 diverged"
    assert row["cells"][0]["text"] == "–"
    # The other lane starts at |g|^2 of about 100: it stays on the chart.
    assert shown["falling"]["layout"]["yaxis"]["range"][1] <= 7


def test_two_bits_are_called_a_surrogate_and_measured_at_thinned_steps() -> None:
    study = Study().change(scenario="digits-2bit", lanes=("adamw",), steps=16, samples=4)
    assert study.surrogate
    found = finished(study)
    np.testing.assert_array_equal(found.times, log_uniform_steps(16))
    assert len(found.times) < found.gradient.shape[0] == 16
    shown = parts(study, found)
    assert shown["sentence"]["parts"][0]["text"].startswith(f"S{SURROGATE}. Digits")
    for panel in PANELS.values():
        assert shown[panel]["title"].endswith(SURROGATE)
        assert "straight-through surrogate" in shown[panel]["note"]
        assert "each weighing as many steps as it stands for" in shown[panel]["note"]
    assert shown["table"]["rows"][0]["cells"][0]["beside"] == "one seed: no interval"


@pytest.mark.parametrize("scenario", [key for key in SUBJECTS if "bit" not in key])
def test_everything_else_is_an_illustration(scenario: str) -> None:
    shown = parts(Study().change(scenario=scenario))
    for panel in PANELS.values():
        assert shown[panel]["title"].endswith(": illustration, not a test")
    assert shown["sentence"]["parts"][0]["text"].startswith("Illustration, not a test.")
    smooth = "This f is smooth" in shown["sentence"]["verdict"]
    assert smooth == (scenario in ("quadratic", "digits-gelu", "moons"))


def test_which_subjects_there_are() -> None:
    wanted = {"digits-2bit", "digits-32bit", "digits-gelu", "abs-l1", "max-of-planes"}
    assert wanted | {"rosenbrock", "quadratic"} <= set(SUBJECTS)
    assert "digits-2bit-batch8" not in SUBJECTS
    assert not Study(scenario="digits-32bit").surrogate


@pytest.fixture(scope="module")
def l1() -> Findings:
    return finished(Study().change(scenario="abs-l1", steps=48, seeds=4, samples=8))


def test_the_power_decides_guide_and_curves(l1: Findings) -> None:
    for power, slope, start in (("squared", -0.5, 2.0), ("norm", -0.25, 2**0.5)):
        shown = parts(l1.study.change(power=power), l1)
        for schedule, panel in PANELS.items():
            traces = shown[panel]["traces"]
            assert traces["guide"]["x"] == [1, 48]
            np.testing.assert_allclose(traces["guide"]["y"], [start, start * 48**slope])
            assert set(traces) == {"guide"} | {
                f"{key}-{schedule}{end}"
                for key in ("adamw", "sadam", "sgd")
                for end in ("", ":gradient")
            }
            assert traces[f"adamw-{schedule}:gradient"]["line"]["dash"] == "dash"
            assert "slope" in traces[f"adamw-{schedule}"]["name"]
        assert len({tuple(shown[p]["layout"]["yaxis"]["range"]) for p in PANELS.values()}) == 1


def test_the_table_states_slopes_with_intervals(l1: Findings) -> None:
    shown = parts(l1.study, l1)["table"]
    assert [row["key"] for row in shown["rows"]][3] == "adamw-inverse-sqrt"
    assert len(shown["columns"]) == len(COLUMNS)
    mean = running_mean(l1.times, l1.of(l1.stationarity, 3) ** 2)
    found = slope_interval(log_slope(l1.times, mean))
    cells = shown["rows"][3]["cells"]
    assert cells[0]["text"] == f"{found.value:.3f}".replace("-", "−")
    ends = f"{found.low:.3f} to {found.high:.3f}, 4 seeds".replace("-", "−")
    assert cells[0]["beside"] == ends
    assert cells[1]["text"] == "−1/2"
    assert cells[2]["text"] == "0.000"  # the gradient norm of L1 does not fall
    assert float(cells[3]["text"]) == pytest.approx(mean[-1].mean(), rel=0.01)


def test_findings_of_other_settings_pale(l1: Findings) -> None:
    other = l1.study.change(delta=0.02)
    shown = parts(other, l1)
    assert shown["constant"]["stale"]
    assert shown["table"]["rows"][0]["cells"][0]["stale"]
    assert shown["status"]["text"] == "settings changed: press Run"
    assert "δ 0.01" in shown["constant"]["note"], "the note is of what was measured"
    assert not parts(l1.study.change(power="norm"), l1)["constant"]["stale"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"delta": 0}, "Radius δ (delta) is 0; expected a number from 1e-06 to 10."),
        ({"samples": 1}, "Gradients m (samples) is 1; expected a whole number from 2 to 256."),
        ({"steps": "many"}, "Steps T (steps) is 'many'; expected a whole number from 16 to 20000."),
        ({"power": "cube"}, "Stationarity (power) is 'cube'; expected one of squared, norm."),
        (
            {"lanes": ("adamw", "rmsprop")},
            "Optimizers (lanes) has RMSprop; expected some of adamw, sadam, sgd.",
        ),
    ],
)
def test_a_bad_setting_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ExperimentError) as error:
        Study(**changes)
    assert str(error.value) == sentence


def test_a_study_survives_its_address() -> None:
    study = Study().change(scenario="digits-gelu", lanes=("adamw", "sgd"), delta=0.05, seeds=5)
    query = study.to_query()
    assert query == {
        "scenario": "digits-gelu",
        "lanes": "adamw,sgd",
        "delta": "0.05",
        "seeds": "5",
    }
    assert Study.from_query(query) == study
    assert Study().to_query() == {}
    with pytest.raises(
        ExperimentError, match="The link sets 'speed'; this version knows delta, lanes"
    ):
        Study.from_query({"speed": "1"})


def test_a_study_runs_to_its_end_and_can_be_cancelled() -> None:
    observer = Observer(Gate(1))
    try:
        observer.run(Study().change(scenario="quadratic", lanes=("sgd",), steps=16, seeds=1))
        assert observer.settled.wait(60)
        first = observer.progress()
        assert first.state == "finished"
        assert first.findings is not None
        assert len(first.findings.times) == 16
        observer.run(Study().change(scenario="quadratic", steps=20_000))
        assert observer.progress().state == "running"
        observer.cancel()
        assert observer.settled.wait(60)
        assert observer.progress().state == "cancelled"
        assert observer.progress().findings is not None, "what was found stays"
        observer.run(first.findings.study)
        assert observer.settled.wait(60)
        assert observer.progress().state == "finished"
    finally:
        observer.close()
        assert observer.join(10)


def test_what_cannot_be_measured_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTERSCOPE_MEMORY_MB", "20")
    observer = Observer(Gate(1))
    try:
        observer.run(Study().change(scenario="digits-32bit", samples=256, lanes=("sgd",)))
        assert observer.settled.wait(60)
        progress = observer.progress()
        assert progress.state == "failed"
        assert progress.message.startswith(
            "This was not measured: 256 gradients of 8970 parameters need"
        )
    finally:
        observer.close()
        assert observer.join(10)


def _page() -> None:
    from app.views import theory

    theory.show()


@pytest.fixture
def page() -> AppTest:
    page = AppTest.from_function(_page, default_timeout=60)
    page.query_params["scenario"] = "abs-l1"
    page.query_params["steps"] = "16"
    page.run()
    assert not page.exception
    return page


def test_the_page_has_every_control(page: AppTest) -> None:
    assert [button.label for button in page.button] == ["Run"]
    assert page.selectbox("field-scenario").options == list(SUBJECTS.values())
    assert page.button_group("field-lanes").value == ["adamw", "sadam", "sgd"]
    assert page.button_group("field-power").value == "squared"
    labels = [number.label for number in page.number_input]
    assert labels == [
        "Learning rate",
        "Weight decay",
        "Steps T",
        "Radius δ",
        "Gradients m",
        "Seeds",
        "First seed",
    ]


def test_a_number_reaches_the_study_and_a_bad_one_is_a_sentence(page: AppTest) -> None:
    page.number_input("field-delta").set_value(0.05).run()
    theory = page.session_state.theory
    assert theory.study.delta == 0.05
    assert page.query_params["delta"] == "0.05"
    page.number_input("field-samples").set_value(1).run()
    assert [text.value for text in page.text] == [
        "Gradients m (samples) is 1; expected a whole number from 2 to 256."
    ]
    assert theory.study.samples == 16
    page.button_group("field-lanes").set_value([]).run()
    assert page.text[0].value.startswith("Optimizers (lanes) has none")
    page.selectbox("field-scenario").set_value("digits-gelu").run()
    assert not page.text
    assert page.number_input("field-seeds").value == 1


def test_run_observes_the_study(page: AppTest) -> None:
    theory = page.session_state.theory
    page.button("run").click().run()
    assert theory.observer.settled.wait(60)
    page.run()
    assert not page.exception
    found = theory.observer.progress().findings
    assert found is not None
    assert found.study == theory.study
    assert page.button("run").label == "Run"


def test_a_damaged_link_says_what_is_wrong() -> None:
    page = AppTest.from_function(_page, default_timeout=60)
    page.query_params["delta"] = "wide"
    page.run()
    assert page.text[0].value == (
        "Radius δ (delta) is 'wide'; expected a number from 1e-06 to 10. "
        "The rest of the link is taken, the defaults elsewhere."
    )
