"""One step ahead: the real loss along the next update, a panel an optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import STYLES, Chart, axis, label, layout, line, number, stack, typed
from app.experiment import SCALES
from app.live.view import View
from sadam.lanes import LANES

#: Space between two panels, as a share of the width.
GAP = 0.05


def ahead_chart(view: View) -> Chart:
    """Change of the real loss at theta + s (next update), and what the gradient promises.

    Args:
        view: needs `ahead` for anything to show.

    Returns:
        A chart with the traces "lane", "lane:promise", "lane:now" and "lane:after".
    """
    ahead, lanes = view.ahead, view.experiment.lanes
    rows = 1 if len(lanes) <= 4 else 2
    columns = -(-len(lanes) // rows)
    width = (1 - GAP * (columns - 1)) / columns
    heights = stack(rows, gap=0.3)
    chart_layout = layout(f"{view.experiment.scenario}:{view.experiment.scale}", (46, 8, 20, 22))
    traces: dict[str, Any] = {}
    annotations, shapes = [], []
    shared = _shared_range(view)
    for index, key in enumerate(lanes):
        suffix = "" if index == 0 else str(index + 1)
        left, up = (index % columns) * (width + GAP), heights[index // columns]
        own = view.experiment.scale == "own"
        scale = {} if own or shared is None else {"range": shared}
        chart_layout[f"xaxis{suffix}"] = axis(
            domain=[left, min(1.0, left + width)],
            range=[-2, 3],
            dtick=1,
            anchor=f"y{suffix}",
            showticklabels=index + columns >= len(lanes),
        )
        chart_layout[f"yaxis{suffix}"] = axis(
            "change of loss" if index == 0 and rows == 1 else "",
            anchor=f"x{suffix}",
            domain=up,
            nticks=7 if rows == 1 else 4,
            **scale,
        )
        text = LANES[key].title
        result = ahead.lines.get(key) if ahead else None
        if result is not None:
            said = (number(result.promised), number(result.got))
            text += (
                "  promised {}, got {}".format(*said) if columns < 4 else "  {} → {}".format(*said)
            )
            axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
            traces |= {f"{key}:{name}": trace | axes for name, trace in _panel(key, result).items()}
            shapes.append(
                {
                    "type": "rect",
                    "xref": f"x{suffix}",
                    "yref": f"y{suffix} domain",
                    "x0": 0,
                    "x1": 1,
                    "y0": 0,
                    "y1": 1,
                    "fillcolor": "var(--step-shade)",
                    "line": {"width": 0},
                    "layer": "below",
                }
            )
        annotations.append(
            label(
                text,
                STYLES[key].color,
                xref="paper",
                yref="paper",
                x=left,
                y=up[1],
                yanchor="bottom",
                yshift=2,
            )
        )
    chart_layout |= {"annotations": annotations, "shapes": shapes}
    return {
        "title": "One step ahead",
        "breaks": True,  # large labels take two lines
        "note": _note(view),
        "growing": ahead is not None and _grows(view),
        "traces": traces,
        "layout": chart_layout,
        "choices": [
            {"field": "scale", "label": "Axes", "value": view.experiment.scale, "options": SCALES}
        ],
    }


def _grows(view: View) -> bool:
    """Whether a line still gets points."""
    assert view.ahead is not None
    lines = view.ahead.lines
    return len(lines) < len(view.experiment.lanes) or any(line.done < 1 for line in lines.values())


def _shared_range(view: View) -> list[float] | None:
    """One scale for all panels: what happens within a step of the next one, with some room."""
    if view.ahead is None or not view.ahead.lines:
        return None
    near = [
        np.append((result.losses - result.now)[(result.s >= -1) & (result.s <= 2)], result.promised)
        for result in view.ahead.lines.values()
    ]
    values = np.concatenate(near)
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = 0.15 * (high - low) or 1.0
    return [low - room, high + room]


def _panel(key: str, result: Any) -> dict[str, dict[str, Any]]:
    """The traces of one optimizer, as changes from the loss now."""
    style, title = STYLES[key], LANES[key].title
    change = result.losses - result.now
    ends = np.array([result.s[0], result.s[-1]])
    return {
        "promise": line(
            title,
            typed(ends),
            typed(ends * result.promised),
            "var(--ink)",
            width=1.2,
            dash="dash",
            hoverinfo="skip",
        ),
        "loss": line(
            title,
            typed(result.s),
            typed(change),
            style.color,
            width=1.8,
            hovertemplate="%{x:.2f} steps: %{y:.3g}",
        ),
        "now": _marker("circle", 0.0, 0.0, "var(--ink)", "now"),
        "after": _marker("diamond", 1.0, result.got, style.color, "after the step"),
    }


def _marker(symbol: str, x: float, y: float, color: str, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x],
        "y": [y],
        "marker": {
            "symbol": symbol,
            "size": 9,
            "color": color,
            "line": {"color": "var(--ink)", "width": 1},
        },
        "hovertemplate": f"{name}: %{{y:.3g}}<extra></extra>",
    }


def _note(view: View) -> str:
    if view.ahead is None:
        return "the loss along the next update, computed in a moment."
    who = "surrogate" if view.ahead.surrogate else "gradient"
    axes = "same axes" if view.experiment.scale == "shared" else "own axes"
    where = ""
    if view.ahead.step != view.step:
        where = f" · of step {view.ahead.step}"
    return (
        f"solid: real loss along the next step · dashed: what the {who} promises · "
        f"● now ◆ after · across: lengths of that step · {axes}{where}"
    )
