"""The slice and the map on their plane as NPZ, which loads without pickles."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from app.experiment import PLANES
from app.export.taken import Taken, versions

#: Parameters up to which the plane's vectors are in the file, 12 MB of float32.
MOST_PARAMETERS = 1_000_000


def slice_npz(taken: Taken) -> bytes:
    """The loss on the plane, the map as far as it is measured, and the paths on the plane.

    Args:
        taken: a run whose slice has begun.

    Returns:
        A file for `numpy.load(file, allow_pickle=False)`:
        a (n,), b (n,) and losses (n, n) indexed [b, a], nan where not evaluated yet;
        map_a (m,), map_b (m,) and for each measure map_<measure> (m, m) indexed [b, a], once begun;
        path_steps (N,), paths (N, L, 2) of the first seed's lanes (L,), up to the step in view;
        extent (4,) a0, a1, b0, b1; plane_step, whose paths chose the plane; and origin (P,) and
        axes (2, P), the plane origin + a axes[0] + b axes[1], in the order of the network's
        `named_parameters`, up to a million of them;
        fidelity (3,): share of the paths' variance, median error of the loss, largest distance of
        the paths; nan for a function, which is its own plane;
        about, JSON: experiment, name, link, plane, versions.
    """
    view, maps = taken.view, taken.view.maps
    assert maps is not None
    assert maps.slice is not None
    held, found = maps.fidelity, maps.map
    arrays: dict[str, Any] = {
        "a": maps.slice.a,
        "b": maps.slice.b,
        "losses": maps.slice.losses,
        "lanes": list(view.experiment.lanes),
        "path_steps": view.place_steps,
        "paths": view.places,
        "extent": maps.plane.extent,
        "plane_step": maps.step,
        "fidelity": [np.nan] * 3
        if held is None
        else [held.variance_share, held.median_loss_error, held.largest_distance],
        "about": json.dumps(_about(taken)),
    }
    if len(maps.plane.origin) <= MOST_PARAMETERS:
        arrays["origin"] = maps.plane.origin.cpu().numpy()
        arrays["axes"] = maps.plane.axes.cpu().numpy()
    if found is not None:
        arrays |= {"map_a": found.a, "map_b": found.b, "map_k": found.k, "map_sigma": found.sigma}
        arrays |= {f"map_{measure}": values for measure, values in found.values.items()}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _about(taken: Taken) -> dict[str, Any]:
    view, maps = taken.view, taken.view.maps
    assert maps is not None
    return {
        "name": view.name,
        "experiment": json.loads(view.experiment.to_json()),
        "link": taken.address,
        "start": taken.start,
        "plane": PLANES.get(maps.plane.kind, "the function's own two coordinates"),
        "made": {"date": taken.date} | versions(),
    }
