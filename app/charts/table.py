"""The table: an optimizer a row, the figures of its last steps, and over seeds differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.figures import FIGURES, Figure, measured, words
from app.charts.spec import STYLES, number
from app.experiment import TABLES
from app.live.view import View
from probes.statistics import Interval, paired_interval
from sadam.lanes import LANES


def lane_table(view: View) -> dict[str, Any]:
    """The chosen group of figures, a row a lane.

    With one seed a cell is that run's figure. With more it is their mean, and below it the paired
    difference to the chosen lane with its 90% interval.

    Args:
        view: the run at the step that is shown.

    Returns:
        {"choices", "columns": [{"title", "help"}], "rows": [{"key", "color", "glyph", "title",
        "cells": [{"text", "below"?}]}]}, all text with three significant digits.
    """
    group = FIGURES[view.experiment.table]
    values = [measured(figure, view) for figure in group]
    rows = []
    for index, key in enumerate(view.experiment.lanes):
        cells = [
            _cell(figure, value, index, view) for figure, value in zip(group, values, strict=True)
        ]
        style = STYLES[key]
        title = LANES[key].title + _divergence(view, index)
        rows.append(
            {
                "key": key,
                "color": style.color,
                "glyph": style.glyph,
                "title": title,
                "cells": cells,
            }
        )
    columns = [{"title": words(f.title, view), "help": words(f.help, view)} for f in group]
    return {"choices": _choices(view), "columns": columns, "rows": rows}


def difference(values: np.ndarray, lane: int, other: int) -> Interval:
    """The paired difference of two lanes over the seeds.

    Args:
        values: (L, S) a figure of every run.
        lane: whose figure.
        other: less whose figure.
    """
    return paired_interval(values[lane] - values[other])


def _cell(figure: Figure, values: np.ndarray, lane: int, view: View) -> dict[str, str]:
    shown = values * 100 if figure.unit == " %" else values
    seeds = view.experiment.seeds
    if seeds == 1:
        return {"text": number(float(shown[lane, 0]), figure.unit)}
    finite = shown[lane][np.isfinite(shown[lane])]
    text = number(float(finite.mean()), figure.unit) if finite.size else "–"
    reference = view.experiment.lanes.index(view.reference)
    if lane == reference or not finite.size:
        return {"text": text}
    return {"text": text, "below": _below(difference(shown, lane, reference))}


def _below(found: Interval) -> str:
    """The difference in words: its interval, or that none is seen."""
    if found.method == "none":
        return ""
    pairs = f", {found.n} pairs" if found.left_out else ""
    if found.sign == 0:
        return f"no difference seen{pairs}"
    signed = "+" if found.value > 0 else ""
    if found.method == "t":
        return f"{signed}{number(found.value)} ± {number(found.high - found.value)}{pairs}"
    return f"{number(found.low)} to {number(found.high)}{pairs}"


def _divergence(view: View, lane: int) -> str:
    seeds = view.experiment.seeds
    at = view.diverged_at[lane * seeds : (lane + 1) * seeds]
    lost = at[at >= 0]
    if not len(lost):
        return ""
    if seeds == 1:
        return f", diverged at step {int(lost[0])}"
    return f", {len(lost)} of {seeds} diverged"


def _choices(view: View) -> list[dict[str, Any]]:
    choices: list[dict[str, Any]] = [
        {"field": "table", "label": "Figures", "value": view.experiment.table, "options": TABLES}
    ]
    if view.experiment.seeds > 1 and len(view.experiment.lanes) > 1:
        options = {key: f"less {LANES[key].title}" for key in view.experiment.lanes}
        choices.append(
            {
                "field": "reference",
                "label": f"Mean of {view.experiment.seeds} seeds; below, the paired difference "
                "with its 90% interval",
                "value": view.reference,
                "options": options,
            }
        )
    return choices
