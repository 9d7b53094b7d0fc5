"""A link and a file hold all of an experiment; an old or damaged one loads what is valid."""

from __future__ import annotations

import json
import threading
from dataclasses import fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.experiment import Experiment, ExperimentError
from app.link import FIELDS, GROUPS, Link, read_link, versioned
from app.live.session import Lab
from app.setup import SUBJECTS, Setup
from app.theory import OPTIMIZERS, Study
from app.theory import SUBJECTS as STUDIES
from demo_models.scenarios import SCENARIOS
from sadam.lanes import LANES
from tests.app.test_experiment import experiments

links = st.builds(
    lambda experiment, step, hide: Link(experiment, min(step, experiment.steps), tuple(hide)),
    experiments,
    st.integers(0, 100_000),
    st.lists(st.sampled_from((*GROUPS, *FIELDS)), unique=True, max_size=5),
)


@given(links)
def test_a_link_holds_everything_through_a_browser(link: Link) -> None:
    address = urlencode(link.to_query())
    assert read_link(dict(parse_qsl(address))) == link
    assert link.to_query().get("v", "1") == "1"
    assert ("v" in link.to_query()) == (link != Link(Experiment()))


def drawn(draw: st.DrawFn, kind: Any, names: set[str]) -> dict[str, Any]:
    """A value for each named number or choice of a state, from all that its field takes."""
    values = {}
    for item in fields(kind):
        low, high = item.metadata.get("low"), item.metadata.get("high")
        if item.name not in names:
            continue
        if low is None or high is None:
            values[item.name] = draw(st.sampled_from(sorted(item.metadata["options"])))
        elif isinstance(item.default, int):
            values[item.name] = draw(st.integers(int(low), int(high)))
        else:
            values[item.name] = draw(st.floats(low, high))
    return values


def free(kind: Any) -> set[str]:
    """The numbers and choices of a state that stand alone."""
    apart = {"function", "scenario", "size"}
    return {item.name for item in fields(kind) if item.metadata.keys() - {"label"}} - apart


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    setup = Setup().change(function=draw(st.sampled_from(sorted(SUBJECTS))))
    x0, x1, y0, y1 = setup.extent
    values = drawn(draw, Setup, free(Setup)) | {
        "x": draw(st.floats(x0, x1)),
        "y": draw(st.floats(y0, y1)),
    }
    size = {"size": draw(st.integers(2, 2000))} if setup.any_size else {}
    return setup.change(**values, **size)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    study = Study().change(scenario=draw(st.sampled_from(sorted(STUDIES))))
    lanes = draw(st.lists(st.sampled_from(OPTIMIZERS), min_size=1, unique=True))
    return study.change(**drawn(draw, Study, free(Study)), lanes=tuple(lanes))


@given(setups() | studies())
def test_the_other_pages_links_hold_every_control_through_a_browser(state: Setup | Study) -> None:
    address = dict(parse_qsl(urlencode(versioned(state.to_query()))))
    assert type(state).from_query(address) == state
    assert ("v" in address) == (state != type(state)())


@given(experiments)
def test_a_file_holds_every_field(experiment: Experiment) -> None:
    text = experiment.to_json()
    assert Experiment.from_json(text) == experiment
    assert json.loads(text).keys() == {"v"} | {item.name for item in fields(Experiment)}


@given(experiments, st.data())
def test_every_damaged_field_is_named_and_every_other_taken(
    experiment: Experiment, data: st.DataObject
) -> None:
    query = experiment.to_query()
    free = sorted(query.keys() - {"scenario", "lanes", "seeds", "batch"})  # these depend on others
    damaged = data.draw(st.lists(st.sampled_from(free), unique=True)) if free else []
    link = read_link(query | dict.fromkeys(damaged, "?"))
    assert len(link.refused) == len(damaged)
    for name in damaged:
        assert [s for s in link.refused if f"({name}) " in s and "?" in s and "expected" in s]
    default = Experiment().change(scenario=experiment.scenario)
    left = {name: getattr(default, name) for name in damaged}
    assert link.experiment == replace(experiment, **left)


