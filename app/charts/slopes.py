"""Slopes in words: the table, the sentence and the status of the page Stationarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.charts.spec import STYLES, number
from app.live.convergence import (
    FEWEST_SEEDS,
    log_slope,
    running_mean,
    seed_mean,
    slope_interval,
)
from app.live.observing import Findings
from app.live.theory import Progress
from app.theory import GUIDES, Study
from probes.statistics import Interval

#: What every title says, unless the gradients are a surrogate's.
ILLUSTRATION = "illustration, not a test"
SURROGATE = "surrogate; f is discontinuous, the theorem does not apply"
COLUMNS = (
    ("Slope over the last half of log T", "Power of T that the running mean falls with; 90%"),
    ("Guide", "The power of T that the theorem bounds it by"),
    ("Gradient norm's slope", "The same fit to the gradient norm; at a kink it does not fall"),
    ("Running mean at T", "Mean over the seeds of the running mean so far"),
    ("Stationarity now", "Upper bound at the last measured point, mean over the seeds"),
)


@dataclass(frozen=True, eq=False)
class Curves:
    """What is drawn of one lane.

    Args:
        times, mean: (n,) running mean of stationarity to the chosen power, mean over seeds.
        all_times, gradient: (t,) the same of the gradient norm, at every step.
        slope, gradient_slope: fits to the seeds' own curves.
        now: last stationarity, mean over seeds; not squared.
    """

    times: np.ndarray
    mean: np.ndarray
    all_times: np.ndarray
    gradient: np.ndarray
    slope: Interval
    gradient_slope: Interval
    now: float


def caveat(study: Study) -> str:
    """What every title says of the theorem."""
    return SURROGATE if study.surrogate else ILLUSTRATION


def curves_of(found: Findings, power: str, lane: int) -> Curves:
    """The running means of one lane and their slopes.

    Args:
        found: at least one step of it.
        power: "squared" for the mean of squares, "norm" for the mean of norms.
        lane: index into `Study.runs`.
    """
    exponent = 2 if power == "squared" else 1
    stationarity, gradient = (
        found.of(values, lane) for values in (found.stationarity, found.gradient)
    )
    all_times = np.arange(1, len(gradient) + 1)
    with np.errstate(over="ignore", invalid="ignore"):  # a run that is about to diverge
        mean = running_mean(found.times, stationarity**exponent)
        of_gradient = running_mean(all_times, gradient**exponent)
    return Curves(
        found.times,
        seed_mean(mean),
        all_times,
        seed_mean(of_gradient),
        slope_interval(log_slope(found.times, mean)),
        slope_interval(log_slope(all_times, of_gradient)),
        float(seed_mean(stationarity[-1:])[0]) if len(stationarity) else np.nan,
    )


def slope_words(slope: Interval) -> str:
    """A slope with its interval, as a legend has it."""
    if not np.isfinite(slope.value):
        return "no slope yet"
    if slope.method == "none":
        return f"slope {_exponent(slope.value)}"
    return f"slope {_exponent(slope.value)} [{_exponent(slope.low)}, {_exponent(slope.high)}]"


def _exponent(value: float) -> str:
    """A power of T to three decimals: below that it is level."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def status_part(progress: Progress, stale: bool) -> dict[str, Any]:
    """The bar's words: how far it is.

    Args:
        progress: of the observer.
        stale: what was found belongs to other settings than the page's.
    """
    found = progress.findings
    t = 0 if found is None else len(found.gradient)
    steps = 0 if found is None else found.study.steps
    text = {
        "idle": "press Run",
        "running": "starting" if stale or not t else f"T {t:,} of {steps:,}",
        "finished": f"finished at T {t:,}",
        "cancelled": f"cancelled at T {t:,} of {steps:,}" if t else "cancelled",
        "failed": "stopped",
    }[progress.state]
    if stale and progress.state != "running":
        text = "settings changed: press Run"
    running = progress.state == "running"
    done = None if not running else 0.0 if found is None or stale else round(found.done, 2)
    return {"text": text, "done": done, "message": progress.message}


