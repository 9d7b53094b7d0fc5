"""The charts of a checkpoint's report, as far as it goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from app.charts.curves import Board, k_chart, radius_chart
from app.charts.report_planes import between_plane_chart, map_charts, slice_chart
from app.charts.sampling import damping_chart, histogram_chart
from app.charts.spec import Chart, axis, label, layout, line, log_ticks, number, typed
from app.report.findings import Between, LayerReading, NextStep, Report
from app.setup import SAMPLED

MEASURED, SECOND = "var(--measured)", "var(--law)"
#: Colours and dashes that tell layers apart; more layers take them in turn.
LAYER_COLORS = (
    "var(--lane-adamw)",
    "var(--lane-sadam)",
    "var(--lane-smaller)",
    "var(--lane-swapped)",
    "var(--lane-random-law)",
    "var(--lane-prox)",
    "var(--lane-cosine)",
    "var(--lane-rmsprop)",
)
DASHES = ("solid", "dash", "dot")
#: From below a jump, which overshoots 0, to above smooth.
HOLDER = [-0.5, 2.5]


def report_charts(report: Report) -> dict[str, Chart]:
    """Every chart by its name, in reading order.

    Args:
        report: as far as it goes; charts of what is not measured yet are left out.

    Returns:
        name -> chart with "order", and "span" of twelve columns and "height" in pixels.
    """
    readings, charts = report.readings, {}
    if report.step is not None:
        charts["ahead"] = _sized(ahead_chart(report.step, report.subject.surrogate), 12, 240)
    if report.layers:
        charts["layers"] = _sized(layers_chart(report.layers), 6, 300)
        charts["layer-radius"] = _sized(layer_radius_chart(report.layers), 6, 300)
    if report.slice is not None:
        charts["slice"] = _sized(slice_chart(report.slice), 3, 300)
    if report.map is not None:
        charts |= {n: _sized(c, 3, 300) for n, c in map_charts(report.map).items()}
    if readings.radii is not None:
        charts["radius"] = _sized(radius_chart(readings), 12, 340)
    if readings.draws is not None:
        charts["byk"] = _sized(k_chart(readings), 12, 340)
        for name in SAMPLED:
            shown = replace(readings, setup=readings.setup.change(shown=name))
            charts[f"draws-{name}"] = _sized(_titled(histogram_chart(shown), name), 4, 230)
        charts["damping"] = _sized(damping_chart(readings), 4, 230)
    if report.between is not None:
        charts["between"] = _sized(between_chart(report.between), 8, 320)
        if report.between.plane is not None:
            charts["between-plane"] = _sized(between_plane_chart(report.between.plane), 4, 320)
    return charts


def _sized(chart: Chart, span: int, height: int) -> Chart:
    kept = {name: chart[name] for name in ("title", "note", "traces", "layout")}
    return kept | {"order": list(chart["traces"]), "span": span, "height": height}


def _titled(chart: Chart, name: str) -> Chart:
    return chart | {"title": f"Scatter of draws: {SAMPLED[name]}"}


def ahead_chart(step: NextStep, surrogate: bool) -> Chart:
    """Change of the real loss along Adam's next step, and what the gradient promises.

    Args:
        step: as far as its line is evaluated.
        surrogate: whether the gradient is a straight-through one.

    Returns:
        A chart with the traces "promise", "loss", "now", "after" and "damped".
    """
    found, ends = step.line, np.array([step.line.s[0], step.line.s[-1]])
    at = float(np.interp(step.damping, found.s, found.losses)) - found.now
    traces = {
        "promise": line(
            "promised",
            typed(ends),
            typed(ends * found.promised),
            "var(--ink)",
            width=1.2,
            dash="dash",
            hoverinfo="skip",
        ),
        "loss": line(
            "loss",
            typed(found.s, "f8"),
            typed(found.losses - found.now, "f8"),
            MEASURED,
            width=1.8,
            hovertemplate="%{x:.2f} steps: %{y:.3g}",
        ),
        "now": _dot("circle", 0.0, 0.0, "var(--ink)", "now"),
        "after": _dot("diamond", 1.0, found.got, MEASURED, "after Adam's step"),
        "damped": _dot("square", step.damping, at, SECOND, "after S-Adam's damped step"),
    }
    shade = {"fillcolor": "var(--step-shade)", "line": {"width": 0}, "layer": "below"}
    place = {"xref": "x", "yref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 1}
    who = "surrogate" if surrogate else "gradient"
    return {
        "title": f"One step ahead: promised {number(found.promised)}, got {number(found.got)}",
        "note": f"solid: real loss along Adam's next step of length {number(step.length)} · "
        f"dashed: what the {who} promises · ● now ◆ after ■ damped by S-Adam · across: lengths of "
        "that step",
        "traces": traces,
        "layout": layout(
            "ahead",
            (76, 8, 6, 26),
            xaxis=axis(range=[-2, 3], dtick=1),
            yaxis=axis("change of loss"),
            shapes=[{"type": "rect"} | place | shade],
        ),
    }


def layers_chart(layers: tuple[LayerReading, ...]) -> Chart:
    """Every instrument layer by layer: the mean of its draws and their middle 80%.

    Layers are numbered, and the table beside tells their names: a name comes out of a file.

    Returns:
        A chart with the traces "fourth", "lgi", "variance", "asymmetry", "holder", "roughness",
        and ":low" and ":high" of each but the first.
    """
    numbers = np.arange(1.0, len(layers) + 1)
    board = Board("layers", rows=2, columns=3)
    x = {"dtick": max(1, len(layers) // 6), "range": [0.5, len(layers) + 0.5]}
    fourth = np.array([layer.rough for layer in layers])
    board.begin("|Δ⁴| at σ", x, _log(fourth), lowest=False)
    points = {"mode": "markers", "marker": {"size": 8, "color": MEASURED}}
    board.line("fourth", numbers, fourth, MEASURED, **points)
    for index, (name, title) in enumerate(SAMPLED.items()):
        means = np.array([layer.mean(name) for layer in layers])
        ends = np.array([layer.middle(name) for layer in layers])
        fixed = {
            "lgi": {"range": [0, 2.05]},
            "asymmetry": {"range": [0, 1.05]},
            "holder": {"range": HOLDER},
        }
        y = _log(ends) if name in ("variance", "roughness") else fixed.get(name, {})
        board.begin(title, x, y, lowest=index >= 2)
        bars = _bars(numbers, ends)
        board.line(f"{name}:range", *bars, MEASURED, width=1.4, hoverinfo="skip")
        board.line(name, numbers, means, MEASURED, **points)
    return {
        "title": "Layer by layer",
        "note": "directions that are zero outside of one layer · ● mean of draws, bar: middle "
        "80% · across: the table's numbers",
        "traces": board.traces,
        "layout": board.layout,
    }


def _bars(x: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertical bars as one line with gaps."""
    gap = np.full(len(x), np.nan)
    return np.repeat(x, 3), np.stack((ends[:, 0], ends[:, 1], gap), axis=1).reshape(-1)


