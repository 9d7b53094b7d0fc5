"""What the page says in words, computed from the run that is shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.charts.spec import STYLES, number
from app.charts.table import RECENT
from app.live.view import View
from sadam.lanes import LANES
from sadam.promises import loss_jump


def sentence(view: View) -> dict[str, Any]:
    """The one sentence on top: how far each optimizer's loss jumped a step.

    Args:
        view: needs the columns "probe_loss" and "accuracy".

    Returns:
        {"parts": [{"text", "color"?}]}.
    """
    losses = view.shown("probe_loss")[-RECENT - 1 :]
    accuracy = view.shown("accuracy")[-1]
    if len(losses) < 2:
        return {"parts": [{"text": "Press Run: all optimizers start from the same weights."}]}
    parts: list[dict[str, str]] = [{"text": f"Last {len(losses) - 1} steps: "}]
    for index, key in enumerate(view.experiment.lanes):
        recent = view.trained(index)[-RECENT - 1 :]
        jump = number(loss_jump(losses[recent, index]))
        owner = {"smaller": "AdamW's at a smaller step"}.get(key, f"{LANES[key].title}'s")
        verb = " loss jumped by " if index == 0 else " by "
        parts += [{"text": owner + verb}, {"text": jump, "color": STYLES[key].color}]
        if index == 0:
            parts.append({"text": " a step"})
        if np.isfinite(accuracy[index]):
            parts.append({"text": f" ({number(100 * float(accuracy[index]), ' %')} right)"})
        parts.append({"text": ", " if index < len(view.experiment.lanes) - 1 else "."})
    return {"parts": parts}


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
