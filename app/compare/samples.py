"""What tuning trains and what it is scored on: training samples only, never the test split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from demo_models.data import Samples
from demo_models.problem import Problem, build
from demo_models.scenario import Scenario

#: What the test figures are measured on, in words.
TEST = "samples that are never trained on and that tuning never sees"
#: Share of the pool that is held out where the scenario trains on all there is.
HELD_OUT = 5


@dataclass(frozen=True, eq=False)
class Split:
    """Samples to train on and to score on; `Problem.numbers` makes numbers of inputs as bytes.

    Args:
        train: batches are drawn from these.
        probe: the fixed samples that the loss is measured on, as numbers.
        scored: what the end of a run is scored on.
        words: what `scored` is.
    """

    train: Samples
    probe: Samples
    scored: Samples
    words: str


def tuning_split(scenario: Scenario) -> Split:
    """Score on training samples that the scenario leaves out, or on a fifth where there are few.

    Args:
        scenario: a network on data.
    """
    problem = build(replace(scenario, pool=None, batch=1))
    everything = problem.train
    assert everything is not None
    count = len(everything[1])
    pool = count if scenario.pool is None else min(scenario.pool, count)
    fewest = max(1, pool // HELD_OUT)
    if count - pool >= fewest:
        trained, end = pool, count
        words = f"the {end - trained} training samples that the scenario leaves out"
    else:
        trained, end = pool - fewest, pool
        words = f"{fewest} of the {pool} training samples, held out while tuning"
    train = _part(everything, 0, trained)
    scored = _part(everything, trained, end)
    few = len(train[1]) <= scenario.probe
    probe = problem.numbers(train if few else _part(train, 0, scenario.probe))
    return Split(train, probe, scored, words)


def test_split(problem: Problem) -> Split:
    """The scenario as it is: all of its pool trains, the test split scores.

    Args:
        problem: a network on data.
    """
    assert problem.train
    assert problem.probe
    assert problem.test
    return Split(problem.train, problem.probe, problem.test, TEST)


def _part(samples: Samples, start: int, stop: int) -> Samples:
    return samples[0][start:stop], samples[1][start:stop]
