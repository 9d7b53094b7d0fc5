"""Planes in parameter space: the ways to choose one for a slice, a map and the paths."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from probes.directions import draw_directions
from probes.layout import checked_points
from probes.objective import Objective
from probes.plane import NEGLIGIBLE, Fidelity, Plane, fidelity, finite_rows

__all__ = [
    "Fidelity",
    "Plane",
    "Scaling",
    "fidelity",
    "pca_plane",
    "random_plane",
    "start_end_plane",
    "step_plane",
]

Scaling = Literal["filter", "layer", "none"]

# An update is often the difference of two float32 vectors: a gradient's part across it is mere
# rounding below this share of the gradient.
PARALLEL = 1e-4


def random_plane(
    objective: Objective,
    theta: Tensor,
    *,
    normalize: Scaling = "filter",
    seed: int,
    reach: float = 1.0,
) -> Plane:
    """A plane through theta along two random directions (Li et al. 2018, arXiv 1712.09913).

    Args:
        objective: whose layout names the tensors.
        theta: the centre, (P,).
        normalize: "filter" gives each filter (a row, or output channel) of a direction the norm
            of the same filter of theta and sets biases and other 1-d tensors to zero, as Li et
            al. do; where there are only 1-d tensors, as in a function, it acts as "layer".
            "layer" gives each tensor the norm of the same tensor of theta. "none" leaves the
            draws as they are, of norm about sqrt(P).
        seed: at least 0.
        reach: half the width of the square shown, in units of the axes, above 0.

    Returns:
        The plane, of kind "random-" and the normalisation that was used.

    Raises:
        ValueError: an unknown normalisation, P = 1, or a direction that comes out as zero.
    """
    if normalize not in ("filter", "layer", "none"):
        raise ValueError(f"normalize is {normalize!r}, expected 'filter', 'layer' or 'none'.")
    if objective.size < 2:
        raise ValueError("The objective has 1 parameter, expected at least 2 to span a plane.")
    if normalize == "filter" and all(len(entry.shape) < 2 for entry in objective.layout):
        normalize = "layer"
    theta = checked_points(theta[None], objective.theta)[0]
    axes = draw_directions(2, objective.layout, seed=seed, dtype=theta.dtype, device=theta.device)
    if normalize != "none":
        for entry in objective.layout:
            rows = entry.shape[0] if normalize == "filter" and len(entry.shape) > 1 else 1
            piece = axes[:, entry.start : entry.stop].view(2, rows, -1)
            own = theta[entry.start : entry.stop].view(rows, -1).norm(dim=1, keepdim=True)
            if normalize == "filter" and len(entry.shape) < 2:
                own = torch.zeros_like(own)
            piece *= own / (piece.norm(dim=2, keepdim=True) + 1e-10)
    if not axes.any(dim=1).all():
        raise ValueError(
            f"theta is zero wherever normalize={normalize!r} looks, so the directions come out"
            " zero: use normalize='none'."
        )
    return Plane(theta.clone(), axes, (-reach, reach, -reach, reach), f"random-{normalize}")


def pca_plane(paths: Tensor, *, margin: float = 0.15) -> Plane:
    """The plane of the two main components of the paths' points.

    The eigenvectors come from the N x N matrix of inner products in float64, so P may be large.
    Origin: the mean; axes: orthonormal. Points that all lie on a line get a fixed random
    orthogonal second axis and a square extent; a single point gets two such axes.

    Args:
        paths: (N, P), snapshots of all runs pooled, N at least 1, P at least 2, finite.
        margin: free space around the paths, as a share of their range.

    Returns:
        The plane, of kind "pca".

    Raises:
        ValueError: paths of another shape or not finite, or P = 1.
    """
    exact = finite_rows(paths, "paths")
    centre = exact.mean(dim=0)
    centred = exact - centre
    vectors = torch.linalg.eigh(centred @ centred.T).eigenvectors
    main = vectors[:, -2:].flip(1).T @ centred
    # The first point, the common start, goes to the left and the bottom.
    main = torch.where((main @ centred[0] > 0.0)[:, None], -main, main)
    return _plane_through(centre, main, paths, margin, "pca")


def start_end_plane(start: Tensor, ends: Tensor, *, margin: float = 0.15) -> Plane:
    """The plane through a start and the ends of two runs, so all three lie ON it.

    The first axis points from the start to the first end, the second is orthogonal to it; both
    have unit length, so distances on the screen are distances between parameters. Where the three
    points lie on a line or coincide, the missing axes are fixed random orthogonal ones.

    Args:
        start: (P,), the origin.
        ends: (M, P), M at least 1; the first two span the plane, all of them size the extent.
        margin: free space around start and ends, as a share of their range.

    Returns:
        The plane, of kind "start-end".

    Raises:
        ValueError: points of another shape or not finite, or P = 1.
    """
    if start.dim() != 1 or ends.dim() != 2 or ends.shape[1] != len(start):
        raise ValueError(
            f"start and ends have shapes {tuple(start.shape)} and {tuple(ends.shape)}, expected"
            " (P,) and (M, P)."
        )
    points = torch.cat((start[None], ends))
    exact = finite_rows(points, "start and ends")
    return _plane_through(exact[0], exact[1:3] - exact[0], points, margin, "start-end")


def step_plane(theta: Tensor, gradient: Tensor, update: Tensor, *, reach: float = 3.0) -> Plane:
    """The microscope: the plane of one step, on the scale of that step.

    The first axis is the update, so a = 1 is where the step ends; the second is the part of the
    negative gradient across the update, scaled to the update's length, so a unit is as long on
    both. Where that part is missing (the gradient is zero or parallel to the update, as in plain
    gradient descent) a fixed random direction across the update takes its place. A zero update
    leaves the second axis to the gradient; the first is then random, and a unit is a hundredth of
    |theta|, or 1 where theta is zero.

    Args:
        theta: (P,), before the step: the origin, P at least 2.
        gradient: (P,), under straight-through the surrogate's.
        update: (P,), what the step adds to theta.
        reach: half the width of the square shown, in steps, above 0.

    Returns:
        The plane, of kind "step".

    Raises:
        ValueError: vectors of another shape or not finite, P = 1, or a reach that is not above 0.
    """
    if theta.dim() != 1 or gradient.shape != theta.shape or update.shape != theta.shape:
        raise ValueError(
            f"theta, gradient and update have shapes {tuple(theta.shape)},"
            f" {tuple(gradient.shape)} and {tuple(update.shape)}, expected (P,) three times."
        )
    if not 0.0 < reach < float("inf"):
        raise ValueError(f"reach is {reach}, expected a finite number of steps above 0.")
    vectors = (theta, update.to(theta), -gradient.to(theta))
    origin, step, descent = finite_rows(torch.stack(vectors), "theta, gradient and update")
    length = float(step.norm())
    # Of unit length, because the two differ in scale by the learning rate.
    units = torch.stack([v / (float(v.norm()) or 1.0) for v in (step, descent)])
    axes = _orthonormal(units, PARALLEL)
    if length == 0.0:
        axes = axes.flip(0)
        length = 0.01 * float(origin.norm()) or 1.0
    extent = (-reach, reach, -reach, reach)
    return Plane(theta.detach().clone(), (length * axes).to(theta), extent, "step")


def _plane_through(origin: Tensor, spans: Tensor, shown: Tensor, margin: float, kind: str) -> Plane:
    """The plane along up to two spans, made orthonormal, around the points that are shown."""
    if margin < 0.0:
        raise ValueError(f"margin is {margin}, expected a share of the range from 0 up.")
    spread = float(torch.linalg.vector_norm(spans, dim=1).max())
    rounding = max(NEGLIGIBLE * spread, 1e-12 * float(origin.norm()))
    axes = _orthonormal(spans, rounding)
    coordinates = (shown.detach().double() - origin) @ axes.T
    low, high = coordinates.min(dim=0).values, coordinates.max(dim=0).values
    middle = (low + high) / 2.0
    half = ((high - low) / 2.0).tolist()
    widest = max(half) if max(half) > rounding else 0.1 * float(origin.norm()) or 1.0
    a, b = ((h if h > rounding else widest) * (1.0 + 2.0 * margin) for h in half)
    x, y = middle.tolist()
    dtype = shown.dtype
    return Plane(origin.to(dtype), axes.to(dtype), (x - a, x + a, y - b, y + b), kind)


def _orthonormal(spans: Tensor, rounding: float) -> Tensor:
    """Two orthonormal axes (2, P) along the spans; fixed random ones where a span is rounding."""
    size = spans.shape[1]
    fill = draw_directions(2, size, seed=0, dtype=spans.dtype, device=spans.device)
    axes = spans.new_zeros(0, size)
    for span, least in [*((s, rounding) for s in spans), *((f, 0.0) for f in fill)]:
        for _ in range(2):  # twice is enough to be orthogonal to rounding
            span = span - (axes @ span) @ axes
        length = float(span.norm())
        if len(axes) < 2 and length > least:
            axes = torch.cat((axes, span[None] / length))
    return axes
