"""A run as one HTML file that needs no network, drawn by the script of app/report."""

from __future__ import annotations

from typing import Any

from app.charts.board import line_parts, slow_parts
from app.charts.spec import Chart
from app.experiment import TABLES
from app.export.taken import Taken, settings, versions
from app.report.page_files import standalone

#: The charts in reading order: twelfths of the page's width, and height in pixels.
PLACES = {
    "ahead": (12, 260),
    "strips": (7, 320),
    "edge": (5, 320),
    "slice": (6, 430),
    "map": (6, 430),
    "damping": (6, 360),
    "spectrum": (6, 360),
}


def run_html(taken: Taken) -> str:
    """All that the lab shows of a run at the step in view, from the very parts it is sent.

    About 5 MB, nearly all of it plotly.js.

    Args:
        taken: the run.
    """
    view = taken.view
    parts = line_parts(view, taken.asked) | slow_parts(view)
    words = {
        "page": "run",
        "title": view.name,
        "name": view.name,
        "summary": _sentences(parts["sentence"]),
        "facts": _facts(taken),
        "notes": [view.message] if view.message else [],
    }
    report = {"words": words, "lanes": _table(parts["table"], view.experiment.table)}
    for place, (name, (span, height)) in enumerate(PLACES.items()):
        look = {"place": place, "span": span, "height": height}
        report[f"chart-{name}"] = _whole(parts[name]) | look
    return standalone(view.name, report)


def _sentences(sentence: dict[str, Any]) -> list[str]:
    text = "".join(part["text"] for part in sentence["parts"])
    return [text, sentence["verdict"]] if sentence["verdict"] else [text]


def _facts(taken: Taken) -> list[list[str]]:
    view = taken.view
    problem = view.experiment.problem
    shown = f"step {view.step:,} of {view.last:,} taken; {view.state}"
    begin = [["Start", f"{taken.start} The link does not hold it."]] if taken.start else []
    made = ", ".join(f"{name} {number}" for name, number in versions().items())
    return [
        ["Scenario", f"{problem.title}. {problem.about}"],
        ["Shown", shown],
        *begin,
        *settings(view.experiment),
        ["Link", f"{taken.address} behind a lab's address opens this run at this step"],
        ["Made", f"{taken.date}, {made}"],
    ]


def _table(table: dict[str, Any], group: str) -> dict[str, Any]:
    """The lab's table as text; what stands below a figure follows it in brackets."""
    menus = [choice["label"] for choice in table["choices"][1:]]
    title = f"{TABLES[group]}. {menus[0].replace('below', 'in brackets')}" if menus else ""
    rows = [
        {
            "key": row["key"],
            "cells": [f"{row['glyph']} {row['title']}", *(_cell(cell) for cell in row["cells"])],
        }
        for row in table["rows"]
    ]
    columns = ["", *(column["title"] for column in table["columns"])]
    shown = {"title": title or TABLES[group], "columns": columns, "rows": rows}
    return shown | {"choices": table["choices"]}


def _cell(cell: dict[str, str]) -> str:
    below = cell.get("below")
    return f"{cell['text']} ({below})" if below else cell["text"]


def _whole(chart: Chart) -> Chart:
    """A chart that says where it was still being computed."""
    progress = chart.get("progress")
    if not progress:
        return chart
    state = f"Being computed when this was saved: {progress['text']}, {progress['done']:.0%}. "
    return chart | {"note": f"{state}{chart['note']}"}
