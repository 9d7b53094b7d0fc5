"""What a comparison says in words and numbers: rows of text for the page and for Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from app.charts.spec import number
from app.charts.verdict import AT_ONE_RATE, AT_THEIR_BEST, verdict
from app.compare.comparison import Result
from app.compare.tuning import rate
from app.live.view import View
from probes.statistics import Interval, paired_interval
from sadam.lanes import LANES

LEVEL = 0.90


@dataclass(frozen=True)
class Table:
    """Text, ready to show.

    Args:
        title: above it.
        columns: heads.
        rows: lane's key -> its cells.
    """

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]


def figure_of(result: Result) -> tuple[str, str, float]:
    """What lanes are compared by: its name, its title and the factor that it is shown with."""
    if np.isfinite(result.runs["accuracy"]).any():
        return "accuracy", "Test accuracy, %", 100.0
    return "loss", "Loss", 1.0


def difference(result: Result, name: str, lane: int, scale: float = 1.0) -> Interval:
    """The paired difference of a lane to the reference over the seeds.

    Args:
        result: of the comparison.
        name: of a figure.
        lane: index of the lane.
        scale: of the numbers.
    """
    values = result.runs[name].astype(float) * scale
    experiment = result.plan.experiment
    return paired_interval(
        values[lane] - values[experiment.lanes.index(experiment.reference)], LEVEL
    )


def results_table(result: Result) -> Table:
    """A lane a row: means over the seeds, and the paired difference with its interval."""
    experiment = result.plan.experiment
    name, title, scale = figure_of(result)
    less = f"less {LANES[experiment.reference].title}, 90% interval"
    columns = ("Optimizer", title, less, "Learning rate", "Loss", "Loss jump per step")
    rows = {}
    for lane, key in enumerate(experiment.lanes):
        means = {figure: float(np.mean(v[lane])) for figure, v in result.runs.items()}
        compared = ""
        if key != experiment.reference:
            compared = said(difference(result, name, lane, scale))
        rows[key] = (
            LANES[key].title + _diverged(result, lane),
            number(means[name] * scale),
            compared,
            _rates(result, lane),
            number(means["loss"]),
            number(means["loss_jump"]),
            number(means["path_length"]),
            f"{means['forwards']:,.0f}",
        )
    return Table(
        f"Means over {experiment.seeds} {'seeds' if experiment.seeds > 1 else 'seed'}",
        (*columns, "Path length", "Forward passes"),
        rows,
    )


def tuning_table(result: Result) -> Table | None:
    """What the choice of each lane's rate rests on; None where rates were given."""
    tuned, grid = result.tuned, result.plan.rates
    if tuned is None or grid is None:
        return None
    name, _, scale = figure_of(result)
    rows = {}
    for lane, key in enumerate(result.plan.experiment.lanes):
        chosen = Counter(tuned.chosen[lane].tolist())
        place = most(tuned.chosen[lane])
        edges = sum(count for at, count in chosen.items() if grid.at_edge(at))
        seeds = len(tuned.chosen[lane])
        scores = tuned.scores[key][place]
        rows[key] = (
            LANES[key].title,
            f"{rate(place):g}",
            ", ".join(f"{rate(at):g}: {count}" for at, count in sorted(chosen.items())),
            number(float((scores.accuracy if name == "accuracy" else scores.loss).mean()) * scale),
            f"yes, under {edges} of {seeds} seeds: widen --rates" if edges else "no",
            str(len(tuned.scores[key])),
        )
    scored = "Validation accuracy, %" if name == "accuracy" else "Loss of the other seeds"
    return Table(
        f"Learning rates tried from {rate(grid.first):g} to {rate(grid.last):g}, each seed's "
        "chosen on the other seeds",
        ("Optimizer", "Best rate", "Chosen: under how many seeds", scored, "At the edge", "Tried"),
        rows,
    )


def sentences(result: Result) -> tuple[str, ...]:
    """What the comparison found, computed: the verdict on S-Adam, then the best lane."""
    experiment = result.plan.experiment
    runs = {"accuracy": result.runs["accuracy"], "probe_loss": result.runs["loss"]}
    name, title, scale = figure_of(result)
    view = View(
        experiment,
        "finished",
        step=experiment.steps,
        last=experiment.steps,
        steps=np.array([experiment.steps]),
        columns={key: values.reshape(1, -1) for key, values in runs.items()},
        diverged_at=result.runs["diverged_at"].reshape(-1),
        samples=int(name == "accuracy"),  # whether there are any
    )
    said_of_it = verdict(view, AT_ONE_RATE if result.tuned is None else AT_THEIR_BEST)
    if not said_of_it:
        said_of_it = "No verdict on S-Adam: it takes the lanes adamw and sadam and two seeds."
    means = result.runs[name].mean(axis=1) * scale
    lane = int(np.argmax(means) if name == "accuracy" else np.argmin(means))
    best = f"{'Highest' if name == 'accuracy' else 'Lowest'} mean {title.partition(',')[0].lower()}"
    unit = " %" if name == "accuracy" else ""
    held = f"{best}: {LANES[experiment.lanes[lane]].title}, {number(float(means[lane]), unit)}."
    return (said_of_it, held)


def markdown(result: Result) -> str:
    """Sentences and tables as Markdown."""
    parts = [*sentences(result), markdown_table(results_table(result))]
    tuning = tuning_table(result)
    if tuning is not None:
        parts += [f"{tuning.title}:", markdown_table(tuning)]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A table as Markdown."""
    lines = [table.columns, ("---",) * len(table.columns), *table.rows.values()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def said(found: Interval) -> str:
    """A difference with its interval, "+1.20 (0.31 to 2.09)", and what does not fit it."""
    if found.method == "none":
        return "–"
    pairs = f", {found.n} pairs" if found.left_out else ""
    text = f"{signed(found.value)} ({signed(found.low)} to {signed(found.high)}{pairs})"
    return text if found.sign else f"{text}: no difference seen"


def signed(value: float) -> str:
    """A number with its sign."""
    return f"{'+' if value > 0 else ''}{number(value)}"


def most(chosen: np.ndarray) -> int:
    """The place that most seeds have; the lower one where two are alike."""
    counts = Counter(sorted(chosen.tolist()))
    return max(counts, key=lambda place: (counts[place], -place))


def _rates(result: Result, lane: int) -> str:
    """The rate of most seeds, and the range where they differ."""
    rates = result.rates[lane]
    if result.tuned is None:
        return f"{rates[0]:g}"
    text = f"{rate(most(result.tuned.chosen[lane])):g}"
    low, high = rates.min(), rates.max()
    return text if low == high else f"{text} ({low:g} to {high:g})"


def _diverged(result: Result, lane: int) -> str:
    lost = int((result.runs["diverged_at"][lane] >= 0).sum())
    return f", {lost} of {result.plan.experiment.seeds} diverged" if lost else ""
