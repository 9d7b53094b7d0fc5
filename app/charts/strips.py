"""Time views: stacked strips on one step axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import (
    LINE_POINTS,
    STYLES,
    Chart,
    axis,
    decimate,
    label,
    layout,
    line,
    rolling_mean,
    typed,
    typed_steps,
)
from app.live.view import View
from sadam.lanes import LANES

#: Steps over which the thick lines of the damping view are averaged.
MEAN_WIDTH = 25
#: Points of a thin and of a thick line of the damping view, which is half as wide.
THIN_POINTS, MEAN_POINTS = 150, 80


#: Ends of the step axis: each about a third more than the last.
_ROOMS = [int(n * 10**e) for e in range(2, 7) for n in (1, 1.5, 2, 3, 4, 6, 8)]


def _stack(count: int, gap: float = 0.08) -> list[tuple[float, float]]:
    """Vertical domains of `count` strips, the first one on top."""
    height = (1 - gap * (count - 1)) / count
    bottoms = [1 - (i + 1) * height - i * gap for i in range(count)]
    return [(max(0.0, bottom), min(1.0, bottom + height)) for bottom in bottoms]


def _axis_name(letter: str, index: int) -> str:
    return letter if index == 0 else f"{letter}{index + 1}"


def _thinned(
    steps: np.ndarray, values: np.ndarray, points: int = LINE_POINTS
) -> tuple[dict[str, str], dict[str, str]]:
    x, y = decimate(steps, values, points)
    return typed_steps(x), typed(y)


def loss_strips(view: View) -> Chart:
    """Loss on the fixed probe set, a strip an optimizer, all on the same scale.

    Args:
        view: needs the column "probe_loss" (T, R).

    Returns:
        A chart with one trace a lane, named by its key.
    """
    lanes = view.experiment.lanes
    losses = view.shown("probe_loss")
    finite = losses[np.isfinite(losses)]
    log = bool(finite.size) and float(finite.min()) > 0
    domains = _stack(len(lanes))
    chart_layout = layout(_revision(view), (52, 10, 6, 34))
    chart_layout["xaxis"] = axis(
        "step", anchor=_axis_name("y", len(lanes) - 1), **_step_range(view)
    )
    annotations = []
    traces: dict[str, Any] = {}
    for index, key in enumerate(lanes):
        y_name = _axis_name("y", index)
        chart_layout[y_name.replace("y", "yaxis", 1)] = axis(
            "loss" if index == len(lanes) // 2 else "",
            domain=domains[index],
            anchor="x",
            type="log" if log else "linear",
            matches="y" if index else None,
            **_loss_ticks(finite, log),
        )
        x, y = _thinned(view.steps, losses[:, index])
        traces[key] = line(
            LANES[key].title, x, y, STYLES[key].color, yaxis=y_name, hovertemplate="%{x}: %{y:.3g}"
        )
        annotations.append(
            label(
                LANES[key].title + _divergence(view, index),
                STYLES[key].color,
                xref="paper",
                yref="paper",
                x=0.99,
                xanchor="right",
                y=domains[index][1],
            )
        )
    chart_layout["annotations"] = annotations
    return {
        "title": "Loss",
        "note": _loss_note(view),
        "traces": traces,
        "layout": chart_layout,
    }


def _loss_ticks(finite: np.ndarray, log: bool) -> dict[str, Any]:
    """Few ticks: decades on a wide logarithmic axis, 1, 2 and 5 of each on a narrow one."""
    if not log:
        return {"nticks": 4}
    low, high = np.log10([finite.min(), finite.max()])
    digits = (1,) if high - low > 1.5 else (1, 2, 5)
    decades = range(int(np.floor(low)) - 1, int(np.ceil(high)) + 2)
    return {"tickvals": [float(f"{digit}e{decade}") for decade in decades for digit in digits]}


def _loss_note(view: View) -> str:
    if not view.samples:
        return "of the function itself, every step. A low line is not a calm one."
    return (
        f"on the same {view.samples} fixed samples, every step, seed {view.experiment.seed}. "
        "A calm line is not accuracy: the table shows both."
    )


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
    domains = _stack(len(strips), gap=0.1)
    chart_layout = layout(_revision(view), (62, 10, 6, 34))
    chart_layout["xaxis"] = axis("step", anchor="y3", **_step_range(view))
    traces: dict[str, Any] = {}
    for index, (column, title, fixed) in enumerate(strips):
        y_name = _axis_name("y", index)
        chart_layout[y_name.replace("y", "yaxis", 1)] = axis(
            title, domain=domains[index], anchor="x", nticks=4, rangemode="tozero"
        ) | ({"range": fixed} if fixed else {})
        values = view.shown(column)
        for lane, key in enumerate(view.experiment.lanes):
            series = values[:, lane]
            if not np.isfinite(series).any():
                continue  # a lane that does not probe has no LGI
            name, color = LANES[key].title, STYLES[key].color
            if not _constant(series):
                x, y = _thinned(view.steps, series, THIN_POINTS)
                traces[f"{column}:{key}:thin"] = line(
                    name, x, y, color, width=0.7, opacity=0.35, yaxis=y_name, hoverinfo="skip"
                )
            mean = rolling_mean(series, MEAN_WIDTH)
            x, y = _thinned(view.steps, mean, 0 if _constant(mean) else MEAN_POINTS)
            traces[f"{column}:{key}:mean"] = line(
                name, x, y, color, width=2.2, yaxis=y_name, hovertemplate="%{x}: %{y:.3g}"
            )
    return {
        "title": "Damping",
        "note": f"factor a, LGI ρ, effective learning rate. Thin: each step, thick: mean of "
        f"{MEAN_WIDTH}. Scatter at small k is the estimator's own, on a plain slope too.",
        "traces": traces,
        "layout": chart_layout,
    }


def _constant(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return finite.size == 0 or float(finite.min()) == float(finite.max())


def _step_range(view: View) -> dict[str, Any]:
    """From 0 to the present, with room so that the axis moves seldom.

    Not a fixed range: plotly gives up a person's zoom when that changes.
    """
    room = next(n for n in _ROOMS if n >= view.step)
    return {"autorangeoptions": {"include": [0, room], "clipmin": 0, "clipmax": room}}


def _revision(view: View) -> str:
    return f"{view.experiment.scenario}:{view.experiment.seed}"


def _divergence(view: View, lane: int) -> str:
    at = int(view.diverged_at[lane * view.experiment.seeds])
    return f", diverged at step {at}" if at >= 0 else ""
