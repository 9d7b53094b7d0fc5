"""Time views: one quantity of every optimizer, a strip each, on one step axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.quantities import WINDOW, quantity
from app.charts.spec import (
    STYLES,
    Chart,
    axis,
    band_traces,
    cells,
    layout,
    line,
    log_ticks,
    revision,
    step_axis,
    strip_label,
    thinned,
)
from app.experiment import ALONG, STRIPS
from app.live.view import View
from probes.statistics import band
from sadam.lanes import LANES

NOTES = {
    "loss": "A calm line is not accuracy.",
    "jump": "|change| from one step to the next: batch noise in the path counts as well.",
    "relative": f"|change| as a share of the mean loss of the last {WINDOW} steps.",
    "broken": f"share of the last {WINDOW} steps whose own batch's loss rose though its gradient "
    "promised a fall.",
    "kept": f"real change / promised change on the step's own batch, last {WINDOW} steps: 1 where "
    "the tangent tells the truth.",
    "levels": "quantized weights that this step moved to another level.",
    "oscillating": "share of quantized weights that go to and fro more than once in 200 steps "
    "(Nagel et al. 2022); thin: layer by layer, the first layer dotted, the last solid.",
    "alpha": "−1 stays, 0 steps to the minimum along the step, 1 across to the same height; "
    "known with a full batch only.",
    **dict.fromkeys(ALONG, "Map probes, at up to 32 kept steps; gaps are not resolved."),
    "sharpness": "largest eigenvalue of the (preconditioned) Hessian over the optimizer's "
    "stability limit, computed with the maps: above 1 a quadratic would diverge.",
}
#: Dashes of the layers, from the first on.
LAYERS = ("dot", "dash", "longdash", "solid")


def strips_chart(view: View) -> Chart:
    """The experiment's chosen quantity over all steps, a strip an optimizer, on one scale.

    One seed is a line. Several are their median with the middle 80% shaded.

    Args:
        view: needs the columns that `quantity` reads.

    Returns:
        A chart with the trace "lane", and "lane:low" and "lane:high" with several seeds.
    """
    name, lanes = view.experiment.strips, view.experiment.lanes
    values = {key: _middle(view, name, lane) for lane, key in enumerate(lanes)}
    drawn = np.concatenate([np.concatenate(parts) for parts in values.values()])
    drawn = drawn[np.isfinite(drawn)]
    log = name in ("loss", "jump") and drawn.size > 0 and float(drawn.min()) > 0
    chart_layout = layout(f"{revision(view)}:{name}", (46, 10, 16, 22), annotations=[])
    traces: dict[str, Any] = {}
    places = cells(len(lanes))
    for index, (key, (across, up, lowest)) in enumerate(zip(lanes, places, strict=True)):
        suffix = "" if index == 0 else str(index + 1)
        chart_layout[f"xaxis{suffix}"] = axis(
            domain=across,
            anchor=f"y{suffix}",
            showticklabels=lowest,
            **step_axis(view),
            **({"matches": "x"} if index else {}),
        )
        chart_layout[f"yaxis{suffix}"] = axis(
            domain=up,
            anchor=f"x{suffix}",
            type="log" if log else "linear",
            **(log_ticks(drawn, most=2) if log else {"nticks": 4}),
            **({"matches": "y"} if index else {}),
        )
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        own = _traces(view, key, values[key], name)
        traces |= {k: trace | axes for k, trace in own.items()}
        chart_layout["annotations"].append(
            strip_label(LANES[key].title + _divergence(view, index), STYLES[key].color, across, up)
        )
    return {
        "title": STRIPS[name],
        "across": "step",
        "note": _note(view),
        "traces": traces,
        "layout": chart_layout,
        "progress": _progress(view),
        "choices": [{"field": "strips", "label": "Shown", "value": name, "options": STRIPS}],
    }


def _middle(view: View, name: str, lane: int) -> tuple[np.ndarray, ...]:
    """The one seed's values, or the median of all seeds with the ends of their middle 80%."""
    seeds = [quantity(view, name, lane, seed) for seed in range(view.experiment.seeds)]
    return (seeds[0],) if len(seeds) == 1 else band(np.stack(seeds, axis=1))


def _traces(
    view: View, key: str, values: tuple[np.ndarray, ...], name: str
) -> dict[str, dict[str, Any]]:
    """One optimizer's line, with its band over seeds, or with its layers."""
    style, title = STYLES[key], LANES[key].title
    middle, *ends = values
    sparse = name == "sharpness" or name in ALONG
    x, y = thinned(view.steps, middle, sparse=sparse)
    mode = "lines+markers" if sparse else "lines"
    main = line(title, x, y, style.color, dash=style.dash, hovertemplate="%{x}: %{y:.3g}")
    traces = {key: main | {"mode": mode, "marker": {"symbol": style.symbol, "size": 7}}}
    if mode == "lines":
        del traces[key]["marker"]
    if ends:
        return band_traces(key, title, view.steps, ends[0], ends[1], style.color) | traces
    if name == "oscillating" and view.weights:
        lane = view.experiment.lanes.index(key)
        layers = view.shown("oscillating")[:, lane, 1:]
        for number in range(layers.shape[1]):
            x, y = thinned(view.steps, layers[:, number], 120)
            dash = LAYERS[max(0, len(LAYERS) - layers.shape[1]) + number :][:1] or ("solid",)
            traces[f"{key}:layer{number}"] = line(
                f"layer {number + 1}", x, y, style.color, width=0.8, dash=dash[0]
            )
    return traces


def _progress(view: View) -> dict[str, Any] | None:
    """What is still being measured along the run."""
    along = view.along
    if along is None or along.strips != view.experiment.strips or not along.working:
        return None
    return {"text": "along the run", "done": round(along.done, 2)}


def _note(view: View) -> str:
    name, experiment = view.experiment.strips, view.experiment
    where = ""
    if name in ("loss", "jump", "relative"):
        where = f"{view.samples} fixed samples, " if view.samples else "the function itself, "
    who = f"seed {experiment.seed}"
    if experiment.seeds > 1:
        who = f"{experiment.seeds} seeds: median, shaded the middle 80%"
    return f"{where}{who}. {NOTES[name]}"


def _divergence(view: View, lane: int) -> str:
    seeds = view.experiment.seeds
    lost = view.diverged_at[lane * seeds : (lane + 1) * seeds]
    lost = lost[lost >= 0]
    if not len(lost):
        return ""
    if seeds == 1:
        return f", diverged at step {int(lost[0])}"
    return f", {len(lost)} of {seeds} seeds diverged"
