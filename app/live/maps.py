"""The work behind the two views on the plane, in small pieces that can be stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from app.experiment import Experiment
from app.live.ahead import step_of
from app.live.run import Run
from app.live.view import Maps
from probes import (
    Plane,
    clarke_maps,
    fidelity,
    instability_maps,
    loss_slices,
    pca_plane,
    random_plane,
    start_end_plane,
    step_plane,
)
from probes.instability import QUICK, InstabilityMap
from probes.maps import CLARKE_MEASURES
from probes.planes import Scaling
from probes.slices import Slice

RANDOM_PLANES: dict[str, Scaling] = {
    "random-filter": "filter",
    "random-layer": "layer",
    "random-none": "none",
}
#: Sampled gradients a direction: as many forward passes as the other measures, about.
GRADIENTS = 4
#: Levels of a slice before the last, which is the experiment's resolution.
COARSE = (9, 17, 33, 65)


def compute_maps(
    experiment: Experiment, run: Run, step: int, onto: Maps | None = None
) -> Iterator[Maps]:
    """Choose the plane, then compute slice and map piece by piece.

    Args:
        experiment: plane, extent, resolutions, map probes.
        run: owned by the calling thread.
        step: the step that is looked at; the microscope's centre.
        onto: maps whose plane is kept, only its extent is the experiment's.

    Yields:
        The maps so far, after every small piece of work; closing the iterator cancels.
    """
    plane = choose_plane(experiment, run, step) if onto is None else onto.plane
    if experiment.extent:
        a0, a1, b0, b1 = experiment.extent
        plane = plane.with_extent(a0, a1, b0, b1)
    chosen_at = step if onto is None else onto.step
    maps = Maps(plane=plane, step=chosen_at, working="loss slice")
    yield maps
    if onto is not None and _fits(onto.slice, plane, experiment):
        maps = replace(maps, slice=onto.slice)
    else:
        levels = tuple(n for n in COARSE if n < experiment.slice_resolution)
        for part in loss_slices(run.objective, plane, (*levels, experiment.slice_resolution)):
            maps = replace(maps, slice=part, done=part.done)
            yield maps
    if plane.kind != "coordinates":
        maps = replace(maps, fidelity=fidelity(plane, run.objective, _paths(run).flatten(0, 1)))
    maps = replace(maps, working="instability map", done=0.0)
    yield maps
    for part in measured_maps(experiment, run, plane):
        maps = replace(maps, map=part, done=part.done)
        yield maps
    yield replace(maps, working="", done=1.0)


def _fits(known: Slice | None, plane: Plane, experiment: Experiment) -> bool:
    """Whether a slice is complete, of this rectangle and this fine."""
    if known is None or known.done < 1 or len(known.a) != experiment.slice_resolution:
        return False
    corners = (known.a[0], known.a[-1], known.b[0], known.b[-1])
    return bool(np.allclose(corners, plane.extent))


def measured_maps(experiment: Experiment, run: Run, plane: Plane) -> Iterator[InstabilityMap]:
    """The map that holds the experiment's measure, in float64 where differences are small.

    Args:
        experiment: names the measure and its probes.
        run: owned by the calling thread.
        plane: the rectangle.

    Yields:
        The map so far.
    """
    n, k, sigma = experiment.map_resolution, experiment.map_k, experiment.map_sigma
    if experiment.measure in CLARKE_MEASURES:
        yield from clarke_maps(
            run.map_objective, plane, n, delta=sigma, samples=GRADIENTS * k, seed=experiment.seed
        )
        return
    quick = experiment.measure in QUICK
    if not quick:
        plane = replace(plane, origin=plane.origin.double(), axes=plane.axes.double())
    yield from instability_maps(
        run.map_objective if quick else run.exact_map_objective,
        plane,
        n,
        k=k,
        sigma=sigma,
        seed=experiment.seed,
        measures=QUICK if quick else (experiment.measure,),
        fresh=experiment.map_draws == "fresh",
    )


def choose_plane(experiment: Experiment, run: Run, step: int) -> Plane:
    """The plane that the experiment asks for, from the paths so far.

    Args:
        experiment: names the plane.
        run: its snapshots are the paths of all lanes.
        step: the microscope shows the step from here, of the first lane.
    """
    if run.problem.function is not None and experiment.plane != "step":
        return coordinate_plane(run)
    if experiment.plane == "step":
        _, theta, update = step_of(run, step)
        gradient = run.objective.gradients(theta[:1])
        return step_plane(theta[0], gradient[0], update[0])
    paths = _paths(run)
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


#: Snapshots that choose a plane at most: every second or fourth place tells the same directions.
PATH_SNAPSHOTS = 64


def _paths(run: Run) -> Tensor:
    """Some of the snapshots, the first and the last among them, (N, L, P)."""
    held = run.snapshots.items()
    stride = -(-len(held) // PATH_SNAPSHOTS)
    some = [theta for _, theta in held[::-1][::stride]][::-1]
    if some[0] is not held[0][1]:
        some.insert(0, held[0][1])
    paths = torch.stack([torch.tensor(theta) for theta in some]).to(run.objective.theta)
    # A run that diverged lies so far out that the others would be one dot.
    alive = run.shown(run.ensemble.alive)
    return paths[:, alive] if bool(alive.any()) else paths
