"""The work behind sharpness: how near each optimizer is to the limit of its stability."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from app.live.run import Run
from probes.sharpness import adam_limit, adam_preconditioner, sgd_limit, sharpness
from sadam.lanes import LANES

#: Steps whose mean effective learning rate the limit is taken at: the damping scatters.
RECENT = 50


def compute_sharpness(run: Run) -> Iterator[tuple[int, np.ndarray]]:
    """Measure the sharpness of the probe set's loss at each optimizer's present place.

    Args:
        run: owned by the calling thread.

    Yields:
        The step, and (L,) sharpness of the shown seed as a share of each optimizer's limit: nan
        where it is not measured yet.
    """
    step, settings = run.ensemble.t, run.ensemble.settings
    theta, moments = run.shown(run.ensemble.theta), run.shown(run.ensemble.second_moment)
    rates = run.shown_rates(RECENT)
    shares = np.full(len(theta), np.nan)
    for lane, key in enumerate(run.experiment.lanes):
        rule, lr = LANES[key].rule, float(rates[lane])
        scale, limit = None, sgd_limit(lr, settings.momentum) if lr > 0 else np.inf
        if rule == "adam":
            scale = adam_preconditioner(
                moments[lane],
                step=run.ensemble.taken + step + 1,
                betas=settings.betas,
                eps=settings.eps,
            )
            limit = adam_limit(lr, settings.betas[0]) if lr > 0 else np.inf
        elif rule == "rmsprop":
            scale, limit = moments[lane].sqrt() + settings.eps, 2.0 / lr
        found = sharpness(run.objective, theta[lane], preconditioner=scale)
        shares = shares.copy()
        shares[lane] = found.value / float(limit)
        yield step, shares
