"""What the page says in words, computed from the run that is shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.figures import ACCURACY, JUMP, RECENT, Figure, measured
from app.charts.spec import STYLES, number
from app.charts.verdict import verdict
from app.live.view import View
from sadam.lanes import LANES

#: Optimizers that the sentence names at most; the table has them all.
NAMED = 3


def sentence(view: View) -> dict[str, Any]:
    """The one sentence on top: how far each optimizer's loss jumped a step.

    Args:
        view: needs the columns "probe_loss" and "accuracy".

    Returns:
        {"parts": [{"text", "color"?}], "verdict": what the controls say, or ""}.
    """
    last = view.unbroken(RECENT + 1)
    steps = last.stop - last.start - 1
    if steps < 1:
        text = (
            "Press Run: all optimizers start from the same weights."
            if len(view.steps) == 1
            else "So long ago not every step is kept, and what needs two in a row is left out."
        )
        return {"parts": [{"text": text}], "verdict": ""}
    seeds = view.experiment.seeds
    of = f", mean of {seeds} seeds" if seeds > 1 else ""
    jumps, accuracies = _over_seeds(JUMP, view), _over_seeds(ACCURACY, view)
    parts: list[dict[str, str]] = [{"text": f"Last {steps} steps{of}: "}]
    named = view.experiment.lanes[:NAMED]
    for index, key in enumerate(named):
        jump = number(jumps[index])
        owner = {"smaller": "AdamW's at a smaller step"}.get(key, f"{LANES[key].title}'s")
        verb = " loss jumped by " if index == 0 else " by "
        parts += [{"text": owner + verb}, {"text": jump, "color": STYLES[key].color}]
        if index == 0:
            parts.append({"text": " a step"})
        if np.isfinite(accuracies[index]):
            parts.append({"text": f" ({number(100 * accuracies[index], ' %')} right)"})
        parts.append({"text": ", " if index < len(named) - 1 else "."})
    return {"parts": parts, "verdict": verdict(view)}


def _over_seeds(figure: Figure, view: View) -> list[float]:
    """A figure's mean over the seeds that have one, for every lane; nan where none has."""
    values = measured(figure, view)
    count = np.isfinite(values).sum(axis=1)
    total = np.where(np.isfinite(values), values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0).tolist()


def try_next(view: View) -> str:
    """One thing to try that fits what is on the screen."""
    experiment = view.experiment
    if view.last == 0:
        return "Press Run and watch the loss of each optimizer."
    if (view.diverged_at >= 0).any():
        return "A run diverged: lower the learning rate, press Reset, Run."
    if experiment.problem.is_function:
        if experiment.lr > 0.01:
            return "Divide the learning rate by 10 while it runs: does the path settle at the kink?"
        return "Choose the spectrum of the update as applied: what does the damping add?"
    if experiment.bits != 32:
        if view.state == "running":
            return "Press Pause, then step with the arrow keys: does the loss follow its tangent?"
        return "Set Rounding to off, press Run. The stairs become a line."
    if experiment.batch >= (experiment.problem.pool or view.samples):
        return "Set Rounding to 2 bit, press Run. Count the broken promises."
    return "Raise the batch: do the promises hold without batch noise?"


def scrubber(view: View, asked: int | None) -> dict[str, Any]:
    """What the time machine needs to know.

    Args:
        view: the run as it is shown, at the last kept row up to the step that was asked for.
        asked: that step; None follows the last one.
    """
    if asked is None:
        return {
            "last": view.last,
            "at": view.step,
            "live": True,
            "text": f"Live: step {view.last:,}",
        }
    text = f"View: step {view.step:,} of {view.last:,}"
    if view.step != asked:
        text += f", the last kept up to {asked:,}"
    return {"last": view.last, "at": asked, "live": False, "text": text}
