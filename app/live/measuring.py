"""The work at one point: every instrument, cheap ones first, in pieces that can be stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.live.readings import Bounds, BoundsCurve, Draws, Here, RadiusCurves
from app.live.subject import Subject
from app.setup import Setup
from probes import clarke, clarke_scales, instability, loss_slices
from probes.instability import MEASURES, asymmetry, lgi, planned, variance
from probes.layout import checked_points
from probes.rays import Rays, cast_rays, directions_of
from probes.roughness import noise_chain, reaches_of, roughness_of

#: Radii of the curves, in units of sigma: 64 times either way.
OCTAVES = 2.0 ** np.arange(-6, 7)
#: Directions that a curve over the radius pools: a network's are dear.
CURVE_DIRECTIONS, NETWORK_DIRECTIONS = 512, 16
#: k that a pool of directions is cut into, beside the setup's own.
KS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
#: Draws below which a mean at some k is not shown.
FEWEST_DRAWS = 4
#: Numbers that one piece of work holds at most; a network's evaluation costs far more than its
#: numbers do.
PIECE, NETWORK_EVALUATIONS = 1_500_000, 32
#: Cells of the directions: 0 is the draw that the table shows, and the pools lie far apart.
POOL_CELL, CURVE_CELL = 1, 1_000_000


def slices(subject: Subject) -> Iterator[dict[str, Any]]:
    """The function on its plane, coarse to fine."""
    levels = (9, 17, 33) if subject.known is None else (9, 17, 33, 65)
    for part in loss_slices(subject.objective, subject.plane, levels):
        yield {"slice": part}


def measurements(subject: Subject, setup: Setup) -> Iterator[dict[str, Any]]:
    """Measure everything at the setup's point.

    Args:
        subject: owned by the calling thread.
        setup: the point, k, sigma and the rest.

    Yields:
        Fields of `Readings` that are new; closing the iterator cancels.
    """
    theta = subject.theta(setup)
    yield {"here": _here(subject, setup, theta), "working": "Clarke's bounds", "done": 0.05}
    wide, narrow = clarke_scales(
        subject.objective, theta, delta=setup.sigma, samples=setup.samples, seed=setup.seed
    )
    yield {"bounds": Bounds(setup, wide, narrow), "working": "the radius", "done": 0.1}
    stages = (
        ("radii", "the radius", _over_radii, 0.2),
        ("draws", "the draws", _draws, 0.4),
        ("bounds_over_radii", "Clarke's bounds", _bounds_over_radii, 0.2),
        ("bounds_over_samples", "Clarke's bounds", _bounds_over_samples, 0.1),
    )
    begun = 0.1
    for name, working, stage, share in stages:
        for result, done in stage(subject, setup, theta):
            news = {} if result is None else {name: result}
            yield news | {"working": working, "done": begun + share * done}
        begun += share
    yield {"working": "", "done": 1.0}


def _here(subject: Subject, setup: Setup, theta: Tensor) -> Here:
    objective = subject.objective
    measured = instability(
        objective,
        theta,
        k=setup.k,
        sigma=setup.sigma,
        sphere=setup.sphere,  # type: ignore[arg-type]
        seed=setup.seed,
        zeta=setup.zeta,
    )
    loss, gradient = objective.losses_and_gradients(theta[None])
    norm = float(gradient[0].double().norm())
    truth = subject.truth(setup)
    return Here(setup, objective.size, float(loss[0]), norm, measured, truth)


def _pool(
    subject: Subject,
    setup: Setup,
    theta: Tensor,
    reaches: np.ndarray,
    largest: float,
    directions: int,
    cell: int,
) -> Iterator[Rays]:
    """Rays from one point along ever more directions, each piece with draws of its own."""
    objective = subject.objective
    point = checked_points(theta[None], objective.theta)
    chain = noise_chain(point, largest)
    evaluations = len(reaches) + chain.shape[1]
    size = PIECE // (evaluations * objective.size)
    if subject.known is None:
        size = min(size, NETWORK_EVALUATIONS // evaluations)
    held: Rays | None = None
    while held is None or held.losses.shape[1] < directions:
        have = 0 if held is None else held.losses.shape[1]
        count = min(max(1, size), directions - have)
        drawn = directions_of(objective, count, setup.sphere, setup.seed, [cell])  # type: ignore[arg-type]
        rays = cast_rays(objective, point, drawn[0], reaches, chain)
        if held is not None:
            rays = Rays(
                rays.reaches,
                rays.centre,
                torch.cat((held.losses, rays.losses), dim=1),
                torch.cat((held.chain, rays.chain), dim=1),
            )
        held, cell = rays, cell + 1
        yield held


def cut(rays: Rays, k: int) -> Rays:
    """Rays from one point as independent draws of k directions each; a rest is left out.

    Args:
        rays: of one point, G = 1, with n directions.
        k: directions a draw, at most n.

    Returns:
        Rays with G = n // k.
    """
    draws = rays.losses.shape[1] // k

    def parted(table: Tensor) -> Tensor:
        return table[0, : draws * k].reshape(draws, k, table.shape[-1])

    centre = rays.centre.expand(draws)
    return Rays(rays.reaches, centre, parted(rays.losses), parted(rays.chain))


def _over_radii(
    subject: Subject, setup: Setup, theta: Tensor
) -> Iterator[tuple[RadiusCurves | None, float]]:
    radii = setup.sigma * OCTAVES
    wanted = CURVE_DIRECTIONS if subject.known is not None else NETWORK_DIRECTIONS
    wanted = setup.k * max(1, wanted // setup.k)
    pool = _pool(subject, setup, theta, reaches_of(radii), radii[-1], wanted, CURVE_CELL)
    for rays, news in _news(pool, setup.k, wanted):
        have = rays.losses.shape[1]
        if not news:
            yield None, have / wanted
            continue
        draws = cut(rays, setup.k)
        values: dict[str, list[float]] = {"lgi": [], "variance": [], "asymmetry": []}
        for r in radii:
            forward = (draws.at(r) - draws.centre[:, None]) / r
            backward = (draws.at(-r) - draws.centre[:, None]) / r
            values["lgi"].append(float(lgi(forward, setup.zeta).mean()))
            values["variance"].append(float(variance(forward).mean()))
            values["asymmetry"].append(float(asymmetry(forward, backward).nanmean()))
        arrays = {name: np.array(column) for name, column in values.items()}
        yield RadiusCurves(setup, have, roughness_of(rays, radii), arrays), have / wanted


def _draws(subject: Subject, setup: Setup, theta: Tensor) -> Iterator[tuple[Draws | None, float]]:
    plan = planned(MEASURES, setup.sigma, setup.zeta, None)
    reaches = reaches_of(plan.curve_radii)
    wanted = setup.k * setup.draws
    pool = _pool(subject, setup, theta, reaches, float(plan.radii[-1]), wanted, POOL_CELL)
    for rays, news in _news(pool, setup.k, wanted):
        have = rays.losses.shape[1]
        if not news:
            yield None, have / wanted
            continue
        ks = [k for k in sorted({*KS, setup.k}) if have // k >= FEWEST_DRAWS or k == setup.k]
        at_k = {k: plan.values(cut(rays, k)) for k in ks}
        stats = {
            name: np.array([_spread(at_k[k][name]) for k in ks]).T.reshape(3, -1)
            for name in MEASURES
        }
        mean, low, high = ({name: stats[name][i] for name in MEASURES} for i in range(3))
        yield Draws(setup, at_k[setup.k], np.array(ks), mean, low, high), have / wanted


def _news(pool: Iterator[Rays], k: int, wanted: int) -> Iterator[tuple[Rays, bool]]:
    """The pool, and whether it has grown by a quarter, at least one draw, or is complete."""
    shown = 0
    for rays in pool:
        have = rays.losses.shape[1]
        news = have >= max(k, 1.25 * shown) or have == wanted
        shown = have if news else shown
        yield rays, news


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, 10th and 90th percentile of what is resolved."""
    known = values[np.isfinite(values)]
    if not known.size:
        return (np.nan, np.nan, np.nan)
    low, high = np.quantile(known, (0.1, 0.9))
    return (float(known.mean()), float(low), float(high))