def layer_radius_chart(layers: tuple[LayerReading, ...]) -> Chart:
    """Fourth differences, roughness and Hölder exponent of every layer against the radius.

    Returns:
        A chart with the traces "fourth-i", "roughness-i" and "holder-i" of layer number i.
    """
    radii = layers[0].radii
    board = Board("layer-radius", rows=1, columns=3)
    x = _log(radii)
    curves = {
        "fourth": ("|Δ⁴|", radii, [layer.fourth for layer in layers]),
        "roughness": ("Roughness", radii, [layer.roughness for layer in layers]),
        "holder": (
            "Hölder exponent",
            np.sqrt(radii[1:] * radii[:-1]),
            [layer.holder for layer in layers],
        ),
    }
    for name, (title, at, values) in curves.items():
        y = {"range": HOLDER} if name == "holder" else _log(np.array(values))
        board.begin(title, x, y, lowest=True)
        for number_, row in enumerate(values, 1):
            look = {"dash": DASHES[(number_ - 1) // len(LAYER_COLORS) % len(DASHES)]}
            color = LAYER_COLORS[(number_ - 1) % len(LAYER_COLORS)]
            hover = f"layer {number_}: %{{y:.3g}}<extra></extra>"
            board.line(f"{name}-{number_}", at, row, color, hovertemplate=hover, **look)
    shown = list(enumerate(layers, 1))[: len(LAYER_COLORS)]
    board.layout["annotations"] += [
        label(
            str(i),
            LAYER_COLORS[i - 1],
            xref="paper",
            yref="paper",
            x=0.30 - 0.03 * (len(shown) - i),
            y=1,
            yanchor="bottom",
        )
        for i, _ in shown
    ]
    return {
        "title": "Layers against the radius",
        "note": "|Δ⁴| grows as r⁴ where smooth, as r² to r^1.5 among kinks, slower among "
        "jumps · colours: the layer's number",
        "traces": board.traces,
        "layout": board.layout,
    }


def between_chart(found: Between) -> Chart:
    """Loss, accuracy and roughness along the straight line between two checkpoints.

    Returns:
        A chart with the traces "loss", "accuracy" and "roughness".
    """
    board = Board("between", rows=1, columns=3)
    x = {"range": [-0.03, 1.03], "dtick": 0.5}
    board.begin("Loss", x, {"rangemode": "tozero"}, lowest=True)
    board.line("loss", found.t, found.loss, MEASURED, width=1.8)
    board.begin("Share right", x, {"tickformat": ".0%"}, lowest=True)
    board.line("accuracy", found.t, found.accuracy, MEASURED, width=1.8)
    board.begin("Roughness", x, _log(found.roughness), lowest=True)
    points = {"mode": "lines+markers", "marker": {"size": 5, "color": MEASURED}}
    board.line("roughness", found.rough_t, found.roughness, MEASURED, **points)
    return {
        "title": "The way to the second file",
        "note": f"straight line, 0: the first, 1: the second, {number(found.distance)} apart · the "
        f"loss lies up to {number(found.barrier)} above the chord of its ends",
        "traces": board.traces,
        "layout": board.layout,
    }


def _dot(symbol: str, x: float, y: float, color: str, name: str) -> dict[str, Any]:
    look = {
        "symbol": symbol,
        "size": 9,
        "color": color,
        "line": {"color": "var(--ink)", "width": 1},
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x],
        "y": [y],
        "marker": look,
        "hovertemplate": f"{name}: %{{y:.3g}}<extra></extra>",
    }


def _log(values: np.ndarray) -> dict[str, Any]:
    """A logarithmic axis around what is positive."""
    known = values[np.isfinite(values) & (values > 0)]
    if not known.size:
        return {"type": "log", "range": [-3, 0], "tickvals": []}
    low, high = float(np.log10(known.min())), float(np.log10(known.max()))
    room = 0.06 * (high - low) or 0.3
    return {"type": "log"} | log_ticks(known) | {"range": [low - room, high + room]}
