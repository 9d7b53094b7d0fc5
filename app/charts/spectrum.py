"""The oscillation spectrum of the last steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.figures import WINDOW
from app.charts.spec import STYLES, Chart, axis, label, layout, line, log_ticks, number, typed
from app.experiment import SERIES
from app.live.view import View
from probes.oscillation import Spectrum, high_frequency_share, spectrum
from sadam.lanes import LANES

#: Steps that a spectrum needs.
SHORTEST = 16
TITLES = {
    "gradient": "gradient",
    "update": "update, a divided out",
    "update-applied": "update as applied",
}


def sound_rows(view: View, column: str, lane: int, most: int) -> np.ndarray:
    """Indices of a lane's last rows, one a step without a gap, while it still trained.

    Args:
        view: the run.
        column: (T, R, J), which must be finite.
        lane: index of the lane.
        most: rows at most, of those that are shown.
    """
    rows = np.arange(len(view.steps))[view.unbroken(most)]
    sound = np.isfinite(view.shown(column)[rows, lane]).all(axis=1) & view.trained(lane)[rows]
    return rows[sound]


def lane_spectra(view: View) -> dict[str, Spectrum | None]:
    """The spectrum of every lane over the last `WINDOW` steps; None while that is too short.

    Args:
        view: needs the columns "gradient_projection" or "update_projection" (T, R, J), and
            "damping" (T, R) where the damping is divided out.
    """
    series = view.experiment.series
    column = "gradient_projection" if series == "gradient" else "update_projection"
    spectra = {}
    for index, key in enumerate(view.experiment.lanes):
        rows = sound_rows(view, column, index, WINDOW)
        damping = view.shown("damping")[rows, index] if series == "update" else None
        spectra[key] = spectrum(view.shown(column)[rows, index], divide_by=damping)
    return spectra


def series_choice(view: View) -> dict[str, Any]:
    """The menu of what the spectrum is of."""
    return {
        "field": "series",
        "label": "Spectrum of",
        "value": view.experiment.series,
        "options": SERIES,
    }


def _power_ticks(spectra: dict[str, Spectrum | None]) -> dict[str, Any]:
    # A gradient that is the same at every step has no power at all.
    powers = [result.density[result.density > 0] for result in spectra.values() if result]
    drawn = np.concatenate([np.empty(0), *powers])
    return log_ticks(drawn if drawn.size else np.array([0.1, 10.0]))


def spectrum_chart(view: View, spectra: dict[str, Spectrum | None]) -> Chart:
    """Power against frequency with the mark, a line an optimizer.

    Args:
        view: the run; its experiment names the series and the mark.
        spectra: a lane's spectrum or None, from `lane_spectra`.

    Returns:
        A chart; each lane's label states its share above the mark and its absolute power.
    """
    mark = view.experiment.mark
    traces, annotations = {}, []
    columns = 1 if len(spectra) <= 4 else 4
    rows = -(-len(spectra) // columns)
    for index, (key, result) in enumerate(spectra.items()):
        if result is None:
            continue
        style, title = STYLES[key], LANES[key].title
        traces[key] = line(
            title,
            typed(result.frequencies),
            typed(result.density),
            style.color,
            width=2,
            dash=style.dash,
            hovertemplate="%{x:.3f} a step: %{y:.3g}",
        )
        share = high_frequency_share(result, mark)
        text = f"{title}  {share:.0%} above, power {number(result.power)}"
        annotations.append(
            label(
                text if columns == 1 else f"{style.glyph} {share:.0%}",
                style.color,
                xref="paper",
                yref="paper",
                x=(1 + index % columns) / columns,
                xanchor="right",
                y=1,
                yanchor="bottom",
                yshift=15 * (rows - 1 - index // columns),
            )
        )
    chart_layout = layout(
        f"{view.experiment.scenario}:{view.experiment.series}",
        (46, 8, 6 + 15 * rows, 34),
        xaxis=axis("cycles a step", range=[0, 0.5], dtick=0.1),
        yaxis=axis("power (RMS 1)", type="log", **_power_ticks(spectra)),
        annotations=annotations,
        shapes=[
            {
                "type": "line",
                "x0": mark,
                "x1": mark,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": "var(--ink-soft)", "width": 1, "dash": "dot"},
            }
        ],
    )
    seen = view.shown("gradient_projection")[-WINDOW:]
    who = "the surrogate's, " if view.weights and view.experiment.series == "gradient" else ""
    note = (
        f"{who}{seen.shape[-1]} fixed projections, last {len(seen)} steps; drag the mark at "
        f"{mark:g}. "
    )
    if not traces:
        note += f"Needs {SHORTEST} steps."
    elif view.experiment.series == "update-applied":
        note += "A random damping alone raises this share."
    else:
        note += "Batch noise raises it as rounding does."
    return {
        "title": f"Spectrum of the {TITLES[view.experiment.series]}",
        "note": note,
        "traces": traces,
        "layout": chart_layout,
        "choices": [series_choice(view)],
        "mark": True,
    }
