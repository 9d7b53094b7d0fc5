"""All parts of the page Instruments, from one set of readings."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.answers import answers_table, figure
from app.charts.curves import k_chart, radius_chart
from app.charts.known import function_chart, point_words
from app.charts.sampling import damping_chart, histogram_chart
from app.charts.spec import number
from app.live.readings import Readings
from app.setup import SUBJECTS
from demo_models.scenarios import SCENARIOS


def instrument_parts(readings: Readings) -> dict[str, dict[str, Any]]:
    """Words, table and charts by the name of their place in the grid.

    Args:
        readings: as far as they go; what is not measured yet is left out or empty.
    """
    charts = {
        "slice": function_chart(readings),
        "radius": radius_chart(readings),
        "byk": k_chart(readings),
        "histogram": histogram_chart(readings),
        "damping": damping_chart(readings),
    }
    parts: dict[str, dict[str, Any]] = {
        name: chart | {"order": list(chart["traces"])} for name, chart in charts.items()
    }
    parts["status"] = _status(readings)
    if readings.here is not None:
        parts |= {"sentence": _sentence(readings), "table": answers_table(readings)}
    return parts


def _status(readings: Readings) -> dict[str, Any]:
    """The bar's words: what is being measured."""
    working, drawn = readings.working, readings.slice
    if not working and not readings.message and (drawn is None or drawn.done < 1):
        working = "the function"
    text = f"measuring {working}" if working else "at rest"
    # In tenths: every change is a message.
    done = round(readings.done, 1) if working else None
    status = {"text": text, "done": done, "message": readings.message}
    return status | {"name": readings.setup.name}


def _sentence(readings: Readings) -> dict[str, Any]:
    """One computed sentence: LGI at this point, over many draws, and as it truly is."""
    here, draws = readings.here, readings.draws
    assert here is not None
    what = SUBJECTS[here.setup.function]
    parts = [
        {"text": f"{what}, {point_words(here.setup)}: LGI ", "color": None},
        {"text": figure("lgi", here.measured.lgi), "color": "var(--measured)"},
        {"text": " in one draw", "color": None},
    ]
    if draws is not None:
        known = draws.values["lgi"][np.isfinite(draws.values["lgi"])]
        mean = figure("lgi", float(known.mean())) if known.size else "–"
        if not draws.setup.measures_as(here.setup):
            mean = "…"  # of this very point there are none yet
        parts += [
            {"text": ", ", "color": None},
            {"text": mean, "color": "var(--measured)"},
            {"text": f" over {draws.count:,} draws", "color": None},
        ]
    if here.truth is not None and here.truth.lgi is not None:
        parts += [
            {"text": "; true answer ", "color": None},
            {"text": number(here.truth.lgi), "color": "var(--true)"},
            {"text": ".", "color": None},
        ]
    else:
        parts.append({"text": "; no closed form here.", "color": None})
    return {"parts": parts, "verdict": _about(readings)}


def _about(readings: Readings) -> str:
    setup = readings.setup
    if setup.known is not None:
        return setup.known.about
    about = SCENARIOS[setup.function].about
    if setup.surrogate:
        about += (
            " Clarke's values and the gradient norm are those of the straight-through surrogate."
        )
    return about
