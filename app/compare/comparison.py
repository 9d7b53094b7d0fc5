"""The comparison itself: tune coarsely, tune finely, train, seed by seed and cell by cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.compare.plan import Plan
from app.compare.train import Outcome, Pair, Unit
from app.compare.tuning import Scores, best, rate

#: Trains units of plans, then gives the outcomes in the order of the units, one by one.
Run = Callable[[Sequence[tuple[Plan, Unit]], str], Iterator[Outcome]]

#: The rounds of a comparison.
COARSELY, FINELY, FINALLY = "coarse rates", "rates near the best", "the comparison"

#: Figures of a finished run, a number each.
FIGURES = (
    "accuracy",
    "scored_loss",
    "loss",
    "loss_jump",
    "path_length",
    "forwards",
    "diverged_at",
)


@dataclass(frozen=True, eq=False)
class Tuned:
    """How every lane did at every rate that it was tried at.

    Args:
        scores: lane -> place on the grid -> its scores.
        chosen: (L, S) place that each lane trains at under each seed, chosen on the other seeds.
    """

    scores: dict[str, dict[int, Scores]]
    chosen: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """What a plan found.

    Args:
        plan: it.
        rates: (L, S) learning rate of every run.
        tuned: how they were chosen; None where they were given.
        runs: figure -> (L, S), see `FIGURES`.
        steps: (T,) of the history.
        history: column -> (T, L, S).
    """

    plan: Plan
    rates: np.ndarray
    tuned: Tuned | None
    runs: dict[str, np.ndarray]
    steps: np.ndarray
    history: dict[str, np.ndarray]


def compare(plans: Sequence[Plan], run: Run) -> Iterator[Result]:
    """Make all comparisons, round by round so that every worker has work, and give one by one.

    A lane's rate under a seed is the best by all OTHER seeds, first on half decades, then at every
    rate of the grid within half a decade of the best: no score of a seed chooses its own rate, and
    the test split scores only what has been chosen.

    Args:
        plans: cells of a grid, or one.
        run: trains units.
    """
    tuning = [plan for plan in plans if plan.rates is not None]
    scores: dict[Plan, dict[str, dict[int, Scores]]] = {
        plan: {key: {} for key in plan.experiment.lanes} for plan in tuning
    }
    for what, places in ((COARSELY, _coarse), (FINELY, _fine)):
        _score({plan: places(plan, scores[plan]) for plan in tuning}, scores, run, what)
    chosen = {plan: _chosen(plan, scores[plan]) for plan in tuning}
    rates = {
        plan: np.vectorize(rate)(chosen[plan])
        if plan in chosen
        else np.full((len(plan.experiment.lanes), plan.experiment.seeds), plan.experiment.lr)
        for plan in plans
    }
    units = [
        (plan, unit(plan, seed, list(zip(plan.experiment.lanes, at.tolist(), strict=True)), False))
        for plan in plans
        for seed, at in enumerate(rates[plan].T)
    ]
    outcomes = run(units, FINALLY)
    for plan in plans:
        yield _result(
            plan,
            rates[plan],
            Tuned(scores[plan], chosen[plan]) if plan in chosen else None,
            list(itertools.islice(outcomes, plan.experiment.seeds)),
        )


def unit(plan: Plan, seed: int, pairs: list[Pair], tuning: bool) -> Unit:
    """The work of one seed, the next one's dampings going to its swapped lane.

    Args:
        plan: whose.
        seed: index of the seed.
        pairs: lanes with their rates.
        tuning: score on held-out training samples.
    """
    seeds = plan.experiment.seed_list
    partner = seeds[(seed + 1) % len(seeds)]
    return Unit(plan.experiment, seeds[seed], partner, tuple(pairs), tuning, plan.device)


def _coarse(plan: Plan, _tried: dict[str, dict[int, Scores]]) -> dict[str, list[int]]:
    assert plan.rates is not None
    return {key: plan.rates.coarse() for key in plan.experiment.lanes}


def _fine(plan: Plan, scores: dict[str, dict[int, Scores]]) -> dict[str, list[int]]:
    """Rates near the coarse best of any choice of seeds that have not been tried yet."""
    assert plan.rates is not None
    wanted = {}
    for key, tried in scores.items():
        places = {
            place
            for seed in range(plan.experiment.seeds)
            for place in plan.rates.near(best(tried, plan.rates.coarse(), seed))
        }
        wanted[key] = sorted(places - tried.keys())
    return wanted


def _chosen(plan: Plan, scores: dict[str, dict[int, Scores]]) -> np.ndarray:
    """Places (L, S): only what the other seeds' coarse best led to may be chosen."""
    assert plan.rates is not None
    coarse, near = plan.rates.coarse(), plan.rates.near
    return np.array(
        [
            [
                best(tried, near(best(tried, coarse, seed)), seed)
                for seed in range(plan.experiment.seeds)
            ]
            for tried in scores.values()
        ]
    )


def _score(
    wanted: dict[Plan, dict[str, list[int]]],
    scores: dict[Plan, dict[str, dict[int, Scores]]],
    run: Run,
    what: str,
) -> None:
    """Train what is wanted under every seed, and put its scores beside the others."""
    units, owners = [], []
    for plan, places in wanted.items():
        pairs = [(key, place) for key, some in places.items() for place in some]
        if not pairs:
            continue
        trained = [(key, rate(place)) for key, place in pairs]
        units += [(plan, unit(plan, s, trained, True)) for s in range(plan.experiment.seeds)]
        owners.append((plan, pairs))
    outcomes = run(units, what)
    for plan, pairs in owners:
        found = list(itertools.islice(outcomes, plan.experiment.seeds))
        by_seed = {name: np.stack([o[name] for o in found]) for name in found[0]}
        for column, (key, place) in enumerate(pairs):
            accuracy = by_seed["accuracy"][:, column].astype(float)
            scored = "scored_loss" if np.isfinite(accuracy).all() else "loss"  # a function's own
            scores[plan][key][place] = Scores(
                accuracy=np.nan_to_num(accuracy),
                loss=by_seed[scored][:, column].astype(float),
                diverged=by_seed["diverged_at"][:, column] >= 0,
            )


def _result(plan: Plan, rates: np.ndarray, tuned: Tuned | None, outcomes: list[Outcome]) -> Result:
    """Put the seeds together."""
    names = [name for name in outcomes[0] if name.startswith("history.")]
    history = {
        name.removeprefix("history."): np.stack([o[name] for o in outcomes], axis=-1)
        for name in names
    }
    runs = {name: np.stack([o[name] for o in outcomes], axis=-1) for name in FIGURES}
    return Result(plan, rates, tuned, runs, outcomes[0]["step"], history)