def _bounds_over_radii(
    subject: Subject, setup: Setup, theta: Tensor
) -> Iterator[tuple[BoundsCurve, float]]:
    radii = setup.sigma * OCTAVES
    yield from _bounds(subject, setup, theta, radii, [(r, setup.samples) for r in radii])


def _bounds_over_samples(
    subject: Subject, setup: Setup, theta: Tensor
) -> Iterator[tuple[BoundsCurve, float]]:
    counts = sorted({m for m in (2, 4, 8, 16, 32, 64, 128) if m < setup.samples} | {setup.samples})
    each = [(setup.sigma, m) for m in counts]
    yield from _bounds(subject, setup, theta, np.array(counts, float), each)


def _bounds(
    subject: Subject,
    setup: Setup,
    theta: Tensor,
    at: np.ndarray,
    each: list[tuple[float, int]],
) -> Iterator[tuple[BoundsCurve, float]]:
    diameter, stationarity = np.full((2, len(at)), np.nan)
    for index, (delta, samples) in enumerate(each):
        found = clarke(subject.objective, theta, delta=delta, samples=samples, seed=setup.seed)
        diameter[index], stationarity[index] = found.diameter, found.stationarity
        curve = BoundsCurve(setup, at, diameter.copy(), stationarity.copy())
        yield curve, (index + 1) / len(each)