def test_fields_that_need_each_other_are_taken_in_any_order() -> None:
    taken = Experiment.from_query({"lanes": "sadam,swapped", "seeds": "4"})
    assert (taken.lanes, taken.seeds) == (("sadam", "swapped"), 4)
    refused: list[str] = []
    taken = Experiment.from_query({"lanes": "sadam,swapped", "lr": "0.5"}, refused)
    assert (taken.lanes, taken.lr) == (Experiment().lanes, 0.5)
    assert refused == [
        "Seeds (seeds) is 1; S-Adam, swapped needs 2 or more: raise Seeds first, or leave it out."
    ]


def test_a_scenario_that_is_gone_leaves_the_rest_with_the_default() -> None:
    link = read_link({"v": "1", "scenario": "imagenet", "lr": "0.5", "plane": "step"})
    assert link.experiment == Experiment(lr=0.5, plane="step")
    assert len(link.refused) == 1
    assert link.message.startswith("Scenario (scenario) is 'imagenet'; expected one of digits-2bit")
    assert link.message.endswith(". The rest of the link is taken, the defaults elsewhere.")


def test_a_link_of_another_version_is_taken_as_far_as_it_is_known() -> None:
    link = read_link({"v": "7", "lr": "0.5", "warp": "9"})
    assert link.experiment == Experiment(lr=0.5)
    assert link.refused[0] == (
        "The link's version (v) is '7'; expected 1: what is known of it is taken."
    )
    assert link.refused[1].startswith("The link sets 'warp'; this version knows batch, beta1,")


@pytest.mark.parametrize("step", ["-1", "many", "1e3", "1001", "٣", "9" * 5000, " 3", "2.5"])
def test_a_step_that_is_none_is_said(step: str) -> None:
    link = read_link({"step": step})
    assert (link.step, link.experiment) == (0, Experiment())
    assert len(link.message) < 300
    assert link.message.startswith(f"Step (step) is {ascii(step)[:60]}; expected a whole number")
    assert "from 0 to 1000, the steps of this experiment." in link.message


def test_hidden_names_are_known_ones() -> None:
    link = read_link({"hide": "seeds,plane,sidebar,</style><script>,seeds,"})
    assert link.hide == ("seeds", "plane", "sidebar")
    assert link.message.startswith("Hidden (hide) has '</style><script>'; expected names among si")
    assert not GROUPS.keys() & set(FIELDS)


def test_a_hostile_link_is_answered_briefly() -> None:
    query = {f"\u202e{number}": "x" * 9000 for number in range(5000)}
    query |= dict.fromkeys(FIELDS, "\u202e" + "x" * 9000)
    query |= {"lanes": "," * 9000 + "y,\u202e" * 9000, "extent": "1," * 9000}
    link = read_link(query)
    assert link.experiment == Experiment()
    assert len(link.refused) == 1 + len(FIELDS)
    assert "and 4997 more; this version knows" in link.refused[0]
    assert link.message.isascii() or "\u202e" not in link.message
    assert len(link.message) < 10_000


