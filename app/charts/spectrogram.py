"""When the gradient oscillates: power over time and frequency, a strip an optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import (
    STYLES,
    Chart,
    axis,
    cells,
    layout,
    revision,
    step_axis,
    strip_label,
    typed,
)
from app.charts.spectrum import SHORTEST, series_choice, sound_rows
from app.live.view import View
from probes.oscillation import spectrogram
from sadam.lanes import LANES

#: Steps shown at most; the history holds as many without a gap where there are few lanes.
SPAN = 2048
#: Columns of all strips together, and of one: 33 bytes each on the wire.
COLUMNS, WIDEST = 128, 32
#: Steps between two columns, at least.
HOP = 8
#: Decibels from the strongest down to what is drawn darkest: noise below tells nothing.
RANGE = 40


def lane_spectrograms(view: View) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray] | None]:
    """Middle of each window, frequencies and power of every lane's gradient.

    Args:
        view: needs the column "gradient_projection" (T, R, J).

    Returns:
        For each lane steps (N,), cycles a step (F,) and decibels (F, N), whole numbers: 0 is white
        noise of the series' own RMS. None while there are fewer than 16 steps.
    """
    lanes = view.experiment.lanes
    widest = min(WIDEST, COLUMNS // len(lanes))
    found = {}
    for index, key in enumerate(lanes):
        rows = sound_rows(view, "gradient_projection", index, SPAN)
        series = view.shown("gradient_projection")[rows, index]
        hop = max(HOP, -(-(len(series) - 64) // (widest - 1)))
        windows = spectrogram(series, hop=hop)
        if windows is None:
            found[key] = None
            continue
        with np.errstate(divide="ignore"):
            decibels = 10.0 * np.log10(windows.density.T)
        steps = view.steps[rows][0] + windows.times
        found[key] = steps, windows.frequencies, np.clip(np.round(decibels), -128, 127)
    return found


def spectrogram_chart(view: View) -> Chart:
    """Power of the gradient's projections over time and frequency, on one colour scale.

    Args:
        view: as in `lane_spectrograms`; its experiment names the mark, drawn dotted.

    Returns:
        A chart with a heatmap a lane; a lane of fewer than 16 steps has none.
    """
    found = lane_spectrograms(view)
    drawn = {key: windows for key, windows in found.items() if windows is not None}
    chart_layout = layout(
        f"{revision(view)}:spectrogram",
        (46, 54, 16, 34),
        annotations=[],
        shapes=[],
        coloraxis=_colors([decibels for _, _, decibels in drawn.values()]),
    )
    traces: dict[str, Any] = {}
    places = cells(len(found))
    middle = (len(found) if len(found) <= 4 else -(-len(found) // 2)) // 2
    for index, (key, (across, up, lowest)) in enumerate(zip(found, places, strict=True)):
        suffix = "" if index == 0 else str(index + 1)
        chart_layout[f"xaxis{suffix}"] = axis(
            "step" if lowest else "",
            domain=across,
            anchor=f"y{suffix}",
            showticklabels=lowest,
            **_time_axis(view, bool(drawn)),
            **({"matches": "x"} if index else {}),
        )
        chart_layout[f"yaxis{suffix}"] = axis(
            "cycles a step" if index == middle else "",
            domain=up,
            anchor=f"x{suffix}",
            range=[0, 0.5],
            tickvals=[0, 0.25, 0.5],
            showticklabels=across[0] == 0,
        )
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        if key in drawn:
            traces[key] = _heatmap(LANES[key].title, *drawn[key]) | axes
        chart_layout["annotations"].append(_label(key, key in drawn, across, up))
        chart_layout["shapes"].append(_mark(view.experiment.mark, suffix))
    return {
        "title": "Gradient spectrogram",
        "note": _note(view, bool(drawn)),
        "traces": traces,
        "layout": chart_layout,
        "choices": [series_choice(view)],
    }


def _heatmap(
    title: str, steps: np.ndarray, frequencies: np.ndarray, decibels: np.ndarray
) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "name": title,
        "x": typed(steps),
        "y": typed(frequencies),
        "z": typed(decibels, "i1"),
        "coloraxis": "coloraxis",
        "hovertemplate": f"{title}, step %{{x:.0f}}, %{{y:.3f}} a step: %{{z}} dB<extra></extra>",
    }


def _colors(drawn: list[np.ndarray]) -> dict[str, Any]:
    """One scale for all lanes, in whole fives so that it seldom moves."""
    values = np.concatenate([decibels.ravel() for decibels in drawn]) if drawn else np.zeros(1)
    high = 5 * int(np.floor(values.max() / 5) + 1)
    low = max(high - RANGE, 5 * int(np.floor(np.quantile(values, 0.02) / 5)))
    return {
        "colorscale": "Cividis",
        "cmin": low,
        "cmax": high,
        "colorbar": {
            "title": {"text": "power, dB", "side": "right"},
            "thickness": 8,
            "outlinewidth": 0,
            "len": 1.0,
            "x": 1.01,
            "tick0": 0,
            "dtick": 10,
            "tickfont": {"size": 11},
        },
    }


def _time_axis(view: View, any_drawn: bool) -> dict[str, Any]:
    """From step 0 where all is shown, else as long as what is shown."""
    if not any_drawn:
        return {"range": [0, 100]}
    return step_axis(view) if view.last <= SPAN else {}


def _label(key: str, drawn: bool, across: list[float], up: list[float]) -> dict[str, Any]:
    text = LANES[key].title + ("" if drawn else f": needs {SHORTEST} steps")
    return strip_label(text, STYLES[key].color, across, up)


def _mark(mark: float, suffix: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": f"x{suffix} domain",
        "yref": f"y{suffix}",
        "x0": 0,
        "x1": 1,
        "y0": mark,
        "y1": mark,
        "line": {"color": "#ffffff", "width": 1, "dash": "dot"},
    }


def _note(view: View, any_drawn: bool) -> str:
    who = "the surrogate's, " if view.weights else ""
    projections = view.shown("gradient_projection").shape[-1]
    if not any_drawn:
        return f"{who}{projections} projections. Needs {SHORTEST} steps."
    return (
        f"{who}{projections} projections, windows of 64 steps; 0 dB: white noise. Dotted: the mark "
        f"{view.experiment.mark:g}."
    )
