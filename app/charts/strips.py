"""Time views: one quantity of every optimizer, a strip each, on one step axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import (
    STYLES,
    Chart,
    axis,
    label,
    layout,
    line,
    log_ticks,
    revision,
    rolling_mean,
    stack,
    step_axis,
    thinned,
)
from app.experiment import STRIPS
from app.live.view import View
from sadam.lanes import LANES

#: Steps over which shares and ratios are taken.
WINDOW = 50
NOTES = {
    "loss": "A calm line is not accuracy: the table shows both.",
    "jump": "|change| from one step to the next: batch noise in the path counts as well.",
    "relative": f"|change| as a share of the mean loss of the last {WINDOW} steps.",
    "broken": f"share of the last {WINDOW} steps whose own batch's loss rose though its gradient "
    "promised a fall.",
    "kept": f"real change / promised change on the step's own batch, last {WINDOW} steps: 1 where "
    "the tangent tells the truth.",
    "levels": "quantized weights that this step moved to another level.",
}


def strips_chart(view: View) -> Chart:
    """The experiment's chosen quantity over all steps, a strip an optimizer, on one scale.

    Args:
        view: needs the columns "probe_loss", "promised", "got" and "levels_changed", (T, R).

    Returns:
        A chart with one trace a lane, named by its key.
    """
    quantity, lanes = view.experiment.strips, view.experiment.lanes
    values = {key: strip(view, quantity, lane) for lane, key in enumerate(lanes)}
    drawn = np.concatenate(list(values.values()))
    drawn = drawn[np.isfinite(drawn)]
    log = quantity in ("loss", "jump") and drawn.size > 0 and float(drawn.min()) > 0
    domains = stack(len(lanes), gap=0.14)
    chart_layout = layout(f"{revision(view)}:{quantity}", (46, 10, 16, 22), annotations=[])
    bottom = "y" if len(lanes) == 1 else f"y{len(lanes)}"
    chart_layout["xaxis"] = axis(anchor=bottom, **step_axis(view))
    traces: dict[str, Any] = {}
    for index, key in enumerate(lanes):
        name = "y" if index == 0 else f"y{index + 1}"
        chart_layout[name.replace("y", "yaxis", 1)] = axis(
            domain=domains[index],
            anchor="x",
            type="log" if log else "linear",
            **(log_ticks(drawn) if log else {"nticks": 4}),
            **({"matches": "y"} if index else {}),
        )
        x, y = thinned(view.steps, values[key])
        traces[key] = line(
            LANES[key].title, x, y, STYLES[key].color, yaxis=name, hovertemplate="%{x}: %{y:.3g}"
        )
        chart_layout["annotations"].append(
            label(
                LANES[key].title + _divergence(view, index),
                STYLES[key].color,
                xref="paper",
                yref="paper",
                x=0.99,
                xanchor="right",
                y=domains[index][1],
                yanchor="bottom",
            )
        )
    return {
        "title": STRIPS[quantity],
        "note": _note(view),
        "traces": traces,
        "layout": chart_layout,
        "choices": [{"field": "strips", "value": quantity, "options": STRIPS}],
    }


def strip(view: View, quantity: str, lane: int) -> np.ndarray:
    """One quantity of one lane of the shown seed at every row, (T,); nan where there is none.

    Args:
        view: the run.
        quantity: a key of `STRIPS`.
        lane: index of the lane.
    """
    losses = view.shown("probe_loss")[:, lane].astype(float)
    if quantity == "loss":
        return losses
    if quantity == "levels":
        return view.shown("levels_changed")[:, lane].astype(float)
    # Older rows are thinned: a change between rows that are no neighbours is none of one step.
    gap = np.append(True, np.diff(view.steps) != 1)
    if quantity in ("jump", "relative"):
        jumps = np.where(gap, np.nan, np.abs(np.diff(losses, prepend=np.nan)))
        return jumps if quantity == "jump" else jumps / rolling_mean(np.abs(losses), WINDOW)
    promised = np.append(np.nan, view.shown("promised")[:-1, lane].astype(float))
    got = np.where(gap, np.nan, view.shown("got")[:, lane].astype(float))
    if quantity == "broken":
        falls = (promised < 0) & np.isfinite(got)
        return rolling_mean(np.where(falls, (got > 0).astype(float), np.nan), WINDOW)
    promised = np.where(np.isfinite(got), promised, np.nan)
    total = rolling_mean(promised, WINDOW)
    return np.divide(
        rolling_mean(got, WINDOW), total, out=np.full(len(got), np.nan), where=total != 0
    )


def _note(view: View) -> str:
    quantity = view.experiment.strips
    where = ""
    if quantity in ("loss", "jump", "relative"):
        where = f"{view.samples} fixed samples, " if view.samples else "the function itself, "
    return f"{where}seed {view.experiment.seed}. {NOTES[quantity]}"


def _divergence(view: View, lane: int) -> str:
    at = int(view.diverged_at[lane * view.experiment.seeds])
    return f", diverged at step {at}" if at >= 0 else ""
