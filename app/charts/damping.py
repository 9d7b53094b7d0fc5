"""The damping, the instability it comes from and the learning rate that is left, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import (
    STYLES,
    Chart,
    axis,
    layout,
    line,
    revision,
    rolling_mean,
    stack,
    step_axis,
    thinned,
)
from app.live.view import View
from sadam.lanes import LANES

#: Steps over which the thick lines are averaged.
MEAN_WIDTH = 25
#: Points of a thin and of a thick line: the view is narrow.
THIN_POINTS, MEAN_POINTS = 150, 80


def damping_strips(view: View) -> Chart:
    """Damping a_t, LGI rho_t and effective learning rate, thin each step, thick the mean of 25.

    Args:
        view: needs the columns "damping", "lgi" and "effective_lr", each (T, R).

    Returns:
        A chart with up to two traces a lane and strip, named "strip:lane:thin" and
        "strip:lane:mean".
    """
    strips = (
        ("damping", "a", [-0.03, 1.05]),
        ("lgi", "LGI ρ", None),
        ("effective_lr", "lr × a", None),
    )
    domains = stack(len(strips), gap=0.1)
    chart_layout = layout(revision(view), (52, 8, 4, 22))
    chart_layout["xaxis"] = axis(anchor="y3", **step_axis(view))
    traces: dict[str, Any] = {}
    for index, (column, title, fixed) in enumerate(strips):
        y_name = "y" if index == 0 else f"y{index + 1}"
        chart_layout[y_name.replace("y", "yaxis", 1)] = axis(
            title, domain=domains[index], anchor="x", nticks=4, rangemode="tozero"
        ) | ({"range": fixed} if fixed else {})
        values = view.shown(column)
        for lane, key in enumerate(view.experiment.lanes):
            series = values[:, lane]
            if not np.isfinite(series).any():
                continue  # a lane that does not probe has no LGI
            name, color, dash = LANES[key].title, STYLES[key].color, STYLES[key].dash
            if not _constant(series):
                x, y = thinned(view.steps, series, THIN_POINTS)
                traces[f"{column}:{key}:thin"] = line(
                    name, x, y, color, width=0.7, opacity=0.35, yaxis=y_name, hoverinfo="skip"
                )
            mean = rolling_mean(series, MEAN_WIDTH)
            x, y = thinned(view.steps, mean, 0 if _constant(mean) else MEAN_POINTS)
            traces[f"{column}:{key}:mean"] = line(
                name,
                x,
                y,
                color,
                width=2.2,
                dash=dash,
                yaxis=y_name,
                hovertemplate="%{x}: %{y:.3g}",
            )
    return {
        "title": "Damping",
        "across": "step",
        "note": f"factor a, LGI ρ, effective learning rate. Thin: each step, thick: mean of "
        f"{MEAN_WIDTH}. Scatter at small k is the estimator's own, on a plain slope too.",
        "traces": traces,
        "layout": chart_layout,
    }


def _constant(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return finite.size == 0 or float(finite.min()) == float(finite.max())
