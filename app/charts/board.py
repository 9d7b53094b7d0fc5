"""All parts of the page's grid, from one view of the run."""

from __future__ import annotations

from typing import Any

from app.charts.plane import map_chart, slice_chart
from app.charts.spec import Chart
from app.charts.spectrum import lane_spectra, spectrum_chart
from app.charts.strips import damping_strips, loss_strips
from app.charts.table import lane_table
from app.live.view import View


def line_parts(view: View) -> dict[str, dict[str, Any]]:
    """The table and the charts made of lines, by the name of their place in the grid.

    Args:
        view: a run that has begun.
    """
    spectra = lane_spectra(view)
    charts = {
        "loss": loss_strips(view),
        "damping": damping_strips(view),
        "spectrum": spectrum_chart(view, spectra),
    }
    return {"table": lane_table(view, spectra)} | _ordered(charts)


def plane_parts(view: View) -> dict[str, dict[str, Any]]:
    """The two charts on the shared plane: dear to draw, so they are sent less often."""
    return _ordered({"slice": slice_chart(view), "map": map_chart(view)})


def _ordered(charts: dict[str, Chart]) -> dict[str, Chart]:
    """Each chart with the order in which its traces lie on each other."""
    return {name: chart | {"order": list(chart["traces"])} for name, chart in charts.items()}
