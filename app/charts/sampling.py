"""How an instrument scatters from draw to draw, and LGI's law on a slope over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import beta

from app.charts.answers import true_value
from app.charts.spec import Chart, axis, label, layout, line, number, typed
from app.live.readings import Here, Readings
from app.setup import SAMPLED, Setup
from probes.instability import mean_damping_on_slope

MEASURED, TRUE, LAW = "var(--measured)", "var(--true)", "var(--law)"
#: Bars of a histogram, and points of the law's line.
BARS, LAW_POINTS = 40, 201
#: Parameters from which the law of many is a good one.
MANY = 40


def lgi_law(k: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The share of LGI between two values on a slope, for many parameters.

    rho ~ k/(k-1) Beta((k-1)/2, 1/2), as the D_i are independent and normal there.

    Args:
        k: number of directions, at least 2.
        low, high: (N,) the ends.
    """
    top = k / (k - 1)
    law = beta((k - 1) / 2, 0.5)
    return np.asarray(law.cdf(np.clip(high / top, 0, 1)) - law.cdf(np.clip(low / top, 0, 1)))


def damping_law(k: int, strength: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The share of exp(-strength rho) between two values in (0, 1], for rho of `lgi_law`."""
    if strength == 0:
        return ((low <= 1) & (high >= 1)).astype(float)
    with np.errstate(divide="ignore"):
        return lgi_law(k, -np.log(np.minimum(high, 1)) / strength, -np.log(low) / strength)


def histogram_chart(readings: Readings) -> Chart:
    """The chosen instrument over many independent draws of k directions.

    Args:
        readings: needs `draws` for anything to show.

    Returns:
        A chart with the trace "draws" (bars, shares that sum to 1 over what is resolved), and for
        LGI "law", the share that the law on a slope gives a bar centred there.
    """
    setup, here, draws = readings.setup, readings.here, readings.draws
    name = setup.shown
    chart: Chart = {
        "title": "Scatter of draws",
        "note": "",
        "stale": readings.stale(draws),
        "choices": [
            {"field": "shown", "label": "Distribution of", "value": name, "options": SAMPLED}
        ],
    }
    if here is None or draws is None:
        return chart | _bare()
    values = draws.values[name]
    known = values[np.isfinite(values)]
    lost = 1 - known.size / max(1, values.size)
    note = f"{draws.count:,} draws, k {draws.setup.k}. "
    note += f"{lost:.0%} not resolved. " if lost else ""
    chart["note"] = note + (_law_note(here) if name == "lgi" else "")
    if not known.size:
        return chart | _bare()
    top = draws.setup.k / (draws.setup.k - 1) if name == "lgi" else None
    edges = _edges(known, 0.0 if top else None, top)
    traces = {"draws": _bars(known, edges)}
    if name == "lgi" and top:
        width = edges[1] - edges[0]
        x = np.linspace(width / 2, top - width / 2, LAW_POINTS)
        law = lgi_law(draws.setup.k, x - width / 2, x + width / 2)
        traces["law"] = line("law", typed(x), typed(law), LAW, width=2, hoverinfo="skip")
    lines = [("mean", float(known.mean()), MEASURED)]
    true = true_value(here, name)[0]
    if true is not None and edges[0] <= true <= edges[-1]:
        lines.append(("true", true, TRUE))
    chart["traces"], chart["layout"] = traces, _layout(setup, SAMPLED[name], edges, lines)
    return chart


def damping_chart(readings: Readings) -> Chart:
    """The damping exp(-lambda rho) that those draws would give, beside the law's mean.

    Args:
        readings: needs `draws` for anything to show.

    Returns:
        A chart with the traces "draws" and "law" as in `histogram_chart`.
    """
    setup, draws, here = readings.setup, readings.draws, readings.here
    chart: Chart = {"title": "Damping", "note": "", "stale": readings.stale(draws)}
    if draws is None or here is None:
        return chart | _bare()
    k, strength = draws.setup.k, setup.lgi_lambda
    damping = np.exp(-strength * draws.values["lgi"][np.isfinite(draws.values["lgi"])])
    law_mean = mean_damping_on_slope(k, strength)
    if not damping.size:
        return chart | _bare()
    mean = float(damping.mean())
    chart["note"] = (
        f"a = exp(−λρ) of those draws at λ {strength:g}: mean {number(mean)}; "
        f"the law on a slope: {number(law_mean)} at k {k}."
    )
    edges = np.linspace(0, 1, BARS + 1)
    half = 0.5 / BARS
    x = np.linspace(half, 1 - half, LAW_POINTS)
    law = damping_law(k, strength, x - half, x + half)
    traces = {
        "draws": _bars(damping, edges),
        "law": line("law", typed(x), typed(law), LAW, width=2, hoverinfo="skip"),
    }
    lines = [("mean", mean, MEASURED), ("law's mean", law_mean, LAW)]
    chart["traces"], chart["layout"] = traces, _layout(setup, "damping a", edges, lines)
    return chart


def _law_note(here: Here) -> str:
    many = here.parameters >= MANY
    if here.truth is None:
        return "Line: law on a slope; a network need not fit."
    if here.slope and many:
        return "Line: law on a slope, as here."
    if here.slope:
        return f"Line: law on a slope at large P; here P is {here.parameters}."
    return "Line: law on a slope; this is none, it need not fit."


def _edges(known: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """The edges of the bars: from low to high, or around all that is known."""
    first = float(known.min()) if low is None else low
    last = float(known.max()) if high is None else high
    if last - first <= 1e-9 * max(abs(first), abs(last), 1e-12):
        room = 0.05 * abs(first) or 0.05
        first, last = first - room, last + room
    return np.linspace(first, last, BARS + 1)


def _bars(values: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    # Rounding may lift a value just over k/(k-1).
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return {
        "type": "bar",
        "name": "draws",
        "x": typed((edges[1:] + edges[:-1]) / 2),
        "y": typed(counts / max(1, values.size)),
        "width": float(edges[1] - edges[0]),
        "marker": {"color": "var(--bar)", "line": {"width": 0}},
        "hovertemplate": "%{x:.3g}: %{y:.1%}<extra></extra>",
    }


def _layout(
    setup: Setup, across: str, edges: np.ndarray, lines: list[tuple[str, float, str]]
) -> dict[str, Any]:
    shapes, annotations = [], []
    lowest = min(at for _, at, _ in lines)
    for row, (name, at, color) in enumerate(lines):
        place = {"xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1}
        dash = "solid" if row == 0 else "dash"
        look = {"color": color, "width": 1.6, "dash": dash}
        shapes.append({"type": "line", "line": look} | place)
        # Away from each other, where there is room.
        share = (at - edges[0]) / (edges[-1] - edges[0])
        side = "right" if share > (0.35 if at == lowest and len(lines) > 1 else 0.65) else "left"
        annotations.append(
            label(
                f"{name} {number(at)}",
                color,
                x=at,
                y=1,
                yref="paper",
                yshift=-14 * row,
                xanchor=side,
                xshift=4 if side == "left" else -4,
            )
        )
    room = 0.01 * (edges[-1] - edges[0])
    return layout(
        f"{setup.function}:{across}",
        (48, 10, 4, 34),
        bargap=0,
        xaxis=axis(across, range=[edges[0] - room, edges[-1] + room]),
        yaxis=axis("share", rangemode="tozero", nticks=5, tickformat=".0%"),
        shapes=shapes,
        annotations=annotations,
    )


def _bare() -> Chart:
    hidden = {"visible": False}
    return {"traces": {}, "layout": layout("none", (48, 10, 4, 34), xaxis=hidden, yaxis=hidden)}
