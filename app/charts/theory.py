"""All parts of the page Stationarity: two charts of running means on one scale, and words."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.slopes import (
    Curves,
    caveat,
    curves_of,
    sentence_part,
    slope_table,
    slope_words,
    status_part,
)
from app.charts.spec import STYLES, Chart, axis, layout, line, log_ticks, typed
from app.live.observing import Findings
from app.live.theory import Progress
from app.theory import GUIDES, SCHEDULES, Study

#: Points of a line, evenly spaced along the log axis.
POINTS = 120
#: A run that diverges leaves the frame: the scale ends at so many times the start.
HIGHEST = 1e4
#: Panel of each schedule, a grid area of grid.css.
PANELS = {"constant": "constant", "inverse-sqrt": "falling"}
TITLES = {"constant": "Constant rate", "inverse-sqrt": "Rate falling as 1 / √(t + 1)"}


def theory_parts(progress: Progress, study: Study) -> dict[str, dict[str, Any]]:
    """Words, table and charts by the name of their place in the grid.

    Args:
        progress: as far as it goes; what was found is drawn as its own study's, and pales where
            `study` would be measured otherwise.
        study: what the page is set to.
    """
    found = progress.findings
    stale = found is not None and not found.study.measures_as(study)
    shown = study if found is None else found.study.change(power=study.power)
    curves = [] if found is None else [curves_of(found, study.power, i) for i in _lanes(found)]
    reach = _reach(curves, shown)
    parts: dict[str, dict[str, Any]] = {}
    for schedule, panel in PANELS.items():
        chart = convergence_chart(shown, curves, schedule, reach)
        parts[panel] = chart | {"order": list(chart["traces"]), "stale": stale}
    if progress.state == "running":
        done = 0.0 if found is None or stale else round(found.done, 2)
        parts["constant"]["progress"] = {"text": "stationarity", "done": done}
    parts["status"] = status_part(progress, stale) | {"name": shown.name}
    parts["sentence"] = sentence_part(shown, curves)
    parts["table"] = slope_table(shown, curves, found, stale)
    return parts


def convergence_chart(
    study: Study, curves: list[Curves], schedule: str, reach: tuple[float, float] | None
) -> Chart:
    """Running means over T of one schedule's lanes, log-log, with the guide.

    Args:
        study: what was measured, at the power that is drawn.
        curves: of all lanes, in the order of `Study.runs`; [] before there are any.
        schedule: a key of `SCHEDULES`.
        reach: lowest and highest value of both charts, so that they share a scale.

    Returns:
        A chart with the traces "guide", and of every lane its key and "key:gradient".
    """
    chart: Chart = {
        "title": f"{TITLES[schedule]}: {caveat(study)}",
        "note": _note(study),
        "traces": {},
        "layout": _layout(study, schedule, curves, reach),
    }
    if reach is None:
        return chart
    traces: dict[str, Any] = {}
    slope, words = GUIDES[study.power]
    # All lanes of a seed start at one point, so the guide does too.
    start, last = float(curves[0].mean[0]), study.steps
    traces["guide"] = line(
        f"guide: slope {words}",
        [1, last],
        [start, start * last**slope],
        "var(--ink-soft)",
        width=1.4,
        dash="dot",
        hoverinfo="skip",
    )
    for lane, drawn in zip(study.runs, curves, strict=True):
        if lane.schedule != schedule:
            continue
        key = lane.key.removesuffix(f"-{schedule}")
        style, title = STYLES[key], lane.title.removesuffix(f", {SCHEDULES[schedule]}")
        traces[lane.key] = line(
            f"{title}: {slope_words(drawn.slope)}",
            *_log_thinned(drawn.times, drawn.mean),
            style.color,
            width=2.2,
            mode="lines+markers",
            marker={"symbol": style.symbol, "size": 7, "maxdisplayed": 9},
            hovertemplate="T %{x}: %{y:.3g}",
        )
        traces[f"{lane.key}:gradient"] = line(
            f"{title}: gradient norm",
            *_log_thinned(drawn.all_times, drawn.gradient),
            style.color,
            width=1.2,
            dash="dash",
            showlegend=False,
            hovertemplate="T %{x}: %{y:.3g}",
        )
    return chart | {"traces": traces}


def _lanes(found: Findings) -> range:
    return range(len(found.study.runs) if len(found.times) else 0)


def _note(study: Study) -> str:
    """What the lines are, in the head of a chart."""
    what = "squared " if study.power == "squared" else ""
    seeds = "one seed" if study.seeds == 1 else f"mean of {study.seeds} seeds"
    if study.thinning == "every":
        steps = "at every step"
    else:
        steps = "at log-uniform steps, each weighing as many steps as it stands for"
    whose = ", of the straight-through surrogate" if study.surrogate else ""
    return (
        f"Running mean over t ≤ T, {seeds}. Solid: {what}Clarke stationarity, upper bound at "
        f"δ {study.delta:g} and m {study.samples}{whose}, {steps}. Dashed: {what}gradient norm at "
        "every step. Shaded: the half of log T that is fitted."
    )


def _log_thinned(times: np.ndarray, values: np.ndarray) -> tuple[dict[str, str], dict[str, str]]:
    """A line as it goes over the wire; what a log axis cannot hold is left out."""
    rows = np.unique(np.rint(np.geomspace(1, len(times), POINTS)).astype(int)) - 1
    shown = values[rows]
    with np.errstate(invalid="ignore"):
        held = (shown > 0) & (shown < np.finfo(np.float32).max)
    return typed(times[rows]), typed(np.where(held, shown, np.nan))


def _reach(curves: list[Curves], study: Study) -> tuple[float, float] | None:
    """The lowest and highest of all that is drawn, rounded outwards to half decades."""
    drawn = [values for c in curves for values in (c.mean, c.gradient)]
    positive = [v[np.isfinite(v) & (v > 0)] for v in drawn]
    known = np.concatenate(positive) if positive else np.empty(0)
    if not known.size or not curves[0].mean[0] > 0:
        return None
    guide = curves[0].mean[0] * study.steps ** GUIDES[study.power][0]
    low, high = np.log10([min(known.min(), guide), known.max()])
    # Half decades, so that the scale moves seldom while lines grow.
    high = min(high, float(np.log10(HIGHEST * curves[0].mean[0])))
    return float(10 ** (np.floor(2 * low) / 2)), float(10 ** (np.ceil(2 * high + 0.1) / 2))


def _layout(
    study: Study, schedule: str, curves: list[Curves], reach: tuple[float, float] | None
) -> dict[str, Any]:
    what = "running mean of squared stationarity" if study.power == "squared" else ""
    up = axis(what or "running mean of stationarity", type="log")
    if reach is None:
        up |= {"range": [-2, 1], "dtick": 1}
    else:
        up |= {"range": list(np.log10(reach))} | log_ticks(np.array(reach))
    shapes = []
    if curves and any(np.isfinite(c.slope.value) for c in curves):
        last = float(curves[0].times[-1])
        place = {"xref": "x", "yref": "paper", "x0": last**0.5, "x1": last, "y0": 0, "y1": 1}
        look = {"fillcolor": "var(--step-shade)", "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect"} | place | look)
    return layout(
        f"{study.scenario}:{study.power}:{study.steps}:{schedule}",
        (52, 10, 6, 34),
        showlegend=True,
        legend={
            "x": 0.01,
            "y": 0.01,
            "xanchor": "left",
            "yanchor": "bottom",
            "bgcolor": "var(--casing)",
            "font": {"size": 12},
        },
        xaxis=axis("T", type="log", range=[0, float(np.log10(study.steps))], dtick=1),
        yaxis=up,
        shapes=shapes,
    )
