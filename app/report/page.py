"""A report as one file: HTML that needs no network, and JSON with every number."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from app.charts.report import report_charts
from app.report.findings import Report
from app.report.page_files import standalone
from app.report.rows import figures_table, layers_table, report_words
from app.report.words import fourth_at_sigma, fourth_power, roughness_at_sigma, summary

#: Fields that are as long as the network, belong to the page alone, or repeat the setup.
LEFT_OUT = frozenset({"vector", "working", "done", "message", "setup"})
#: Fields of the setup that say how everything was measured.
SETUP = ("k", "sigma", "sphere", "zeta", "seed", "dtype", "draws", "samples")


def report_parts(report: Report) -> dict[str, dict[str, Any]]:
    """Words, tables and charts by name, plain JSON for report.js.

    Args:
        report: as far as it goes.
    """
    parts: dict[str, dict[str, Any]] = {
        "words": report_words(report),
        "figures": figures_table(report),
        "layers": layers_table(report),
    }
    for place, (name, chart) in enumerate(report_charts(report).items()):
        parts[f"chart-{name}"] = chart | {"place": place}
    return parts


def report_html(report: Report) -> str:
    """The whole report as one HTML file that opens without a network.

    Args:
        report: complete.
    """
    parts = report_parts(report)
    return standalone(parts["words"]["name"], _plain(parts))


def report_json(report: Report) -> str:
    """Every number of the report; what is not resolved is null.

    Args:
        report: complete.
    """
    found = _plain(report)
    found["setup"] = {name: getattr(report.readings.setup, name) for name in SETUP}
    found["summary"] = list(summary(report))
    found["fourth_difference"] = _plain(fourth_at_sigma(report))
    found["fourth_power"] = _plain(fourth_power(report))
    found["pooled_roughness"] = _plain(roughness_at_sigma(report))
    return json.dumps(found, allow_nan=False, indent=1)


def _plain(value: Any) -> Any:
    """Records and arrays as plain JSON; nan and inf as null."""
    if is_dataclass(value) and not isinstance(value, type):
        names = (item.name for item in fields(value) if item.name not in LEFT_OUT)
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | Tensor | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
