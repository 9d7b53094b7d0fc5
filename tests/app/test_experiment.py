"""Every control is a field of Experiment: ranges, sentences, and the way through the URL."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.experiment import (
    LIVE,
    MEASURES,
    PLANES,
    ROUNDING,
    SCALES,
    SERIES,
    SLICE_POINTS,
    STARTS,
    STRIPS,
    SURFACES,
    TABLES,
    VIEW,
    Experiment,
    ExperimentError,
)
from demo_models.functions import FUNCTIONS
from demo_models.scenarios import SCENARIOS
from sadam.lanes import LANES

NUMBERS = {f.name: f for f in fields(Experiment) if "low" in f.metadata}


def numbers(name: str) -> st.SearchStrategy:
    """Values that the field takes, whole where the field is whole."""
    field = NUMBERS[name]
    low, high = field.metadata["low"], field.metadata["high"]
    if isinstance(field.default, int):
        if name == "slice_resolution":
            return st.sampled_from(SLICE_POINTS)
        return st.integers(int(low), int(high))
    return st.floats(low, high)


WITHOUT_POOL = sorted(key for key, scenario in SCENARIOS.items() if scenario.pool is None)
EIGHT = ("adamw", "sadam", "smaller", "random-law", "asymmetry", "cosine", "rmsprop", "sgd")
experiments = st.builds(
    Experiment,
    scenario=st.sampled_from(WITHOUT_POOL),
    lanes=st.sampled_from([("adamw",), ("sadam", "smaller"), EIGHT, ("smaller", "sadam")]),
    plane=st.sampled_from(sorted(PLANES)),
    measure=st.sampled_from(sorted(MEASURES)),
    series=st.sampled_from(sorted(SERIES)),
    strips=st.sampled_from(sorted(STRIPS)),
    surface=st.sampled_from(sorted(SURFACES)),
    table=st.sampled_from(sorted(TABLES)),
    reference=st.sampled_from(sorted(LANES)),
    scale=st.sampled_from(sorted(SCALES)),
    bits=st.sampled_from(sorted(ROUNDING)),
    extent=st.just(()) | st.just((-1.5, 2.25, 0.0, 1e-3)),
    **{name: numbers(name) for name in NUMBERS},
)


@given(experiments)
def test_the_url_holds_the_whole_experiment(experiment: Experiment) -> None:
    assert Experiment.from_query(experiment.to_query()) == experiment


def test_the_default_experiment_needs_no_url() -> None:
    assert Experiment().to_query() == {}


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_number_out_of_range_is_answered_with_field_value_and_range(name: str) -> None:
    field = NUMBERS[name]
    low, high = field.metadata["low"], field.metadata["high"]
    for value in (low - 1, high * 2, float("nan"), float("inf"), "many", None, True):
        with pytest.raises(ExperimentError) as caught:
            Experiment(**{name: value})
        text = str(caught.value)
        shown = f"{value:g}" if isinstance(value, float) else ascii(value)
        assert f"({name}) is {shown}; expected" in text
        assert f"from {low:g} to {high:g}." in text


def test_values_from_python_of_the_wrong_kind_are_sentences_too() -> None:
    with pytest.raises(
        ExperimentError, match=r"\(k\) is 1000+; expected a whole number from 1 to 64"
    ):
        Experiment(k=10**400)
    for lanes in (5, None, [["x"]]):
        with pytest.raises(ExperimentError, match=r"\(lanes\) has .*; expected at least one of"):
            Experiment(lanes=lanes)  # type: ignore[arg-type]


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(ExperimentError, match=r"Probes k \(k\) is 2.5; expected a whole number"):
        Experiment(k=2.5)  # type: ignore[arg-type]


def test_a_function_starts_where_its_own_page_says() -> None:
    own = {key: FUNCTIONS[s.function].start_point for key, s in SCENARIOS.items() if s.function}
    assert own == STARTS
    changed = Experiment().change(scenario="rosenbrock")
    assert (changed.x0, changed.y0) == STARTS["rosenbrock"]
    assert Experiment(x0=1.0).change(scenario="moons").x0 == 0


def test_an_unknown_choice_names_the_choices() -> None:
    with pytest.raises(ExperimentError, match=r"Plane \(plane\) is 'flat'; expected one of pca, "):
        Experiment(plane="flat")


def test_lanes_are_known_complete_and_in_one_order() -> None:
    assert Experiment(lanes=("sadam", "adamw")).lanes == ("adamw", "sadam")
    with pytest.raises(ExperimentError, match="has 'adamax'; expected at least one of adamw, "):
        Experiment(lanes=("adamax",))
    with pytest.raises(ExperimentError, match="has none; expected at least one of"):
        Experiment(lanes=())
    with pytest.raises(ExperimentError, match="takes its damping from S-Adam; add S-Adam"):
        Experiment(lanes=("adamw", "smaller"))


def test_a_batch_is_at_most_the_pool() -> None:
    with pytest.raises(ExperimentError, match=r"\(batch\) is 513; expected .* from 1 to 512, the"):
        Experiment(batch=513)


def test_slice_points_must_nest() -> None:
    with pytest.raises(ExperimentError, match=r"\(slice_resolution\) is 40; expected 9, 17, 33"):
        Experiment(slice_resolution=40)


def test_an_extent_is_a_rectangle() -> None:
    for bad in ((1.0, 0.0, 0.0, 1.0), (0.0, 1.0), ("a", "b", "c", "d"), (0, float("nan"), 0, 1)):
        with pytest.raises(ExperimentError, match=r"\(extent\) is .*; expected nothing, or four"):
            Experiment(extent=bad)


def test_a_new_plane_shows_its_whole_extent() -> None:
    near = Experiment(extent=(0, 1, 0, 1))
    assert near.change(plane="step").extent == ()
    assert near.change(lr=0.1).extent == (0, 1, 0, 1)


def test_rounding_is_part_of_the_scenario() -> None:
    assert Experiment(bits=32).problem.network.weight_bits == 32
    assert Experiment().change(scenario="digits-4bit").bits == 4
    with pytest.raises(ExperimentError, match=r"Rounding \(bits\) is 3; expected one of 2, 4, 32"):
        Experiment(bits=3)


def test_a_link_with_an_unknown_parameter_says_which() -> None:
    with pytest.raises(ExperimentError, match="The link sets 'speed'; this version knows"):
        Experiment.from_query({"speed": "3"})


def test_a_link_cannot_smuggle_control_characters_into_the_sentence() -> None:
    with pytest.raises(ExperimentError) as caught:
        Experiment.from_query({"lr": "\u202e<script>" + "x" * 500})
    assert "\u202e" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_new_scenario_brings_its_own_learning_rate_batch_and_steps() -> None:
    other = next(s for s in SCENARIOS.values() if s.batch != Experiment().batch)
    changed = Experiment(lr=0.5, lgi_lambda=3).change(scenario=other.key)
    assert (changed.lr, changed.batch, changed.steps) == (other.lr, other.batch, other.steps)
    assert changed.lgi_lambda == 3


def test_what_restarts_a_run() -> None:
    base = Experiment()
    assert not base.change(lr=0.02, lgi_lambda=1.0, steps=50).needs_restart(base)
    assert not base.change(measure="variance", plane="random-none").needs_restart(base)
    for name in {f.name for f in fields(Experiment)} - LIVE - VIEW:
        other = {
            "scenario": "digits-32bit", "bits": 4, "lanes": ("adamw",), "k": 3, "sigma": 0.02,
            "batch": 8, "seed": 1, "seeds": 2, "beta1": 0.5, "x0": 1.0, "y0": 1.0,
        }[name]  # fmt: skip
        assert base.change(**{name: other}).needs_restart(base), name
