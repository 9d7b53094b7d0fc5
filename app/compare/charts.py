"""The charts of a comparison: loss over steps, every seed's end, differences, and tuning."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import (
    STYLES,
    Chart,
    axis,
    band_traces,
    layout,
    line,
    log_ticks,
    thinned,
    typed,
)
from app.compare.comparison import Result
from app.compare.tables import difference, figure_of
from app.compare.tuning import rate
from probes.statistics import band
from sadam.lanes import LANES

LEGEND = {
    "showlegend": True,
    "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
}


def charts(result: Result) -> dict[str, Chart]:
    """Every chart by its name, in reading order, as the report's script draws it."""
    made = {
        "differences": _sized(difference_chart(result), 6, 300),
        "ends": _sized(ends_chart(result), 6, 300),
        "loss": _sized(loss_chart(result), 12, 360),
    }
    if result.tuned is not None:
        made["tuning"] = _sized(tuning_chart(result), 12, 360)
    return made


def loss_chart(result: Result) -> Chart:
    """The probe set's loss over steps: median over seeds and the middle 80% of them."""
    losses, traces = result.history["probe_loss"], {}
    for lane, key in enumerate(result.plan.experiment.lanes):
        style, title = STYLES[key], LANES[key].title
        median, low, high = band(losses[:, lane])
        if losses.shape[2] > 1:
            edges = band_traces(key, title, result.steps, low, high, style.color)
            traces |= {name: trace | {"showlegend": False} for name, trace in edges.items()}
        x, y = thinned(result.steps, median)
        traces[key] = line(title, x, y, style.color, dash=style.dash)
    positive = losses[np.isfinite(losses) & (losses > 0)]
    scale: dict[str, Any] = {}
    if positive.size == np.isfinite(losses).sum() > 0 and positive.max() > 10 * positive.min():
        scale = {"type": "log"} | log_ticks(positive)
    return {
        "title": "Loss on the probe set",
        "note": "line: median over seeds · band: the middle 80% of them · each lane at its rate",
        "traces": traces,
        "layout": layout(
            "loss",
            (64, 8, 30, 36),
            xaxis=axis("step"),
            yaxis=axis("loss", **scale),
            hovermode="x unified",
            **LEGEND,
        ),
    }


def ends_chart(result: Result) -> Chart:
    """Every seed's figure at the end, a row a lane."""
    name, title, scale = figure_of(result)
    lanes = result.plan.experiment.lanes
    traces = {
        key: {
            "type": "scatter",
            "mode": "markers",
            "name": LANES[key].title,
            "x": typed(result.runs[name][lane] * scale, "f8"),
            "y": [LANES[key].title] * result.plan.experiment.seeds,
            "marker": {"color": STYLES[key].color, "symbol": STYLES[key].symbol, "size": 8},
        }
        for lane, key in enumerate(lanes)
    }
    return {
        "title": f"{title}: every seed",
        "note": "at the last step",
        "traces": traces,
        "layout": layout("ends", (140, 12, 6, 36), xaxis=axis(title), yaxis=_lane_axis(result)),
    }


def difference_chart(result: Result) -> Chart:
    """The paired difference of every lane to the reference, with its 90% interval."""
    name, title, scale = figure_of(result)
    experiment, traces = result.plan.experiment, {}
    for lane, key in enumerate(experiment.lanes):
        found = difference(result, name, lane, scale)
        ends = {"type": "data", "symmetric": False, "color": STYLES[key].color}
        if found.method != "none":
            ends |= {
                "array": typed(np.array([found.high - found.value]), "f8"),
                "arrayminus": typed(np.array([found.value - found.low]), "f8"),
            }
        traces[key] = {
            "type": "scatter",
            "mode": "markers",
            "name": LANES[key].title,
            "x": typed(np.array([found.value]), "f8"),
            "y": [LANES[key].title],
            "error_x": ends,
            "marker": {"color": STYLES[key].color, "symbol": STYLES[key].symbol, "size": 9},
        }
    zero = {"type": "line", "xref": "x", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1}
    return {
        "title": f"{title}: difference to {LANES[experiment.reference].title}",
        "note": "mean over seeds of the paired difference, with its 90% interval",
        "traces": traces,
        "layout": layout(
            "differences",
            (140, 12, 6, 36),
            xaxis=axis(),
            yaxis=_lane_axis(result),
            shapes=[zero | {"line": {"color": "var(--axis-line)", "width": 1}, "layer": "below"}],
        ),
    }


def tuning_chart(result: Result) -> Chart:
    """How every lane did at every rate that was tried, mean over the seeds."""
    assert result.tuned is not None
    name, _, scale = figure_of(result)
    traces = {}
    for key, tried in result.tuned.scores.items():
        places = sorted(tried)
        values = [
            float((tried[p].accuracy if name == "accuracy" else tried[p].loss).mean()) * scale
            for p in places
        ]
        traces[key] = line(
            LANES[key].title,
            typed(np.array([rate(place) for place in places]), "f8"),
            typed(np.array(values), "f8"),
            STYLES[key].color,
            dash=STYLES[key].dash,
            mode="lines+markers",
            marker={"symbol": STYLES[key].symbol, "size": 6},
        )
    tried = np.array([rate(place) for some in result.tuned.scores.values() for place in some])
    scored = "validation accuracy, %" if name == "accuracy" else "loss"
    return {
        "title": "Tuning: what every learning rate gave",
        "note": "mean over the seeds, on samples that were not trained on and are no test samples",
        "traces": traces,
        "layout": layout(
            "tuning",
            (64, 8, 30, 36),
            xaxis=axis("learning rate", type="log", **log_ticks(tried)),
            yaxis=axis(scored),
            **LEGEND,
        ),
    }


def _lane_axis(result: Result) -> dict[str, Any]:
    """Lanes from the top, in their order."""
    titles = [LANES[key].title for key in result.plan.experiment.lanes]
    return axis(type="category", categoryorder="array", categoryarray=titles[::-1])


def _sized(chart: Chart, span: int, height: int) -> Chart:
    return chart | {"order": list(chart["traces"]), "span": span, "height": height}