def sentence_part(study: Study, curves: list[Curves]) -> dict[str, Any]:
    """What this is, and the slopes at the falling rate, which is the theorem's.

    Args:
        study: what was measured.
        curves: of all lanes, in the order of `Study.runs`; [] before there are any.
    """
    words = caveat(study)
    parts: list[dict[str, Any]] = [
        {"text": f"{words[0].upper()}{words[1:]}. {study.problem.title}", "color": None}
    ]
    falling = [
        (key, drawn)
        for key, drawn in zip(study.lanes, curves[len(study.lanes) :], strict=bool(curves))
        if np.isfinite(drawn.slope.value)
    ]
    if falling:
        parts.append({"text": ", slopes at the falling rate: ", "color": None})
        for key, drawn in falling:
            text = f"{STYLES[key].glyph} {_exponent(drawn.slope.value)} "
            parts.append({"text": text, "color": STYLES[key].color})
        parts.append({"text": f"(guide {GUIDES[study.power][1]}).", "color": None})
    else:
        parts.append({"text": ".", "color": None})
    return {"parts": parts, "verdict": _about(study)}


def _about(study: Study) -> str:
    if study.surrogate:
        return (
            "Rounding makes f a staircase: its own gradient is 0 or does not exist. Drawn is the "
            "straight-through gradient that trains it, which need not be that of any function."
        )
    exponent = "1/√T for the mean square" if study.power == "squared" else "T^(−1/4) for the mean"
    words = (
        f"The theorem bounds (δ, ε)-Clarke stationarity by a constant times {exponent}. It leaves "
        "the constant open: a flatter line over a finite T does not refute it, a steeper one does "
        "not prove it. A run that has arrived falls with slope −1."
    )
    if study.smooth:
        words += " This f is smooth: stationarity and gradient norm agree up to δ."
    if study.weight_decay:
        words += f" Weight decay {study.weight_decay:g} pulls away from where f is stationary."
    return words


def slope_table(
    study: Study, curves: list[Curves], found: Findings | None, stale: bool
) -> dict[str, Any]:
    """A lane a row: its slopes with their intervals, and where it stands.

    Args:
        study: what was measured, at the power that is drawn.
        curves: of all lanes, in the order of `Study.runs`; [] before there are any.
        found: what they were made from.
        stale: it belongs to other settings than the page's.
    """
    rows = []
    for index, lane in enumerate(study.runs):
        key = study.lanes[index % len(study.lanes)]
        cells = [{"text": "–"}] * len(COLUMNS)
        if curves:
            cells = _cells(study, curves[index])
        rows.append(
            {
                "key": lane.key,
                "color": STYLES[key].color,
                "glyph": STYLES[key].glyph,
                "title": lane.title + ("" if found is None else _divergence(found, index)),
                "cells": [cell | {"stale": stale} for cell in cells],
            }
        )
    columns = [{"title": title, "help": text} for title, text in COLUMNS]
    return {"choices": [], "columns": columns, "rows": rows}


def _cells(study: Study, drawn: Curves) -> list[dict[str, Any]]:
    mean = drawn.mean[np.isfinite(drawn.mean)]
    return [
        _slope_cell(drawn.slope, study.seeds),
        {"text": GUIDES[study.power][1]},
        _slope_cell(drawn.gradient_slope, study.seeds),
        {"text": number(float(mean[-1]) if mean.size else None)},
        {"text": number(0.0 if drawn.now < 1e-12 else drawn.now)},
    ]


def _slope_cell(slope: Interval, seeds: int) -> dict[str, Any]:
    """A slope, and its interval or why there is none."""
    if not np.isfinite(slope.value):
        return {"text": "–"}
    if slope.method != "none":
        beside = f"{_exponent(slope.low)} to {_exponent(slope.high)}, {slope.n} seeds"
    elif seeds == 1:
        beside = "one seed: no interval"
    else:
        beside = f"{slope.n} of the {FEWEST_SEEDS} seeds that an interval needs"
    return {"text": _exponent(slope.value), "beside": beside}


def _divergence(found: Findings, lane: int) -> str:
    at = found.of(found.diverged_at[None], lane)[0]
    lost = at[at >= 0]
    if not len(lost):
        return ""
    if found.study.seeds == 1:
        return f", diverged at step {int(lost[0])}"
    return f", {len(lost)} of {found.study.seeds} diverged"
