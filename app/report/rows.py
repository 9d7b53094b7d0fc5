"""The report's words and tables, as plain text for whoever draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.answers import QUESTIONS, TITLES, bound, figure
from app.charts.spec import number
from app.report.findings import Report
from app.report.samples import BANNER
from app.report.words import roughest, roughness_at_sigma, share_of, summary

NOT_RESOLVED = "not resolved"


def report_words(report: Report) -> dict[str, Any]:
    """Title, summary, what was found and assumed.

    Returns:
        {"page", "title", "name": with the file's, "summary": [2], "banner",
        "facts": [[name, text]], "notes": [text]}: all text, with names as they came out of the
        file or escaped; show it as text.
    """
    subject = report.subject
    facts = [
        ["File", subject.file],
        *(["Found", text] for text in subject.found),
        ["Network", f"{subject.network}; {subject.parameters:,} parameters"],
        *(["Assumed", text] for text in subject.assumptions),
        ["Data", f"{subject.data}; instruments use {subject.rows} of {subject.samples}"],
    ]
    return {
        "page": "checkpoint",
        "title": "Instability report",
        "name": f"Instability report: {ascii(subject.file)[1:-1][:120]}",
        "summary": list(summary(report)),
        "banner": "" if subject.real else BANNER,
        "facts": facts,
        "notes": list(report.notes),
    }


def figures_table(report: Report) -> dict[str, Any]:
    """Loss, accuracy, gradient, every instrument, sharpness and the next step, one a row.

    Returns:
        {"title", "columns", "rows": [{"key", "cells"}]}, all text.
    """
    of = " (surrogate)" if report.subject.surrogate else ""
    rows = [
        _row("loss", "Loss", number(report.loss), f"on {report.subject.data}"),
        _row("accuracy", "Right answers", f"{report.accuracy:.1%}", "on the same"),
    ]
    if report.unseen is not None:
        rows.append(
            _row("unseen", "Right on unseen", f"{report.unseen:.1%}", "never trained on by the lab")
        )
    rows += _instrument_rows(report, of) + _edge_rows(report) + _step_rows(report, of)
    return {
        "title": "Figures",
        "columns": ["", "value", "mean of draws (middle 80%)", ""],
        "rows": rows,
    }


def layers_table(report: Report) -> dict[str, Any]:
    """Every layer with its number, name, size, gradient and instruments.

    Returns:
        As `figures_table`.
    """
    worst = roughest(report)
    rows = []
    for index, layer in enumerate(report.layers, 1):
        mark = " ← roughest" if worst is not None and worst[0] == index else ""
        means = [layer.mean(name) for name in TITLES]
        cells = [
            str(index),
            layer.name or "(no name)",
            f"{layer.parameters:,}",
            number(layer.gradient),
            (number(layer.rough) if np.isfinite(layer.rough) else NOT_RESOLVED) + mark,
            *(
                figure(name, value) if np.isfinite(value) else NOT_RESOLVED
                for name, value in zip(TITLES, means, strict=True)
            ),
        ]
        rows.append({"key": f"layer-{index}", "cells": cells})
    columns = ["#", "Layer", "Parameters", "Gradient norm", "|Δ⁴| at σ", "LGI", "Variance"]
    columns += ["Asymmetry", "Hölder", "Roughness"]
    return {"title": "Layer by layer", "columns": columns, "rows": rows}


def _row(key: str, name: str, value: str, note: str = "", draws: str = "") -> dict[str, Any]:
    return {"key": key, "cells": [name, value, draws, note]}


def _instrument_rows(report: Report, of: str) -> list[dict[str, Any]]:
    readings = report.readings
    here, draws, bounds = readings.here, readings.draws, readings.bounds
    if here is None:
        return []
    rows = [_row("gradient", f"Gradient norm{of}", number(here.gradient), "what backward gives")]
    for name, title in TITLES.items():
        value = getattr(here.measured, name)
        one = NOT_RESOLVED if value is None or not np.isfinite(value) else figure(name, value)
        spread = ""
        if draws is not None:
            known = draws.values[name][np.isfinite(draws.values[name])]
            if known.size:
                low, high = np.quantile(known, (0.1, 0.9))
                spread = f"{figure(name, float(known.mean()))} ({number(low)} to {number(high)})"
            else:
                spread = NOT_RESOLVED
        rows.append(_row(name, title, one, QUESTIONS[name], spread))
    pooled = roughness_at_sigma(report)
    if readings.radii is not None:
        text = number(pooled) if np.isfinite(pooled) else NOT_RESOLVED
        count = readings.radii.directions
        rows.append(
            _row("pooled", "Roughness, pooled", text, f"over {count} directions, at radius σ")
        )
    if bounds is not None:
        for name, sign in (("diameter", "≥"), ("stationarity", "≤")):
            for width, delta in (("wide", "σ"), ("narrow", "σ/4")):
                text = f"{sign} {bound(getattr(getattr(bounds, width), name))}"
                key = f"{name}-{width}"
                rows.append(_row(key, f"Clarke {name}, δ = {delta}{of}", text, QUESTIONS[key]))
    return rows


def _edge_rows(report: Report) -> list[dict[str, Any]]:
    edge = report.edge
    if edge is None:
        return []
    of = "of Adam's preconditioned Hessian" if edge.preconditioned else "of the Hessian"
    sure = (
        "" if edge.measured.converged else f"; from below, off by {number(edge.measured.residual)}"
    )
    rows = [
        _row(
            "sharpness", "Sharpness", number(edge.measured.value), f"largest eigenvalue {of}{sure}"
        )
    ]
    if edge.limit is not None and edge.share is not None:
        note = f"limit {number(edge.limit)} at learning rate {edge.lr:g}, full batch"
        rows.append(_row("edge", "Sharpness", share_of(edge.share, "its limit"), note))
    return rows


def _step_rows(report: Report, of: str) -> list[dict[str, Any]]:
    step = report.step
    if step is None:
        return []
    line = step.line
    share = f"{step.relative:.2%} of the weights' norm {number(report.norm)}"
    many = f"{number(step.mean)} over {step.draws} draws" if step.draws else ""
    where = (
        f"k {step.k}, λ {step.lgi_lambda:g}: {step.quantile:.0%} of the law on a plain slope lies "
        f"below, its mean is {number(step.law)}"
    )
    return [
        _row("step", f"Adam's next step, t {step.step:,}", number(step.length), share),
        _row("promised", f"Change promised{of}", number(line.promised), "gradient · update"),
        _row("got", "Change got", number(line.got), "of the loss on the same samples"),
        _row("damping", "S-Adam's damping", number(step.damping), where, many),
    ]
