"""The two views on the shared plane: the loss slice and the instability map."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import STYLES, Chart, axis, layout, number, typed
from app.experiment import MEASURES, PLANES, SURFACES
from app.live.view import Maps, View
from probes.instability import InstabilityMap
from probes.maps import CLARKE_MEASURES
from probes.slices import Slice
from sadam.lanes import LANES

MAP_NOTES = {
    "lgi": "Bright is not rough: its mean is 1 on any slope.",
    "asymmetry": "Do forward and backward changes fail to cancel? 0 on a smooth slope, "
    "1 at a smooth minimum too.",
    "variance": "Grows with the slope's square: a steep smooth place is bright as well.",
    "holder": "2 smooth, 1 kink, 0 jump, from three radii on; between many of them in between.",
    "roughness": "Fourth differences over slopes, at σ: 0 where a cubic tells it all.",
    "diameter": "Largest distance of sampled gradients within σ: shrinks with σ where smooth.",
    "stationarity": "Smallest convex combination of sampled gradients within σ.",
}
BARS = {"lgi": "LGI", "holder": "Hölder exponent", "roughness": "roughness, log"}
TOPS = {"asymmetry": 1.0, "holder": 2.0}
WAITING = "Computed at step 100, 200, 400 and so on, or when you press Compute maps."


def _paths(view: View) -> dict[str, dict[str, Any]]:
    """Every lane's path and present place on the plane, cased in the page's colour."""
    traces: dict[str, dict[str, Any]] = {}
    if not len(view.places):
        return traces
    for index, key in enumerate(view.experiment.lanes):
        style, title = STYLES[key], LANES[key].title
        x, y = view.places[:, index].T
        place = {"type": "scatter", "x": typed(x), "y": typed(y), "name": title, "mode": "lines"}
        traces[f"{key}:casing"] = place | {
            "line": {"color": "var(--casing)", "width": 4.5},
            "hoverinfo": "skip",
        }
        traces[f"{key}:path"] = place | {
            "line": {"color": style.color, "width": 2, "dash": style.dash},
            "hoverinfo": "name",
        }
        traces[f"{key}:place"] = {
            "type": "scatter",
            "mode": "markers",
            "name": title,
            "x": typed(x[-1:]),
            "y": typed(y[-1:]),
            "marker": {
                "symbol": style.symbol,
                "size": 11,
                "color": style.color,
                "line": {"color": "var(--casing)", "width": 2},
            },
            "hovertemplate": f"{title}, step {view.step}<extra></extra>",
        }
    return traces


def _axes(maps: Maps, view: View) -> dict[str, Any]:
    a0, a1, b0, b1 = maps.plane.extent
    first, second = _names(maps)
    return layout(
        f"{view.experiment.scenario}:{maps.plane.kind}:{a0:.6g}:{b0:.6g}",
        (36, 62, 4, 34),
        xaxis=axis(first, range=[a0, a1], constrain="domain"),
        yaxis=axis(second, range=[b0, b1]),
    )


def _surface(kind: str, low: float, high: float) -> dict[str, Any]:
    """The part of a slice's trace that depends on how it is shown."""
    if kind == "surface":
        return {"type": "surface", "cmin": low, "cmax": high}
    if kind == "contour":
        size = (high - low) / 20 or 1.0
        contours = {"start": low, "end": high, "size": size, "coloring": "heatmap"}
        return {"type": "contour", "contours": contours, "line": {"width": 0.5}}
    return {"type": "heatmap", "zmin": low, "zmax": high, "zsmooth": False}


def _scene(maps: Maps) -> dict[str, Any]:
    """The layout of a surface in space."""
    first, second = _names(maps)
    look = {"gridcolor": "var(--grid-line)", "color": "var(--ink)"}
    scene = {
        "xaxis": {"title": {"text": first}, **look},
        "yaxis": {"title": {"text": second}, **look},
        "zaxis": {"title": {"text": ""}, **look},
        "aspectmode": "cube",
    }
    return layout(f"scene:{maps.plane.kind}", (0, 40, 0, 0), scene=scene)


def _names(maps: Maps) -> tuple[str, str]:
    return {"coordinates": ("x", "y"), "step": ("updates", "along −gradient, across")}.get(
        maps.plane.kind, ("axis 1", "axis 2")
    )


