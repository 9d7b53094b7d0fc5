"""The planes of a checkpoint's report: loss and instruments around the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import Chart, axis, label, layout, number, typed
from probes.instability import InstabilityMap
from probes.slices import Slice

MAPS = {
    "lgi": ("LGI", "bright is not rough: its mean is 1 on any slope"),
    "asymmetry": ("Asymmetry", "0 on a smooth slope, 1 at a smooth minimum too"),
    "roughness": ("Roughness, log", "fourth differences over slopes; blank: not resolved"),
}


def slice_chart(part: Slice) -> Chart:
    """The loss around the weights, on a random filter-normalised plane.

    Returns:
        A chart with the traces "loss" (log10 where all losses are positive) and "weights".
    """
    heat = _heat(part.a, part.b, part.losses, "Cividis", log=bool(np.nanmin(part.losses) > 0))
    return {
        "title": "Loss slice",
        "note": "random filter-normalised plane, 1: as far as the weights are long · ✕ the weights",
        "traces": {"loss": heat, "weights": _mark(0.0, 0.0)},
        "layout": _square("slice", "axis 1", "axis 2"),
    }


def map_charts(found: InstabilityMap) -> dict[str, Chart]:
    """Three instruments on the same plane, by "map-lgi", "map-asymmetry" and "map-roughness".

    Returns:
        Charts with the traces "measure" and "weights".
    """
    charts = {}
    for name, (title, note) in MAPS.items():
        log = name == "roughness"
        top = {"lgi": found.k / (found.k - 1), "asymmetry": 1.0}.get(name)
        heat = _heat(found.a, found.b, found.values[name], "Viridis", log=log, top=top)
        known = found.values[name][np.isfinite(found.values[name])]
        mean = number(float(known.mean())) if known.size else "–"
        charts[f"map-{name}"] = {
            "title": title,
            "note": f"k {found.k}, σ {found.sigma:g}, mean {mean} · {note}",
            "traces": {"measure": heat, "weights": _mark(0.0, 0.0)},
            "layout": _square(f"map-{name}", "axis 1", "axis 2"),
        }
    return charts


def between_plane_chart(part: Slice) -> Chart:
    """The plane through two checkpoints and the first one's gradient.

    Returns:
        A chart with the traces "loss", "first" and "second".
    """
    heat = _heat(part.a, part.b, part.losses, "Cividis", log=bool(np.nanmin(part.losses) > 0))
    spec = _square("between-plane", "first to second", "along −gradient, across")
    spec["xaxis"]["range"], spec["yaxis"]["range"] = [-0.5, 1.5], [-1.0, 1.0]
    spec["annotations"] = [
        label(text, "var(--casing)", x=x, y=0.06, xanchor="center", yanchor="bottom")
        for text, x in (("first", 0.0), ("second", 1.0))
    ]
    return {
        "title": "The plane of both",
        "note": "through both files and the first one's gradient, a unit as long both ways",
        "traces": {"loss": heat, "first": _mark(0.0, 0.0), "second": _mark(1.0, 0.0)},
        "layout": spec,
    }


def _heat(
    a: np.ndarray,
    b: np.ndarray,
    values: np.ndarray,
    scale: str,
    *,
    log: bool,
    top: float | None = None,
) -> dict[str, Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.log10(values) if log else np.asarray(values, dtype=float)
    shown = np.where(np.isfinite(shown), shown, np.nan)
    known = shown[np.isfinite(shown)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    bar: dict[str, Any] = {"thickness": 8, "outlinewidth": 0, "x": 1.01, "tickfont": {"size": 11}}
    if log:
        ticks = np.linspace(low, high, 5)
        bar |= {"tickvals": ticks.tolist(), "ticktext": [number(10.0**tick) for tick in ticks]}
    elif top is not None:
        low, high = 0.0, top
    return {
        "type": "heatmap",
        "x": typed(a),
        "y": typed(b),
        "z": typed(shown),
        "colorscale": scale,
        "zmin": low,
        "zmax": high if high > low else low + 1.0,
        "zsmooth": False,
        "hovertemplate": ("log10 " if log else "") + "%{z:.3g}<extra></extra>",
        "colorbar": bar,
    }


def _mark(x: float, y: float) -> dict[str, Any]:
    look = {"symbol": "x", "size": 9, "color": "#ffffff", "line": {"color": "#1f2328", "width": 1}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x],
        "y": [y],
        "marker": look,
        "hoverinfo": "skip",
    }


def _square(revision: str, across: str, up: str) -> dict[str, Any]:
    return layout(
        revision,
        (36, 62, 4, 34),
        xaxis=axis(across, range=[-1.0, 1.0], constrain="domain"),
        yaxis=axis(up, range=[-1.0, 1.0]),
    )
