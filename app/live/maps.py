"""The work behind the two views on the plane, in small pieces that can be stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from app.experiment import Experiment
from app.live.run import Run
from app.live.view import Maps
from probes import (
    Plane,
    fidelity,
    instability_maps,
    loss_slices,
    pca_plane,
    random_plane,
    start_end_plane,
)
from probes.planes import Scaling

RANDOM_PLANES: dict[str, Scaling] = {
    "random-filter": "filter",
    "random-layer": "layer",
    "random-none": "none",
}
#: First and second level of a slice; the experiment's resolution is the last.
COARSE = (9, 17, 33, 65)


def choose_plane(experiment: Experiment, run: Run) -> Plane:
    """The plane that the experiment asks for, from the paths so far.

    Args:
        experiment: names the plane.
        run: its history's snapshots are the paths of all lanes.
    """
    if run.problem.function is not None:
        return coordinate_plane(run)
    _, paths = run.history.snapshots
    paths = torch.as_tensor(paths, dtype=run.objective.dtype, device=run.objective.device)
    if experiment.plane == "pca":
        return pca_plane(paths.flatten(0, 1))
    if experiment.plane == "start-end":
        return start_end_plane(paths[0, 0], paths[-1])
    return random_plane(
        run.objective,
        paths[-1, 0],
        normalize=RANDOM_PLANES[experiment.plane],
        seed=experiment.seed,
    )


def coordinate_plane(run: Run) -> Plane:
    """A function of two parameters is its own plane."""
    function = run.problem.function
    assert function is not None
    like = {"dtype": run.objective.dtype, "device": run.objective.device}
    return Plane(
        origin=torch.zeros(2, **like),
        axes=torch.eye(2, **like),
        extent=function.extent,
        kind="coordinates",
    )


def compute_maps(experiment: Experiment, run: Run) -> Iterator[Maps]:
    """Choose the plane, then compute slice and map piece by piece.

    Args:
        experiment: plane, resolutions, map probes.
        run: owned by the calling thread.

    Yields:
        The maps so far, after every small piece of work; closing the iterator cancels.
    """
    plane = choose_plane(experiment, run)
    maps = Maps(plane=plane, step=run.ensemble.t, working="loss slice")
    yield maps
    levels = tuple(n for n in COARSE if n < experiment.slice_resolution)
    for part in loss_slices(run.objective, plane, (*levels, experiment.slice_resolution)):
        maps = replace(maps, slice=part, done=part.done)
        yield maps
    if plane.kind != "coordinates":
        _, paths = run.history.snapshots
        flat = torch.as_tensor(paths, dtype=plane.origin.dtype).flatten(0, 1)
        maps = replace(maps, fidelity=fidelity(plane, run.objective, flat.to(plane.origin.device)))
    maps = replace(maps, working="instability map", done=0.0)
    yield maps
    for part in instability_maps(
        run.map_objective,
        plane,
        experiment.map_resolution,
        k=experiment.map_k,
        sigma=experiment.map_sigma,
        seed=experiment.seed,
    ):
        maps = replace(maps, map=part, done=part.done)
        yield maps
    yield replace(maps, working="", done=1.0)