def _colorbar(title: str, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": title, "side": "right"},
        "thickness": 10,
        "outlinewidth": 0,
        "len": 1.0,
        "x": 1.01,
        "tickfont": {"size": 11},
    } | more


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks that read as losses on a colour axis of their logarithm."""
    places = np.linspace(low, high, 5)
    return {"tickvals": places.tolist(), "ticktext": [number(10.0**p) for p in places]}


def _empty(title: str, note: str, view: View) -> Chart:
    hidden = {"visible": False}
    bare = layout(f"{view.experiment.scenario}:none", (36, 62, 4, 34), xaxis=hidden, yaxis=hidden)
    return {"title": title, "note": note, "traces": {}, "layout": bare, "progress": None}


def _progress(maps: Maps, part: str) -> dict[str, Any] | None:
    return {"text": maps.working, "done": round(maps.done, 2)} if maps.working == part else None


def slice_chart(view: View) -> Chart:
    """The real loss on the plane, with all paths and present places.

    Args:
        view: needs maps for anything to show.

    Returns:
        A chart with the trace "loss" (a heatmap, log10 where all losses are positive) and three
        traces a lane.
    """
    maps = view.maps
    surface = view.experiment.surface == "surface"
    choices = [
        {
            "field": "surface",
            "label": "Slice as",
            "value": view.experiment.surface,
            "options": SURFACES,
        }
    ]
    if maps is None:
        return _empty("Loss slice", WAITING, view) | {"choices": choices}
    traces: dict[str, Any] = {}
    if maps.slice is not None:
        losses = np.asarray(maps.slice.losses, dtype=float)
        finite = losses[np.isfinite(losses)]
        log = finite.size > 0 and float(finite.min()) > 0
        shown = np.log10(np.where(np.isfinite(losses), losses, np.nan)) if log else losses
        low, high = (float(np.nanmin(shown)), float(np.nanmax(shown))) if finite.size else (0, 1)
        traces["loss"] = {
            **_surface(view.experiment.surface, low, high),
            "name": "log10 loss" if log else "loss",
            "x": typed(maps.slice.a),
            "y": typed(maps.slice.b),
            "z": typed(shown),
            "colorscale": "Cividis",
            "hovertemplate": ("log10 loss" if log else "loss") + " %{z:.3g}<extra></extra>",
            "colorbar": _colorbar("loss, log" if log else "loss", **_log_ticks(low, high))
            if log
            else _colorbar("loss"),
        }
    stopped = _stopped(maps, maps.slice)
    return {
        "title": "Loss slice",
        "note": f"{stopped}{_plane_note(maps)} A smooth arc is not calm.",
        "traces": traces if surface else traces | _paths(view),
        "layout": _scene(maps) if surface else _axes(maps, view),
        "progress": _progress(maps, "loss slice"),
        "choices": choices,
        "extent": not surface,
    }


def map_chart(view: View) -> Chart:
    """One measure of instability on the same plane.

    Args:
        view: its experiment names the measure; all measures come from one set of evaluations.

    Returns:
        A chart with the trace "measure" and three traces a lane.
    """
    maps, measure = view.maps, view.experiment.measure
    title = "Instability map"
    if maps is None:
        return _empty(title, WAITING, view)
    traces: dict[str, Any] = {}
    probes = ""
    if maps.map is not None and measure in maps.map.values:
        values = np.asarray(maps.map.values[measure], dtype=float)
        finite = values[np.isfinite(values)]
        low, top = 0.0, TOPS.get(measure) or (float(finite.max()) if finite.size else 1.0)
        bar: dict[str, Any] = {}
        if measure == "lgi":
            top = maps.map.k / (maps.map.k - 1)
        elif measure == "roughness" and finite.size and float(finite.min()) > 0:
            # From smooth to rough it spans ten decades.
            values = np.log10(np.where(values > 0, values, np.nan))
            low, top = float(np.log10(finite.min())), float(np.log10(finite.max()))
            bar = _log_ticks(low, top)
        traces["measure"] = {
            "type": "heatmap",
            "name": measure,
            "x": typed(maps.map.a),
            "y": typed(maps.map.b),
            "z": typed(values),
            "colorscale": "Viridis",
            "zmin": low,
            "zmax": top,
            "zsmooth": False,
            "hovertemplate": f"{measure} %{{z:.3g}}<extra></extra>",
            "colorbar": _colorbar(BARS.get(measure, measure), **bar),
        }
        mean = number(float(finite.mean())) if finite.size else "–"
        probes = f"{_probes(maps.map, measure)}, mean {mean}. {_unresolved(maps.map, measure)}"
        if view.weights and measure in CLARKE_MEASURES:
            probes += "The surrogate's gradients. "
    return {
        "title": title,
        "note": f"{_stopped(maps, maps.map)}{probes}{MAP_NOTES[measure]}{_shared(view)}",
        "traces": traces | _paths(view),
        "layout": _axes(maps, view),
        "progress": _progress(maps, "instability map"),
        "extent": True,
        "choices": [
            {"field": "measure", "label": "Measure", "value": measure, "options": MEASURES}
        ],
    }


def _probes(measured: InstabilityMap, measure: str) -> str:
    if measure in CLARKE_MEASURES:
        return f"{measured.k} gradients within {measured.sigma:g}"
    exact = ", float64" if measure in ("holder", "roughness") else ""
    return f"k {measured.k}, σ {measured.sigma:g}{exact}"


def _shared(view: View) -> str:
    """What one draw of directions for all points does to the paper's measure."""
    if view.experiment.measure != "lgi" or view.experiment.map_draws == "fresh":
        return ""
    return " All points share one draw of directions: on a slope the level is that draw's."


def _unresolved(measured: InstabilityMap, measure: str) -> str:
    """Says which share has no value because rounding could explain all of it."""
    share = measured.unresolved(measure)
    return f"Not resolved at {share:.0%} (blank): try a larger σ. " if share else ""


def _stopped(maps: Maps, part: Slice | InstabilityMap | None) -> str:
    """Says that a view was cancelled before it was complete."""
    if maps.working or (part is not None and part.done >= 1):
        return ""
    return "Cancelled before it began. " if part is None else f"Cancelled at {part.done:.0%}. "


def _plane_note(maps: Maps) -> str:
    name = PLANES.get(maps.plane.kind, "The function's own two coordinates")
    if maps.fidelity is None:
        return f"{name}, step {maps.step}."
    return (
        f"{name}, step {maps.step}: {maps.fidelity.variance_share:.0%} of their variance, "
        f"loss off by {number(maps.fidelity.median_loss_error)} (median), paths up to "
        f"{number(maps.fidelity.largest_distance)} off."
    )
