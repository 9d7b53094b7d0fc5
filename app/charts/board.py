"""All parts of the page's grid, from one view of the run."""

from __future__ import annotations

from typing import Any

from app.charts.plane import map_chart, slice_chart
from app.charts.spec import Chart
from app.charts.spectrum import lane_spectra, spectrum_chart
from app.charts.strips import damping_strips, loss_strips
from app.charts.table import lane_table
from app.live.view import View


def board(view: View) -> dict[str, dict[str, Any] | Chart]:
    """Table and charts by the name of their place in the grid.

    Args:
        view: a run that has begun.
    """
    spectra = lane_spectra(view)
    return {
        "table": lane_table(view, spectra),
        "loss": loss_strips(view),
        "damping": damping_strips(view),
        "slice": slice_chart(view),
        "map": map_chart(view),
        "spectrum": spectrum_chart(view, spectra),
    }
