"""Small pieces that every chart is made of: typed arrays, decimation, one look."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.live.view import View

#: What a chart function returns: title, note, layout and named traces, all plain JSON; "across"
#: where the horizontal axis has no title.
Chart = dict[str, Any]

#: Ends of the step axis: each about a third more than the last.
_ROOMS = [int(n * 10**e) for e in range(2, 7) for n in (1, 1.5, 2, 3, 4, 6, 8)]

#: Points of a line on the wire: two a bucket, a bucket for about four pixels of a wide strip.
LINE_POINTS = 300
#: Points of each edge of a band over seeds.
BAND_POINTS = 120


@dataclass(frozen=True)
class Style:
    """How an optimizer looks, the same in every view.

    Args:
        color: a CSS variable of grid.css, so that light and dark each have their own.
        dash: plotly's name of a dash.
        symbol: plotly's name of a marker.
        glyph: the same marker in text.
    """

    color: str
    dash: str
    symbol: str
    glyph: str


# Okabe and Ito's colours, darkened or lightened until they read as text; the lanes beyond eight
# take shades of them. All are told apart without colour by dash and marker as well.
STYLES = {
    "adamw": Style("var(--lane-adamw)", "solid", "circle", "●"),
    "sadam": Style("var(--lane-sadam)", "solid", "square", "■"),
    "smaller": Style("var(--lane-smaller)", "dash", "triangle-up", "▲"),
    "swapped": Style("var(--lane-swapped)", "dot", "star", "★"),
    "random-law": Style("var(--lane-random-law)", "dashdot", "hexagon", "⬢"),
    "asymmetry": Style("var(--lane-asymmetry)", "longdash", "pentagon", "⬟"),
    "cosine": Style("var(--lane-cosine)", "longdash", "diamond", "◆"),
    "prox": Style("var(--lane-prox)", "dash", "triangle-down", "▼"),
    "rmsprop": Style("var(--lane-rmsprop)", "dot", "cross", "✚"),
    "sgd": Style("var(--lane-sgd)", "dashdot", "x", "✖"),
}


def typed(values: np.ndarray, dtype: str = "f4") -> dict[str, str]:
    """An array in plotly's typed form: base64 of its bytes, nan and all.

    Args:
        values: any shape; a matrix carries its shape along.
        dtype: plotly's name of the element type, e.g. "f4", "u2", "i4".

    Returns:
        A plain dict that plotly.js decodes by itself.
    """
    array = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    spec = {"dtype": dtype, "bdata": base64.b64encode(array.tobytes()).decode("ascii")}
    if array.ndim > 1:
        spec["shape"] = ",".join(str(n) for n in array.shape)
    return spec


def typed_steps(steps: np.ndarray) -> dict[str, str]:
    """Step numbers in the smallest integer type that holds them."""
    return typed(steps, "u2" if not len(steps) or steps[-1] < 2**16 else "i4")


def decimate(
    x: np.ndarray, y: np.ndarray, points: int = LINE_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Thin a line without losing a peak: both ends, the lowest and the highest of each bucket.

    Args:
        x: (T,) places.
        y: (T,) values; nan is no candidate unless a bucket has nothing else.
        points: values kept at most besides the ends; 0 for a line that is straight.

    Returns:
        x and y of at most `points` + 2 values, in order.
    """
    if len(y) <= points + 2:
        return x, y
    edges = np.linspace(0, len(y), points // 2 + 1).astype(int)
    starts, stops = edges[:-1, None], edges[1:, None]
    # All buckets at once, a row each: a shorter one repeats its last place.
    places = np.minimum(starts + np.arange((stops - starts).max(initial=1)), stops - 1)
    low = np.where(np.isnan(y), np.inf, y)[places].argmin(axis=1)
    high = np.where(np.isnan(y), -np.inf, y)[places].argmax(axis=1)
    peaks = edges[:-1] + np.stack((low, high))
    rows = np.union1d(peaks, (0, len(y) - 1))
    return x[rows], y[rows]


def rolling_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last `width` finite values at each place (fewer at the start); (T,) -> (T,)."""
    finite = np.isfinite(values)
    total = np.cumsum(np.where(finite, values, 0.0))
    count = np.cumsum(finite)
    total[width:] = total[width:] - total[:-width].copy()
    count[width:] = count[width:] - count[:-width].copy()
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def stack(count: int, gap: float = 0.08) -> list[list[float]]:
    """Vertical domains of `count` strips, the first one on top."""
    height = (1 - gap * (count - 1)) / count
    bottoms = [1 - (i + 1) * height - i * gap for i in range(count)]
    return [[max(0.0, bottom), min(1.0, bottom + height)] for bottom in bottoms]


def cells(count: int) -> list[tuple[list[float], list[float], bool]]:
    """Where `count` strips stand: up to four below each other, more in two columns.

    Returns:
        For each its horizontal and vertical domain, and whether it is the lowest of its column.
    """
    columns = 1 if count <= 4 else 2
    rows = -(-count // columns)
    domains = stack(rows, gap=0.14)
    across = [[0.0, 1.0]] if columns == 1 else [[0.0, 0.475], [0.525, 1.0]]
    return [
        (across[i // rows], domains[i % rows], i % rows == rows - 1 or i == count - 1)
        for i in range(count)
    ]


def step_axis(view: View) -> dict[str, Any]:
    """From 0 to the present, with room so that the axis moves seldom.

    Not a fixed range: plotly gives up a person's zoom when that changes.
    """
    room = next(n for n in _ROOMS if n >= view.last)
    return {"autorangeoptions": {"include": [0, room], "clipmin": 0, "clipmax": room}}


def thinned(
    steps: np.ndarray, values: np.ndarray, points: int = LINE_POINTS, *, sparse: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """Steps and values of a line as they go over the wire, see `decimate`.

    Args:
        steps: (T,).
        values: (T,).
        points: kept at most.
        sparse: few steps have a value, and the line goes from one to the next.
    """
    if sparse:
        known = np.isfinite(values)
        steps, values = steps[known], values[known]
    x, y = decimate(steps, values, points)
    return typed_steps(x), typed(y)


def band_traces(
    key: str, title: str, steps: np.ndarray, low: np.ndarray, high: np.ndarray, color: str
) -> dict[str, dict[str, Any]]:
    """The shaded band between two lines, as the traces "key:low" and "key:high"."""
    edge = {"width": 0.0, "opacity": 0.35, "hoverinfo": "skip"}
    parts = {}
    for name, values, more in (("low", low, {}), ("high", high, {"fill": "tonexty"})):
        x, y = thinned(steps, values, BAND_POINTS)
        parts[f"{key}:{name}"] = line(title, x, y, color, **edge, **more)
    return parts


def revision(view: View) -> str:
    """Zoom survives as long as this stays the same."""
    experiment = view.experiment
    return f"{experiment.scenario}:{experiment.bits}:{experiment.seed}"


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """The one look of an axis."""
    return {
        "title": {"text": title, "standoff": 4},
        "gridcolor": "var(--grid-line)",
        "linecolor": "var(--axis-line)",
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 3,
        "tickcolor": "var(--axis-line)",
        "automargin": False,
        "exponentformat": "power",
        "fixedrange": False,
    } | more


def log_ticks(values: np.ndarray, most: int = 5) -> dict[str, Any]:
    """A few ticks of a logarithmic axis, whatever its span.

    Args:
        values: what is drawn, any shape; positive.
        most: ticks at most, 2 or more; a low chart has room for two.

    Returns:
        Decades on a wide axis, 1 and 3 of each on a middling one, the ends on a narrow one;
        and room around values that are all alike.
    """
    low, high = (float(v) for v in np.log10([values.min(), values.max()]))
    if high - low < 0.05:
        middle = 10 ** ((low + high) / 2)
        room = {"range": [low - 0.2, high + 0.2]}
        return {"tickvals": [middle], "ticktext": [number(middle)]} | room
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for digits in ((1,), (1, 3)):
        round_ones = (float(f"{digit}e{decade}") for decade in decades for digit in digits)
        places = [place for place in round_ones if low <= np.log10(place) <= high]
        if len(places) >= 3:
            break
    if len(places) < 2:
        places = [10**low, 10**high]
        return {"tickvals": places, "ticktext": [number(place) for place in places]}
    few = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
    places = [places[i] for i in few]
    return {"tickvals": places, "ticktext": [f"{place:g}" for place in places]}


def layout(revision: str, margin: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    """The one look of a chart.

    Args:
        revision: zoom survives as long as this stays the same.
        margin: left, right, top, bottom in pixels, fixed so that nothing moves.
    """
    left, right, top, bottom = margin
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--font)", "size": 12, "color": "var(--ink)"},
        "margin": {"l": left, "r": right, "t": top, "b": bottom},
        "showlegend": False,
        "hovermode": "closest",
        "uirevision": revision,
    } | more


def line(name: str, x: Any, y: Any, color: str, **more: Any) -> dict[str, Any]:
    """An SVG line; `more` overrides the trace's fields."""
    style = {"color": color, "width": more.pop("width", 1.6), "dash": more.pop("dash", "solid")}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": style} | more


def label(text: str, color: str, **place: Any) -> dict[str, Any]:
    """A direct label in place of a legend."""
    return {
        "text": f"<b>{text}</b>",
        "font": {"color": color, "size": 12},
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "top",
    } | place


def strip_label(text: str, color: str, across: list[float], up: list[float]) -> dict[str, Any]:
    """A direct label above the right end of a strip.

    Args:
        text: usually the optimizer's name and a figure.
        color: of the strip's line.
        across: where the strip begins and ends, as shares of the chart's width.
        up: the same of its height.
    """
    place = {"x": across[1], "y": up[1], "xanchor": "right", "yanchor": "bottom"}
    return label(text, color, xref="paper", yref="paper", **place)


def number(value: float | None, unit: str = "") -> str:
    """Three significant digits with the unit, or a dash where there is nothing to state."""
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0:
        return f"0{unit}"
    size = float(f"{abs(value):.2e}")  # 9.996 has as many digits as 10.0
    if 1e-3 <= size < 1e5:
        digits = max(0, 2 - int(np.floor(np.log10(size))))
        text = f"{value:,.{digits}f}"
    else:
        text = f"{value:.2e}"
    return f"{text.replace('-', '−')}{unit}"
