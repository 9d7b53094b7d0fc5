"""All parts of the page's grid, from one view of the run."""

from __future__ import annotations

from typing import Any

from app.charts.ahead import ahead_chart
from app.charts.damping import damping_strips
from app.charts.edge import edge_chart
from app.charts.plane import map_chart, slice_chart
from app.charts.spec import Chart
from app.charts.spectrogram import spectrogram_chart
from app.charts.spectrum import lane_spectra, spectrum_chart
from app.charts.strips import strips_chart
from app.charts.table import lane_table
from app.charts.words import scrubber, sentence, try_next
from app.live.view import View


def line_parts(view: View, asked: int | None = None) -> dict[str, dict[str, Any]]:
    """Words, table and the charts made of lines, by the name of their place in the grid.

    Args:
        view: a run that has begun, at the step to show.
        asked: the step that a person looks back at; None follows the last one.
    """
    over_time = view.experiment.series == "spectrogram"
    charts = {
        "strips": strips_chart(view),
        "damping": damping_strips(view),
        "spectrum": spectrogram_chart(view)
        if over_time
        else spectrum_chart(view, lane_spectra(view)),
    }
    words = {
        "scrubber": scrubber(view, asked),
        "sentence": sentence(view),
        "next": {"text": try_next(view)},
        "table": lane_table(view),
    }
    return words | _ordered(charts)


def slow_parts(view: View) -> dict[str, dict[str, Any]]:
    """The charts that are dear to draw or change seldom, sent less often while training."""
    charts = {
        "ahead": ahead_chart(view),
        "edge": edge_chart(view),
        "slice": slice_chart(view),
        "map": map_chart(view),
    }
    return _ordered(charts)


def _ordered(charts: dict[str, Chart]) -> dict[str, Chart]:
    """Each chart with the order in which its traces lie on each other."""
    return {name: chart | {"order": list(chart["traces"])} for name, chart in charts.items()}
