"""A comparison as one HTML file that needs no network, drawn by the script of app/report."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import torch

from app.compare.charts import charts
from app.compare.comparison import Result
from app.compare.plan import Plan
from app.compare.samples import TEST, tuning_split
from app.compare.tables import Table, results_table, sentences, tuning_table
from app.report.page_files import standalone
from app.score.kept import version
from sadam.lanes import LANES


@dataclass(frozen=True)
class Made:
    """How a comparison was made.

    Args:
        command: as it was typed.
        date: ISO, of its first start.
    """

    command: str
    date: str

    @property
    def facts(self) -> list[list[str]]:
        """Command, date, version and machine."""
        machine = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"
        return [
            ["Command", self.command],
            ["Date", self.date],
            ["Chatterscope", version()],
            ["Machine", f"{machine}; torch {torch.__version__}"],
        ]


def comparison_html(result: Result, made: Made) -> str:
    """The report of one comparison.

    Args:
        result: what it found.
        made: how.
    """
    experiment = result.plan.experiment
    tables = {"figures": results_table(result)}
    tuning = tuning_table(result)
    if tuning is not None:
        tables["layers"] = tuning
    words = {
        "page": "comparison",
        "title": f"Comparison: {experiment.problem.title}",
        "name": f"Comparison: {experiment.name}",
        "summary": list(sentences(result)),
        "facts": _facts(result.plan) + made.facts,
        "notes": _notes(result),
    }
    parts = {"words": words} | {name: _plain(table) for name, table in tables.items()}
    for place, (name, chart) in enumerate(charts(result).items()):
        parts[f"chart-{name}"] = chart | {"place": place}
    return standalone(str(words["title"]), parts)


def grid_html(title: str, lines: list[str], table: Table, made: Made) -> str:
    """The overview of a grid.

    Args:
        title: of the page.
        lines: a sentence a cell.
        table: a row a cell and lane.
        made: how.
    """
    words = {
        "page": "comparison",
        "title": title,
        "name": title,
        "summary": lines,
        "facts": made.facts,
        "notes": [],
    }
    parts = {"words": words, "figures": _plain(table)}
    return standalone(title, parts)


def _facts(plan: Plan) -> list[list[str]]:
    experiment = plan.experiment
    pool = experiment.problem.pool
    seeds = experiment.seed_list
    batch = f"batch {experiment.batch}" + (f" of {pool} samples" if pool else "")
    probes = f"λ {experiment.lgi_lambda:g}, k {experiment.k}, σ {experiment.sigma:g}"
    facts = [
        ["Scenario", f"{experiment.scenario}: {experiment.problem.about}"],
        ["Runs", f"{experiment.steps:,} steps, {batch}, seeds {seeds[0]} to {seeds[-1]}"],
        ["S-Adam", f"{probes}; device {plan.device}"],
    ]
    if not experiment.problem.is_function:
        facts.append(["Test", TEST])
    return facts


def _notes(result: Result) -> list[str]:
    """What the numbers are, and what they are not."""
    experiment = result.plan.experiment
    figures = (
        "All lanes of a seed share initial weights, batches and probe directions. Loss: on the "
        "fixed probe set, which is trained on. Loss jump: mean |change| of it over the last 50 "
        "steps. Forward passes: those that the optimizer itself spent, probes included, tuning not."
    )
    notes = [figures]
    if result.tuned is not None:
        problem = experiment.problem
        scored = (
            "the loss itself from the other seeds' starts"
            if problem.is_function
            else tuning_split(problem).words
        )
        notes.append(
            "Rates are 10^(i/8): first every half decade, then all within half a decade of the "
            f"best. Scored on {scored}; a seed's own score never chooses its rate, and the test "
            "split none. A rate at which fewer of the other seeds diverge goes before a better "
            "score."
        )
    followers = [LANES[key].title for key in experiment.lanes if LANES[key].needs]
    if followers and result.tuned is not None:
        notes.append(
            f"{' and '.join(followers)}: the S-Adam whose dampings are taken trains at the "
            "follower's own rate."
        )
    if result.plan.cell:
        notes.append(f"A cell of a grid: {result.plan.name}.")
    return notes


def _plain(table: Table) -> dict[str, object]:
    rows = [{"key": key, "cells": list(cells)} for key, cells in table.rows.items()]
    return {"title": table.title, "columns": list(table.columns), "rows": rows}
