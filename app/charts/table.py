"""The table: a row an optimizer, the figures of the last steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import STYLES, number
from app.charts.spectrum import WINDOW
from app.live.view import View
from probes.oscillation import Spectrum, flip_rate, high_frequency_share
from sadam.lanes import LANES
from sadam.promises import broken_promises, loss_jump, promise_kept, relative_jump

#: Steps that the loss jump and the mean damping look back.
RECENT = 50


def lane_table(view: View, spectra: dict[str, Spectrum | None]) -> dict[str, Any]:
    """Figures of the shown seed, a row a lane.

    Args:
        view: needs the columns "probe_loss", "damping" and "gradient_projection".
        spectra: a lane's spectrum or None.

    Returns:
        {"columns": [{"title", "help"}], "rows": [{"key", "color", "glyph", "title", "cells"}]},
        all cells text with three significant digits.
    """
    seeds = view.experiment.seeds
    losses = view.shown("probe_loss")[-RECENT - 1 :]
    promised = view.shown("promised")[-RECENT - 1 :]
    got = view.shown("got")[-RECENT - 1 :]
    damping = view.shown("damping")[-RECENT:]
    levels = view.shown("levels_changed")[-RECENT:]
    accuracy = view.shown("accuracy")[-1]
    gradients = view.shown("gradient_projection")[-WINDOW:]
    rows = []
    for index, key in enumerate(view.experiment.lanes):
        recent = view.trained(index)[-RECENT - 1 :]
        flips = flip_rate(gradients[view.trained(index)[-WINDOW:], index])
        result = spectra[key]
        share = None if result is None else high_frequency_share(result, view.experiment.mark)
        diverged = int(view.diverged_at[index * seeds])
        title = LANES[key].title + (f", diverged at step {diverged}" if diverged >= 0 else "")
        rows.append(
            {
                "key": key,
                "color": STYLES[key].color,
                "glyph": STYLES[key].glyph,
                "title": title,
                "cells": [
                    number(float(losses[-1, index])),
                    number(100 * float(accuracy[index]), " %"),
                    number(loss_jump(losses[recent, index])),
                    number(100 * relative_jump(losses[recent, index]), " %"),
                    _percent(broken_promises(promised[:, index], got[:, index])),
                    _percent(promise_kept(promised[:, index], got[:, index])),
                    number(float(levels[:, index].mean())) if view.weights else "–",
                    _percent(flips),
                    _percent(share),
                    number(_finite_mean(damping[:, index])),
                ],
            }
        )
    return {"columns": _columns(view), "rows": rows}


def _percent(share: float | None) -> str:
    return number(None if share is None else 100 * share, " %")


def _finite_mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


def _columns(view: View) -> list[dict[str, str]]:
    return [
        {"title": "Loss", "help": f"on the {view.samples} fixed samples" * bool(view.samples)},
        {
            "title": "Test accuracy",
            "help": f"on unseen samples, at step {view.step}",
        },
        {
            "title": "Loss jump per step",
            "help": f"mean |change| of that loss, last {RECENT} steps",
        },
        {"title": "relative", "help": "that jump as a share of the mean loss"},
        {
            "title": "Rose though a fall was promised",
            "help": f"broken promises: share of the last {RECENT} steps that promised a fall",
        },
        {
            "title": "Promise kept",
            "help": f"sum of real / sum of promised change on the same batch, last {RECENT} steps",
        },
        {
            "title": "Weights changing level",
            "help": f"a step, of {view.weights:,} quantized weights, last {RECENT} steps",
        },
        {
            "title": "Gradient flips",
            "help": f"sign changes of its projections from step to step, last {WINDOW} steps",
        },
        {
            "title": f"Power above {view.experiment.mark:g}",
            "help": "share of the spectrum's power above the mark, in cycles a step",
        },
        {"title": "Mean damping", "help": f"mean of a, last {RECENT} steps"},
    ]
