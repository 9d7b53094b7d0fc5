"""The table: an instrument a row, what it measures beside the true answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from app.charts.spec import number
from app.live.readings import Here, Readings
from demo_models.truth import Truth

#: What an instrument asks, beside its name.
QUESTIONS = {
    "lgi": "mean 1 on any slope",
    "variance": "|g|²/P on a slope",
    "asymmetry": "do forward and backward changes fail to cancel?",
    "holder": "2 smooth, 1 kink, 0 jump",
    "roughness": "fourth difference over slope, at radius σ",
    "diameter-wide": "lower bound, over all gradients within δ",
    "diameter-narrow": "shrinks with δ where smooth, stays at a kink",
    "stationarity-wide": "upper bound, over all gradients within δ",
    "stationarity-narrow": "nearer to the true answer, which is at δ → 0",
    "gradient": "what backward gives at this point",
}
TITLES = {
    "lgi": "LGI, the paper's instability",
    "variance": "Variance of the slopes",
    "asymmetry": "Asymmetry",
    "holder": "Hölder exponent",
    "roughness": "Roughness",
}
NOT_RESOLVED = "not resolved"
#: Below this a share, or a norm beside the gradients of a function, is rounding.
ROUNDING = 1e-12
NO_TRUTH = "no closed form"


def answers_table(readings: Readings) -> dict[str, Any]:
    """Every instrument: one draw, the mean of many, the true answer.

    Args:
        readings: needs `here`.

    Returns:
        {"choices", "columns": [{"title", "help"}], "rows": [{"key", "color", "glyph", "title",
        "cells": [{"text", "beside"?, "stale"?}]}]}, all text with three significant digits.
    """
    here = readings.here
    assert here is not None
    setup, draws = here.setup, readings.draws
    sampled = f"Mean of {draws.count:,} draws" if draws else "Mean of the draws"
    columns = [
        {
            "title": f"One draw, k {setup.k}, σ {setup.sigma:g}",
            "help": "What S-Adam would see in one step; δ is the same radius",
        },
        {"title": sampled, "help": "Of independent draws of k directions at this point"},
        {"title": "True answer", "help": "In the limit of a small radius; LGI of many directions"},
        {"title": "", "help": ""},
    ]
    rows = [_sampled_row(readings, name) for name in TITLES]
    return {"choices": [], "columns": columns, "rows": rows + _gradient_rows(readings)}


def _row(key: str, title: str, *cells: dict[str, Any], note: str = "") -> dict[str, Any]:
    last = {"text": note or QUESTIONS[key]}
    row = {"key": key, "color": "var(--ink)", "glyph": "", "title": title}
    return row | {"cells": [*cells, last]}


def _sampled_row(readings: Readings, name: str) -> dict[str, Any]:
    here, draws = readings.here, readings.draws
    assert here is not None
    value = getattr(here.measured, name)
    # Not resolved, or nan where nothing changes at all.
    value = np.nan if value is None else float(value)
    lost = not np.isfinite(value)
    one = {"text": NOT_RESOLVED if lost else figure(name, value)}
    mean: dict[str, Any] = {"text": "–"}
    if draws is not None:
        known = draws.values[name][np.isfinite(draws.values[name])]
        text = figure(name, float(known.mean())) if known.size else NOT_RESOLVED
        mean = {"text": text, "stale": readings.stale(draws)}
        if 0 < known.size < draws.count:
            mean["beside"] = f"{1 - known.size / draws.count:.0%} not"
    true = _true_cell(*true_value(here, name))
    note = f"{NOT_RESOLVED}: {why_unresolved(here, name)}" if lost else ""
    return _row(name, TITLES[name], one, mean, true, note=note)


def why_unresolved(here: Here, name: str) -> str:
    """Why a finite difference gives no number here, and what would."""
    truth, curves = here.truth, here.measured.curves
    if truth is not None and truth.holder is None:
        return "linear or flat here"
    if name == "roughness" and bool(curves.fourth_resolved[0, 0]):
        return "f(+r) = f(−r), no slope"
    if here.setup.dtype == "float32":
        return "try float64 or a larger σ"
    return "try a larger σ"


def true_value(here: Here, name: str) -> tuple[float | None, str]:
    """The true answer of an instrument in the limit of a small radius, or None and why.

    Of variance, asymmetry and roughness it is known where f is differentiable: E Var(D) is
    |g|^2 / P, opposite changes cancel on a slope and agree at a minimum, and R4 falls as r^3.
    """
    truth = here.truth
    if truth is None:
        return None, NO_TRUTH
    if name == "lgi":
        flat = truth.holder is None and truth.stationarity == 0
        return truth.lgi, "nothing changes" if flat else NO_TRUTH
    if name == "holder":
        return truth.holder, "has none"
    if name == "variance":
        steepness = None if truth.gradient is None else float(truth.gradient.norm())
        return None if steepness is None else steepness**2 / here.parameters, NO_TRUTH
    if name == "asymmetry":
        if here.slope:
            return 0.0, ""
        minimum = truth.gradient is not None and truth.holder == 2.0
        return (1.0, "") if minimum else (None, _flat_or(truth, NO_TRUTH))
    return (0.0, "") if here.slope else (None, _flat_or(truth, "no slope"))


def _flat_or(truth: Truth, why: str) -> str:
    if truth.gradient is None:
        return NO_TRUTH
    return "nothing changes" if truth.holder is None else why


def _true_cell(value: float | None, why: str) -> dict[str, Any]:
    if value is None:
        return {"text": "–", "beside": why}
    if math.isinf(value):
        return {"text": "∞", "beside": "unbounded"}
    return {"text": bound(value)}


def _gradient_rows(readings: Readings) -> list[dict[str, Any]]:
    here, bounds = readings.here, readings.bounds
    assert here is not None
    truth = here.truth
    # Under straight-through the rounded loss has no gradient of its own.
    of = {"beside": "surrogate"} if here.setup.surrogate else {}
    rows = []
    for name, sign in (("diameter", "≥"), ("stationarity", "≤")):
        true = NO_TRUTH if truth is None else "none at a jump"
        answer = _true_cell(None if truth is None else getattr(truth, name), true)
        for width, delta in (("wide", "σ"), ("narrow", "σ/4")):
            cell: dict[str, Any] = {"text": "–"}
            if bounds is not None:
                found = getattr(getattr(bounds, width), name)
                cell = {"text": f"{sign} {bound(found)}", "stale": readings.stale(bounds)} | of
            title = f"Clarke {name}, δ = {delta}"
            rows.append(_row(f"{name}-{width}", title, cell, {"text": ""}, answer))
    norm = None if truth is None or truth.gradient is None else float(truth.gradient.norm())
    why = NO_TRUTH if truth is None else "has none"
    cells = {"text": number(here.gradient)} | of, {"text": ""}, _true_cell(norm, why)
    return [*rows, _row("gradient", "Gradient norm", *cells)]


def figure(name: str, value: float) -> str:
    """An instrument's value; LGI and asymmetry, which are shares, are 0 within rounding."""
    return bound(value) if name in ("lgi", "asymmetry") else number(value)


def bound(value: float) -> str:
    """A number that exact arithmetic may give as 0, and that comes out as a few roundings."""
    return number(0.0 if abs(value) < ROUNDING else value)
