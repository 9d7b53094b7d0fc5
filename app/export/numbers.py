"""A run's numbers as JSON; the page reads the experiment back from it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from app.export.taken import Taken, versions

#: What the numbers are, in the file itself.
ABOUT = (
    "Columns are [row][run] or [row][run][part], one row for each of steps: the newest are whole, "
    "older ones are thinned. Runs are lanes x seeds: all seeds of the first lane, then of the "
    "next. null is not measured, or not finite. diverged_at is the step at which a run was frozen, "
    "-1 for a sound one."
)


def run_json(taken: Taken) -> str:
    """The experiment and all of the history that is held, up to the step in view.

    The experiment stands first, so that `Experiment.from_json` finds it however long the rest is:
    about 1 MB for a thousand steps of three runs, 25 MB at most.

    Args:
        taken: the run.
    """
    view = taken.view
    experiment = json.loads(view.experiment.to_json())
    found = {
        "experiment": experiment,
        "name": view.name,
        "link": taken.address,
        "start": taken.start,
        "made": {"date": taken.date} | versions(),
        "about": ABOUT,
        "step": view.step,
        "lanes": list(view.experiment.lanes),
        "seeds": list(view.experiment.seed_list),
        "diverged_at": view.diverged_at.tolist(),
        "steps": view.steps.tolist(),
        "columns": {name: _plain(column) for name, column in view.columns.items()},
    }
    return json.dumps(found, allow_nan=False) + "\n"


def _plain(values: np.ndarray) -> list[Any]:
    """Nested lists; the fewest digits that read back as the same float32; null for nan and inf."""
    if values.dtype.kind != "f":
        return values.tolist()
    shortest = values.astype("U").astype(float).astype(object)
    shortest[~np.isfinite(values)] = None
    return shortest.tolist()
