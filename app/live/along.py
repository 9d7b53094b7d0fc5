"""The work behind an instrument along the run: measured at kept steps, after the fact."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from app.experiment import ALONG, Experiment
from app.live.run import Run
from app.live.view import Along
from probes import clarke_scales, instabilities

#: Kept steps that are measured at most, the first and the last among them.
PLACES = 32
#: Sampled gradients for Clarke's measures.
GRADIENTS = 16


def compute_along(experiment: Experiment, run: Run) -> Iterator[Along]:
    """Measure one instrument at kept steps of the shown seed, from the first to the last.

    Args:
        experiment: its strips name the instrument; map radius, k and seed are the probes.
        run: owned by the calling thread.

    Yields:
        The values so far, a step more each time; float64, since small differences matter.
    """
    measure = ALONG[experiment.strips]
    held = run.snapshots.items()
    chosen = np.unique(np.linspace(0, len(held) - 1, min(PLACES, len(held))).round().astype(int))
    steps = np.array([held[i][0] for i in chosen])
    values = np.full((len(steps), len(experiment.lanes)), np.nan)
    for row, i in enumerate(chosen):
        points = torch.tensor(held[i][1]).to(run.objective.theta)
        values = values.copy()
        values[row] = _measured(experiment, run, measure, points)
        done = (row + 1) / len(steps)
        yield Along(experiment.strips, steps, values, done, working=done < 1)


def _measured(experiment: Experiment, run: Run, measure: str, points: torch.Tensor) -> np.ndarray:
    """The instrument at points (L, P), (L,)."""
    sigma, seed = experiment.map_sigma, experiment.seed
    if measure == "diameter":
        found = [
            clarke_scales(run.map_objective, point, delta=sigma, samples=GRADIENTS, seed=seed)[0]
            for point in points
        ]
        return np.array([bound.diameter for bound in found])
    return instabilities(
        run.exact_map_objective,
        points.double(),
        k=experiment.map_k,
        sigma=sigma,
        seed=seed,
        measures=(measure,),
    )[measure]
