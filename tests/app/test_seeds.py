"""Several seeds: bands, paired differences, and the verdict on the controls."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from app.charts.board import line_parts, slow_parts
from app.charts.verdict import verdict
from app.experiment import Experiment
from app.live.run import Run
from app.live.view import View
from sadam.lanes import LANES as ALL_LANES
from tests.app.test_charts import decoded

LANES = ("adamw", "sadam", "smaller", "swapped", "random-law")
SEEDS = 4


@pytest.fixture(scope="module")
def view() -> View:
    experiment = Experiment().change(scenario="moons", bits=2, seeds=SEEDS, lanes=LANES)
    run = Run(experiment)
    for _ in range(60):
        run.advance()
        run.record()
    return View(experiment, "paused", **run.known())


def test_strips_show_the_median_and_the_middle_of_the_seeds(view: View) -> None:
    traces = line_parts(view)["strips"]["traces"]
    for lane, key in enumerate(LANES):
        losses = view.columns["probe_loss"][:, lane * SEEDS : (lane + 1) * SEEDS].astype(float)
        found = decoded(traces[key]["y"])
        np.testing.assert_allclose(found, np.median(losses, axis=1), rtol=1e-6)
        np.testing.assert_allclose(
            decoded(traces[f"{key}:high"]["y"]), np.quantile(losses, 0.9, axis=1), rtol=1e-6
        )
        assert traces[f"{key}:high"]["fill"] == "tonexty"


def test_the_table_states_means_and_paired_t_intervals(view: View) -> None:
    rows = {row["key"]: row["cells"] for row in line_parts(view)["table"]["rows"]}
    losses = view.columns["probe_loss"][-1].reshape(len(LANES), SEEDS).astype(float)
    for lane, key in enumerate(LANES):
        cell = rows[key][0]
        assert float(cell["text"]) == pytest.approx(losses[lane].mean(), rel=5e-3)
        if key == "adamw":
            assert "below" not in cell, "the lane that others are compared with"
            continue
        gaps = losses[lane] - losses[0]
        low, high = stats.t.interval(0.9, SEEDS - 1, gaps.mean(), stats.sem(gaps))
        if low < 0 < high:
            assert cell["below"] == "no difference seen"
        else:
            value, half = cell["below"].replace("−", "-").split(" ± ")
            assert float(value) == pytest.approx(gaps.mean(), rel=5e-3)
            assert float(half) == pytest.approx((high - low) / 2, rel=5e-3)


def test_the_other_lane_of_a_difference_can_be_chosen(view: View) -> None:
    chosen = replace(view, experiment=view.experiment.change(reference="sadam"))
    table = line_parts(chosen)["table"]
    assert "below" not in table["rows"][1]["cells"][0]
    assert "below" in table["rows"][0]["cells"][0]
    assert table["choices"][1]["value"] == "sadam"


def test_eight_lanes_fit_every_chart(view: View) -> None:
    lanes = ("adamw", "sadam", "smaller", "swapped", "random-law", "cosine", "rmsprop", "sgd")
    experiment = Experiment().change(scenario="moons", bits=2, seeds=2, lanes=lanes)
    run = Run(experiment)
    for _ in range(20):
        run.advance()
        run.record()
    parts = line_parts(View(experiment, "paused", **run.known()))
    parts |= slow_parts(View(experiment, "paused", **run.known()))
    json.dumps(parts, allow_nan=False)
    assert len(parts["table"]["rows"]) == 8
    for panel in ("strips", "edge"):
        axes = [a for name, a in parts[panel]["layout"].items() if name.startswith("yaxis")]
        assert len(axes) == 8
        boxes = {
            (tuple(x["domain"]), tuple(y["domain"]))
            for x, y in zip(
                [a for n, a in parts[panel]["layout"].items() if n.startswith("xaxis")],
                axes,
                strict=True,
            )
        }
        assert len(boxes) == 8, "no strip lies on another"


def with_accuracies(view: View, **means: float) -> View:
    """The same view with made-up accuracies around these means, alike enough to tell apart."""
    accuracy = view.columns["accuracy"].copy()
    scatter = np.array([-0.01, 0.01, 0.004, -0.004])
    for lane, key in enumerate(LANES):
        rows = slice(lane * SEEDS, (lane + 1) * SEEDS)
        accuracy[-1, rows] = means[key.replace("-", "_")] + scatter * (1 + lane / 10)
    return replace(view, columns=view.columns | {"accuracy": accuracy})


@pytest.mark.parametrize(
    ("means", "conclusion"),
    [
        (
            {"adamw": 0.8, "sadam": 0.9, "smaller": 0.8, "swapped": 0.8, "random_law": 0.8},
            "Better than every control at the same damping law: the geometry helped.",
        ),
        (
            {"adamw": 0.8, "sadam": 0.9, "smaller": 0.9, "swapped": 0.8, "random_law": 0.8},
            "A control that cannot see the geometry does as well: the smaller step helped.",
        ),
        (
            {"adamw": 0.9, "sadam": 0.9, "smaller": 0.7, "swapped": 0.7, "random_law": 0.7},
            "At this learning rate S-Adam is no better than AdamW.",
        ),
    ],
)
def test_the_verdict_follows_the_intervals(
    view: View, means: dict[str, float], conclusion: str
) -> None:
    said = verdict(with_accuracies(view, **means))
    assert said.startswith("4 seeds, S-Adam's accuracy against AdamW's: ")
    assert said.endswith(conclusion)


def test_the_verdict_names_the_size_of_a_difference(view: View) -> None:
    said = verdict(
        with_accuracies(view, adamw=0.8, sadam=0.9, smaller=0.8, swapped=0.8, random_law=0.8)
    )
    assert "against AdamW's: better by 10.0 points (" in said


def test_no_verdict_without_seeds_or_rivals(view: View) -> None:
    one = Experiment().change(scenario="moons", bits=2)
    run = Run(one)
    run.advance()
    run.record()
    assert verdict(View(one, "paused", **run.known())) == ""


def test_a_lane_that_needs_more_seeds_says_so() -> None:
    with pytest.raises(ValueError, match=r"S-Adam, swapped needs 2 or more: raise Seeds first"):
        Experiment().change(lanes=("sadam", "swapped"))


def test_nine_lanes_are_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"Optimizers \(lanes\) has 10; expected at most 8"):
        Experiment().change(lanes=tuple(ALL_LANES), seeds=2)