def damage(**values: Any) -> str:
    return json.dumps(json.loads(Experiment().to_json()) | values)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The file is no JSON; expected the experiment.json of a comparison"),
        (b"\xff\xfe\x00", "The file is no JSON"),
        ("[" * 60_000, "The file is no JSON"),
        ("[" * 100_000, "The file has more than 65,536 bytes and is no run's; expected the exp"),
        ('{"experiment": ' + "[" * 100_000, "The file is no JSON"),
        ('{"experiment": {"lr": 1}}', "The file holds an object without v; expected"),
        (f'{{"experiment": {damage(lr=99)}, "steps": [', "Learning rate (lr) is 99;"),
        ("1" * 10_000, "The file is no JSON"),
        ("[1]", "The file holds JSON of another kind; expected"),
        ('{"lr": 1}', "The file holds an object without v; expected"),
        (damage(lr=float("nan")), "Learning rate (lr) is nan; expected a number from 1e-06 to 10."),
        (damage(lr=None), "Learning rate (lr) is None; expected"),
        (damage(k=True), "Probes k (k) is True; expected"),
        (damage(scenario={}), "Scenario (scenario) is {}; expected one of"),
        (damage(lanes=[["adamw"]]), "Optimizers (lanes) has ['adamw']; expected"),
        (damage(extent=[{}, 1, 2, 3]), "Extent (extent) is ({}, 1, 2, 3); expected nothing, or"),
        (damage(v=[2]), "The link's version (v) is [2]; expected 1"),
    ],
)
def test_a_file_of_anything_is_a_sentence(text: str | bytes, sentence: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        Experiment.from_json(text)
    assert str(caught.value).startswith(sentence)


def test_a_damaged_file_loads_what_is_valid() -> None:
    refused: list[str] = []
    found = Experiment.from_json(damage(lr=99, k=5, plane="step", lanes=["sgd"]), refused)
    assert found == Experiment(k=5, plane="step", lanes=("sgd",))
    assert refused == ["Learning rate (lr) is 99; expected a number from 1e-06 to 10."]


@pytest.mark.parametrize(("kind", "subject"), [(Setup, "function"), (Study, "scenario")])
def test_the_other_pages_links_are_as_forgiving(kind: Any, subject: str) -> None:
    refused: list[str] = []
    other = {Setup: "l1", Study: "quadratic"}[kind]
    found = kind.from_query({"v": "1", subject: other, "seed": "-3", "samples": "7"}, refused)
    assert (getattr(found, subject), found.seed, found.samples) == (other, 0, 7)
    assert len(refused) == 1
    assert "eed (seed) is '-3'; expected a whole number from 0 to 999999." in refused[0].replace(
        "1e+06", "999999"
    )


def wait(lab: Lab, done: Any) -> None:
    pause = threading.Event()  # never set
    for _ in range(12_000):
        if done(lab.trainer.view()):
            return
        pause.wait(0.01)
    raise AssertionError(lab.trainer.view())


def test_a_link_with_a_step_trains_to_it_and_pauses_there() -> None:
    link = read_link({"v": "1", "scenario": "abs-l1", "steps": "90", "step": "40"})
    lab = Lab(link.experiment, link.message, goal=link.step)
    try:
        wait(lab, lambda view: view.last == 40 and view.state == "paused")
        assert lab.address() == lab.link() == link.to_query()
        # Looking back, the step in view is the link's; and another run's end is its own.
        lab.look(7)
        assert lab.link()["step"] == "7"
        assert lab.address()["step"] == "40"
        lab.look(None)
        lab.step()
        wait(lab, lambda view: view.last == 41)
        assert (lab.link()["step"], "step" in lab.address()) == ("41", False)
        lab.run()
        wait(lab, lambda view: view.state == "finished")
        assert lab.link()["step"] == "90"
        lab.reset()
        wait(lab, lambda view: view.state == "paused" and view.last == 0)
        assert "step" not in lab.link()
    finally:
        lab.trainer.close()


def test_the_maps_of_a_link_are_those_of_its_step() -> None:
    query = {"scenario": "moons", "lanes": "adamw", "slice_resolution": "9", "map_resolution": "5"}
    link = read_link(query | {"step": "12"})
    lab = Lab(link.experiment, goal=link.step)
    try:
        wait(lab, lambda view: view.maps is not None and view.maps.map is not None)
        view = lab.trainer.view()
        assert view.maps is not None
        assert (view.last, view.maps.step) == (12, 12)
    finally:
        lab.trainer.close()


def test_a_file_is_opened_or_refused_and_then_changes_nothing() -> None:
    lab = Lab(Experiment().change(scenario="abs-l1"))
    try:
        lab.open(b"{}")
        assert lab.message.startswith("The file holds an object without v")
        assert lab.experiment.scenario == "abs-l1"
        lab.open(Experiment().change(scenario="quadratic", lr=0.25).to_json().encode())
        assert (lab.experiment.scenario, lab.experiment.lr, lab.message) == ("quadratic", 0.25, "")
        lab.open(damage(scenario="moons", lr=99).encode())
        assert (lab.experiment.scenario, lab.experiment.lr) == ("moons", SCENARIOS["moons"].lr)
        assert lab.message.startswith("Learning rate (lr) is 99; expected")
    finally:
        lab.trainer.close()


def test_beta1_and_the_start_reach_the_run() -> None:
    from app.live.run import Run

    lanes = ("adamw", "sadam", "rmsprop")
    moved = Experiment().change(scenario="abs-l1", lanes=lanes, beta1=0.5, x0=0.5, y0=0.0)
    run = Run(moved)
    assert run.ensemble.theta.tolist() == [[0.5, 0.0]] * len(lanes)
    assert run.ensemble.settings.betas == (0.5, 0.999)
    run.advance()
    assert float(run.ensemble.theta[0, 1]) == 0.0  # the slope of |y| at 0 is taken as 0
    assert set(lanes) <= LANES.keys()
