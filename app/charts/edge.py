"""A weight at its rounding edge, or an analytic function's path at its kink."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import (
    STYLES,
    Chart,
    axis,
    cells,
    layout,
    line,
    strip_label,
    typed,
    typed_steps,
)
from app.live.view import View
from sadam.lanes import LANES

#: Steps that the view looks back.
WINDOW = 100


def edge_chart(view: View) -> Chart:
    """The level of each optimizer's most often flipping weight, or the distance to the kink.

    Args:
        view: its `codes` or `kinks` hold what is drawn.

    Returns:
        A chart with one trace a lane, or none where nothing is rounded and nothing has a kink.
    """
    lanes = view.experiment.lanes
    first = max(0, view.step - WINDOW)
    chart_layout = layout(
        f"{view.experiment.scenario}:{view.experiment.bits}", (36, 10, 16, 22), annotations=[]
    )
    held = view.codes or view.kinks
    steps = np.array([step for step in held if first <= step <= view.step], dtype=int)
    traces: dict[str, Any] = {}
    for index, (key, (across, up, lowest)) in enumerate(zip(lanes, cells(len(lanes)), strict=True)):
        suffix = "" if index == 0 else str(index + 1)
        text, values = "", np.empty(0)
        if view.codes and len(steps):
            text, values = _most_flipping(view.codes, steps, index)
        elif view.kinks and len(steps):
            values = np.array([view.kinks[step][index] for step in steps.tolist()])
        chart_layout[f"xaxis{suffix}"] = axis(
            domain=across,
            anchor=f"y{suffix}",
            range=[first, first + WINDOW],
            showticklabels=lowest,
        )
        chart_layout[f"yaxis{suffix}"] = axis(
            domain=up, anchor=f"x{suffix}", nticks=3, **_levels_axis(view, values)
        )
        if len(values):
            traces[key] = line(
                LANES[key].title,
                typed_steps(steps),
                typed(values),
                STYLES[key].color,
                width=1.4,
                xaxis=f"x{suffix}",
                yaxis=f"y{suffix}",
                hovertemplate="%{x}: %{y:.3g}",
            )
            if view.codes:
                traces[key]["line"]["shape"] = "hv"
        chart_layout["annotations"].append(
            strip_label(LANES[key].title + text, STYLES[key].color, across, up)
        )
    return _titled(view) | {"across": "step", "traces": traces, "layout": chart_layout}


def _most_flipping(
    codes: dict[int, np.ndarray], steps: np.ndarray, lane: int
) -> tuple[str, np.ndarray]:
    """How often the weight that changes level most often does so, and its levels, (T,)."""
    levels = np.stack([codes[step][lane] for step in steps.tolist()])
    changes = (levels[1:] != levels[:-1]).sum(axis=0)
    weight = int(changes.argmax()) if len(levels) > 1 else 0
    count = int(changes[weight]) if len(levels) > 1 else 0
    return f"  {count} flips", levels[:, weight].astype(float)


def _levels_axis(view: View, values: np.ndarray) -> dict[str, Any]:
    if view.codes and len(values):
        low, high = values.min() - 0.35, max(values.max(), values.min() + 1) + 0.6
        return {"range": [float(low), float(high)], "dtick": 1}
    return {}


def _titled(view: View) -> dict[str, Any]:
    if view.codes:
        note = f"of {view.weights:,} the one that flips most, {WINDOW} steps"
        return {"title": "A weight at its rounding edge", "note": note}
    if view.kinks:
        note = f"signed distance to the nearest kink, last {WINDOW} steps"
        return {"title": "At the kink", "note": note}
    return {
        "title": "A weight at its rounding edge",
        "note": "nothing is rounded here and nothing has a kink: there is no edge to show",
    }
