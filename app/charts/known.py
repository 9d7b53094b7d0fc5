"""The function on its plane, and the point that is measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import Chart, axis, layout, number, typed
from app.live.readings import Readings
from app.setup import Setup


def function_chart(readings: Readings) -> Chart:
    """The function as a slice of its plane.

    Args:
        readings: needs `slice` for anything to show.

    Returns:
        A chart with the trace "value", a heatmap with contours, of log10 for a network.
    """
    setup, part = readings.setup, readings.slice
    x0, x1, y0, y1 = setup.extent
    names = ("axis 1", "axis 2") if setup.known is None else ("x", "y")
    traces: dict[str, Any] = {}
    if part is not None:
        z = np.where(np.isfinite(part.losses), part.losses, np.nan)
        traces["value"] = {
            "type": "contour",
            "x": typed(part.a),
            "y": typed(part.b),
            "z": typed(z),
            "colorscale": "Cividis",
            "ncontours": 18,
            "contours": {"coloring": "heatmap"},
            "line": {"width": 0.5, "color": "rgba(255,255,255,0.35)"},
            "connectgaps": False,
            "hovertemplate": "f %{z:.3g}<extra></extra>",
            "colorbar": {
                "thickness": 10,
                "outlinewidth": 0,
                "len": 1.0,
                "x": 1.01,
                "tickfont": {"size": 11},
                "nticks": 6,
            },
        }
    return {
        "title": "Function",
        "note": _note(readings),
        "traces": traces,
        "layout": layout(
            f"function:{setup.function}:{setup.size}:{setup.seed}",
            (36, 52, 4, 34),
            dragmode=False,
            hovermode=False,
            xaxis=axis(names[0], range=[x0, x1], fixedrange=True),
            yaxis=axis(names[1], range=[y0, y1], fixedrange=True),
        ),
    }


def point_part(setup: Setup, moves: int) -> dict[str, Any]:
    """Where the handle of the point stands, how far it may go, and the last move answered."""
    return {"x": setup.x, "y": setup.y, "extent": list(setup.extent), "n": moves}


def _note(readings: Readings) -> str:
    setup = readings.setup
    if setup.known is None:
        return "loss on 512 images · drag the point"
    shape = "" if setup.size == 2 else ", at (x, y, x, y, …)"
    return f"{setup.known.formula}{shape} · drag the point"


def point_words(setup: Setup) -> str:
    """The point in words: its place, or its coordinates."""
    at = f"({number(setup.x)}, {number(setup.y)})"
    return f"{setup.place}, {at}" if setup.place else f"at {at}"
