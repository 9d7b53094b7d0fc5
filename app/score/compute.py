"""Computes the score: measures every function, and how well the classes are told apart."""

from __future__ import annotations

import logging
import platform
import time
from collections import defaultdict
from datetime import date

import numpy as np
import scipy
import torch

from app.score.kept import Auc, Kept, Row, version
from app.score.protocol import PAIRS, PROTOCOL, SCORES, Protocol, Score
from app.score.sources import digest
from app.threads import one_thread
from demo_models import score_functions as drawn
from demo_models.score_functions import KINDS, ScoreFunction, score_functions
from probes.instability import instabilities
from probes.objective import Objective
from probes.stationarity import clarke
from probes.statistics import auc

log = logging.getLogger(__name__)


def compute(protocol: Protocol = PROTOCOL) -> Kept:
    """Compute every seed's table; the same code gives the same AUCs, times apart.

    Args:
        protocol: the page shows the default's.
    """
    rows = [
        row
        for seed in protocol.seeds
        for size, distance in protocol.settings
        for row in setting_rows(protocol, seed, size, distance)
    ]
    libraries = {"python": platform.python_version(), "torch": torch.__version__}
    libraries |= {"numpy": np.__version__, "scipy": scipy.__version__}
    names = ("RADII", "STRENGTHS", "BENDS", "RIPPLES", "LENGTHS")
    return Kept(
        date=date.today().isoformat(),
        version=version(),
        libraries=libraries,
        sources=digest(),
        protocol=protocol,
        ranges={name.lower(): getattr(drawn, name) for name in names},
        rows=tuple(rows),
    )


def setting_rows(
    protocol: Protocol, seed: int, size: int, distance: float | None
) -> tuple[Row, ...]:
    """Measure all functions of one setting, and return a row a score.

    Args:
        protocol: how many functions, and the budget.
        seed: of functions, directions and bootstrap.
        size: P.
        distance: t; None draws it.
    """
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with one_thread():
        for function in score_functions(
            protocol.functions, size=size, distance=distance, seed=seed
        ):
            objective = Objective.from_function(function, function.theta)
            # The first call of an objective measures its memory, which is no score's cost.
            objective.gradients(function.theta[None])
            for score in SCORES:
                begun = time.thread_time()
                value = measured(
                    score,
                    objective,
                    function,
                    draws=score.draws(protocol.budget),
                    seed=seed * protocol.functions + function.index,
                )
                seconds[score.key].append(time.thread_time() - begun)
                values[score.key, function.kind].append(score.sign * value)
    log.info("seed %d, P = %d, distance %s: measured", seed, size, _named(distance))

    def row(score: Score) -> Row:
        by_kind = {kind: np.array(values[score.key, kind]) for kind in KINDS}
        return Row(
            seed=seed,
            size=size,
            distance=distance,
            score=score.key,
            aucs=tuple(
                _auc(by_kind[rough], by_kind[calm], protocol, seed) for rough, calm in PAIRS
            ),
            unresolved=tuple(float(np.isnan(by_kind[kind]).mean()) for kind in KINDS),
            draws=score.draws(protocol.budget),
            forwards=score.forwards(protocol.budget),
            milliseconds=float(f"{1e3 * np.median(seconds[score.key]):.3g}"),
        )

    return tuple(row(score) for score in SCORES)


def measured(
    score: Score, objective: Objective, function: ScoreFunction, *, draws: int, seed: int
) -> float:
    """One score at a function's point, as its instrument reads; nan where it is not resolved.

    Args:
        score: which.
        objective: of the function, float64.
        function: gives the point and r.
        draws: directions, or sampled gradients.
        seed: of the directions; one for an index, so that its three classes share them.
    """
    if score.measure == "clarke":
        found = clarke(objective, function.theta, delta=function.radius, samples=draws, seed=seed)
        return found.diameter
    found = instabilities(
        objective,
        function.theta[None],
        measures=(score.measure,),
        k=draws,
        sigma=function.radius,
        sphere="global",
        seed=seed,
        radii=[share * function.radius for share in score.radii],
    )
    return float(found[score.measure][0])


def _auc(rough: np.ndarray, calm: np.ndarray, protocol: Protocol, seed: int) -> Auc:
    """Indices are resampled, and both classes of an index together: they share their base."""
    found = auc(
        rough, calm, paired=True, level=protocol.level, resamples=protocol.resamples, seed=seed
    )
    return Auc(found.value, found.low, found.high)


def _named(distance: float | None) -> str:
    return "random" if distance is None else f"{distance:g}"
